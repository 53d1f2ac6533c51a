"""
Distinct values of many ranges of one sequence, in one sweep over it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from tecton.windows.layout import Matrix
from tecton.windows.registers import estimate_of


def newest_distinct(
    values: Sequence[Any], starts: Matrix, stops: Matrix, count: int
) -> list[list[int]]:
    """
    The places where the *count* values of each range that appear last do so, the last first.

    Args:
        values: Hashable ones.
        starts: First places of the ranges.
        stops: The places after their ends.
        count: How many values at most.
    """
    found: list[list[int]] = [[] for _ in range(starts.size)]
    newest: dict[Any, int] = {}
    reached = 0
    order = np.argsort(stops, kind="stable")
    queries = zip(order.tolist(), starts[order].tolist(), stops[order].tolist(), strict=True)
    for query, start, stop in queries:
        for place in range(reached, stop):
            # Taken out first, so that the values stand in the order of their last appearance.
            newest.pop(values[place], None)
            newest[values[place]] = place
        reached = stop
        chosen = found[query]
        for place in reversed(newest.values()):
            if place < start or len(chosen) == count:
                break
            chosen.append(place)
    return found


def oldest_distinct(
    values: Sequence[Any], starts: Matrix, stops: Matrix, count: int
) -> list[list[int]]:
    """The places where the *count* values of each range that appear first do so, in order."""
    size = len(values)
    mirrored = newest_distinct(values[::-1], size - stops, size - starts, count)
    return [[size - 1 - place for place in places] for places in mirrored]


class _Window:
    """
    The registers of a range whose ends only move forwards.

    Each register has a queue of places whose ranks fall: the first has the rank of the register,
    the next is what it falls back to once the first has left the range.
    """

    def __init__(self, precision: int, registers: list[int], ranks: list[int]) -> None:
        self._precision = precision
        self._registers = registers
        self._ranks = ranks
        width = 64 - precision
        self._full_rank = width + 1
        self._weights = [1 << (width - rank) if rank <= width else 0 for rank in range(width + 2)]
        self.clear(0)

    def clear(self, place: int) -> None:
        """Begin again with the empty range at a place."""
        self.low = self.high = place
        self._queues: dict[int, deque[int]] = {}
        self._scaled = self._full = 0

    def enter(self, stop: int) -> None:
        """Move the newer end."""
        for place in range(self.high, stop):
            rank = self._ranks[place]
            queue = self._queues.setdefault(self._registers[place], deque())
            before = self._ranks[queue[0]] if queue else 0
            while queue and self._ranks[queue[-1]] <= rank:
                queue.pop()
            queue.append(place)
            if rank > before:
                self._change(before, rank)
        self.high = stop

    def leave(self, start: int) -> None:
        """Move the older end."""
        for place in range(self.low, start):
            register = self._registers[place]
            queue = self._queues[register]
            if queue[0] == place:
                queue.popleft()
                self._change(self._ranks[place], self._ranks[queue[0]] if queue else 0)
                if not queue:
                    del self._queues[register]
        self.low = start

    def _change(self, before: int, after: int) -> None:
        if before:
            self._scaled -= self._weights[before]
        if after:
            self._scaled += self._weights[after]
        self._full += (after == self._full_rank) - (before == self._full_rank)

    def estimate(self) -> int:
        """How many different values the range has."""
        zeros = (1 << self._precision) - len(self._queues)
        return estimate_of(self._precision, self._scaled, zeros, self._full)


def distinct_estimates(
    precision: int, registers: Matrix, ranks: Matrix, starts: Matrix, stops: Matrix
) -> Matrix:
    """
    What `approx_count_distinct` gives for each range of places.

    Args:
        precision: Base-2 logarithm of the number of registers.
        registers: Of each value, see `registers.placed`.
        ranks: Likewise.
        starts: First places of the ranges. Fast if they ascend as *stops* do, as they do for the
            windows of one length; right in any case.
        stops: The places after their ends.
    """
    window = _Window(precision, registers.tolist(), ranks.tolist())
    estimates = np.zeros(starts.size, np.int64)
    order = np.lexsort((starts, stops))
    queries = zip(order.tolist(), starts[order].tolist(), stops[order].tolist(), strict=True)
    for query, start, stop in queries:
        if start < window.low or start >= window.high:
            window.clear(start)
        window.enter(stop)
        window.leave(start)
        estimates[query] = window.estimate()
    return estimates
