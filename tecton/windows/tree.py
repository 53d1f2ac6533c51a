"""
What merges but cannot be taken off again, for many ranges of one sequence of states at once.

A binary tree over the states: level k holds the merged states of 2ᵏ neighbours. A range is made
of at most two nodes of each level, so a query costs the logarithm of its length, and all queries
go up the levels together.
"""

from __future__ import annotations

import copy

import numpy as np

from tecton.windows.layout import Layout, Matrix
from tecton.windows.scalars import Scalars, blank, paired


class Tree:
    """
    The tree of some states, without their counts and exact sums, which `Prefixes` knows.

    Args:
        layout: Of the view.
        states: One for each event.
    """

    def __init__(self, layout: Layout, states: Scalars) -> None:
        # Of the counts only those that weigh means are needed, one for each row of means.
        self._layout = copy.copy(layout)
        self._layout.mean_counts = np.arange(len(layout.means))
        level = states._replace(
            counts=states.counts[layout.mean_counts], limbs=np.empty((0, states.size), np.int64)
        )
        self._rows = tuple(len(matrix) for matrix in level)
        self._levels = [level]
        while any(self._rows) and level.size > 1:
            if level.size % 2:
                odd = blank(self._rows, 1)
                level = Scalars(*(np.concatenate(p, axis=1) for p in zip(level, odd, strict=True)))
            halves = level.take(slice(0, None, 2)), level.take(slice(1, None, 2))
            level = paired(self._layout, *halves)
            self._levels.append(level)

    def query(self, starts: Matrix, stops: Matrix) -> Scalars:
        """The merged states of each range of positions; those of none for an empty one."""
        merged = blank(self._rows, starts.size)
        if not any(self._rows):
            return merged
        starts, stops = starts.copy(), stops.copy()
        waiting = np.flatnonzero(starts < stops)
        for level in self._levels:
            odd = waiting[starts[waiting] & 1 == 1]
            self._add(merged, odd, level, starts[odd])
            starts[odd] += 1
            odd = waiting[(stops[waiting] & 1 == 1) & (starts[waiting] < stops[waiting])]
            stops[odd] -= 1
            self._add(merged, odd, level, stops[odd])
            waiting = waiting[starts[waiting] < stops[waiting]]
            if not waiting.size:
                break
            starts[waiting] >>= 1
            stops[waiting] >>= 1
        return merged

    def _add(self, merged: Scalars, queries: Matrix, level: Scalars, nodes: Matrix) -> None:
        if queries.size:
            added = paired(self._layout, merged.take(queries), level.take(nodes))
            for matrix, part in zip(merged, added, strict=True):
                matrix[:, queries] = part


class Prefixes:
    """
    Counts and exact sums of ranges: of integers one running sum may be taken off another.

    Args:
        states: One for each event.
    """

    def __init__(self, states: Scalars) -> None:
        self._counts = _running(states.counts)
        self._limbs = _running(states.limbs)

    def query(self, starts: Matrix, stops: Matrix) -> tuple[Matrix, Matrix]:
        """The counts and limbs of each range of positions."""
        return (
            self._counts[:, stops] - self._counts[:, starts],
            self._limbs[:, stops] - self._limbs[:, starts],
        )


def _running(matrix: Matrix) -> Matrix:
    sums = np.zeros((len(matrix), matrix.shape[1] + 1), np.int64)
    np.cumsum(matrix, axis=1, out=sums[:, 1:])
    return sums
