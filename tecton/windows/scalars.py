"""
The part of a state that has a fixed width: counts, sums, means, squares and extremes of numbers.

Many states stand side by side, as the columns of a few matrices, one matrix for each way of
merging. Int64 is summed exactly, in two halves. Squared distances are merged by Chan, Golub and
LeVeque's formula (1979), so nothing is ever taken off a running sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tecton.windows.events import Events
from tecton.windows.layout import Layout, Matrix

_HALF = 32
_LOW = (1 << _HALF) - 1
_NO_INTEGER = -(2**63)


class Scalars(NamedTuple):
    """
    The scalar parts of some states, one column each; which rows there are is said by a `Layout`.

    Args:
        counts: int64: events, then the values that are not null of each column.
        limbs: int64: the sums of the high halves, then those of the low halves.
        sums: float64.
        means: float64; 0 of no values.
        squares: float64: sums of squared distances from the mean.
        integer_tops: int64; the lowest there is of no values.
        float_tops: float64; -inf of no values.
    """

    counts: Matrix
    limbs: Matrix
    sums: Matrix
    means: Matrix
    squares: Matrix
    integer_tops: Matrix
    float_tops: Matrix

    @property
    def size(self) -> int:
        """How many states there are."""
        return int(self.counts.shape[1])

    def take(self, at: Matrix | slice) -> Scalars:
        """The states at some positions, or in a slice."""
        return Scalars(*(matrix[:, at] for matrix in self))


_IDENTITY = (0, 0, 0.0, 0.0, 0.0, _NO_INTEGER, -np.inf)


def blank(rows: Iterable[int], size: int) -> Scalars:
    """As many states of no events; *rows* says how many each matrix has."""
    parts = zip(rows, _IDENTITY, _DTYPES, strict=True)
    return Scalars(*(np.full((n, size), fill, dtype) for n, fill, dtype in parts))


def singles(layout: Layout, events: Events) -> Scalars:
    """The state of each event by itself."""
    rows, size = rows_of(layout), events.size
    parts = zip(rows, _DTYPES, strict=True)
    states = Scalars(*(np.empty((n, size), dtype) for n, dtype in parts))
    columns = events.columns
    states.counts[0] = 1
    for row, column in enumerate(columns, 1):
        states.counts[row] = column.valid
    for row, index in enumerate(layout.limbs):
        values = columns[index].values
        np.right_shift(values, _HALF, out=states.limbs[row])
        np.bitwise_and(values, _LOW, out=states.limbs[row + len(layout.limbs)])
    for row, index in enumerate(layout.sums):
        states.sums[row] = columns[index].values
    for row, index in enumerate(layout.means):
        states.means[row] = columns[index].values
    if layout.spreads:
        with np.errstate(invalid="ignore"):
            # 0, but NaN for the infinities, which have no distance from themselves.
            means = states.means[: len(layout.spreads)]
            np.subtract(means, means, out=states.squares)
    for row, top in enumerate(layout.integer_tops):
        values, valid = columns[top.column]
        turned = ~values if top.function == "min" else values
        states.integer_tops[row] = np.where(valid, turned, _NO_INTEGER)
    for row, top in enumerate(layout.float_tops):
        values, valid = columns[top.column]
        turned = -values if top.function == "min" else values
        states.float_tops[row] = np.where(valid, turned, -np.inf)
    return states


def joined(parts: Sequence[Scalars]) -> Scalars:
    """All states of all *parts*, in their order."""
    if len(parts) == 1:
        return parts[0]
    return Scalars(*(np.concatenate(matrices, axis=1) for matrices in zip(*parts, strict=True)))


def merged(layout: Layout, states: Scalars, sizes: Matrix) -> Scalars:
    """
    One state of each group of neighbours.

    Args:
        layout: Of the view.
        states: The groups, one after another.
        sizes: How many states each group has; 0 gives the state of no events.
    """
    taken = sizes > 0
    if not taken.all():
        whole = blank(rows_of(layout), sizes.size)
        if taken.any():
            parts = zip(whole, merged(layout, states, sizes[taken]), strict=True)
            for matrix, part in parts:
                matrix[:, taken] = part
        return whole
    starts = np.cumsum(sizes) - sizes
    with np.errstate(all="ignore"):
        counts = np.add.reduceat(states.counts, starts, axis=1)
        means, squares = _moments(layout, states, counts, starts, sizes)
        return Scalars(
            counts,
            _reduced(np.add, states.limbs, starts),
            _reduced(np.add, states.sums, starts),
            means,
            squares,
            _reduced(np.maximum, states.integer_tops, starts),
            _reduced(np.maximum, states.float_tops, starts),
        )


def paired(layout: Layout, left: Scalars, right: Scalars) -> Scalars:
    """Each state of *left* merged with the one at the same place of *right*."""
    with np.errstate(all="ignore"):
        counts = left.counts + right.counts
        means, squares = left.means, left.squares
        if layout.means:
            n_left, n_right = left.counts[layout.mean_counts], right.counts[layout.mean_counts]
            n = np.maximum(n_left + n_right, 1)
            means = left.means * (n_left / n) + right.means * (n_right / n)
            kept = slice(len(layout.spreads))
            between = right.means[kept] - left.means[kept]
            # In this order nothing overflows that need not: 0 × ∞ would be NaN.
            added = between * (n_left[kept] * (n_right[kept] / n[kept])) * between
            squares = left.squares + right.squares + added
        return Scalars(
            counts,
            left.limbs + right.limbs,
            left.sums + right.sums,
            means,
            squares,
            np.maximum(left.integer_tops, right.integer_tops),
            np.maximum(left.float_tops, right.float_tops),
        )


def _moments(
    layout: Layout, states: Scalars, counts: Matrix, starts: Matrix, sizes: Matrix
) -> tuple[Matrix, Matrix]:
    if not layout.means:
        return np.empty((0, starts.size)), np.empty((0, starts.size))
    each = states.counts[layout.mean_counts]
    total = np.maximum(counts[layout.mean_counts], 1)
    # Weights first, so that the mean of finite values is finite.
    weights = each / np.repeat(total, sizes, axis=1)
    means = np.add.reduceat(states.means * weights, starts, axis=1)
    kept = slice(len(layout.spreads))
    if not layout.spreads:
        return means, np.empty((0, starts.size))
    away = states.means[kept] - np.repeat(means[kept], sizes, axis=1)
    away = each[kept] * away * away
    return means, np.add.reduceat(states.squares + away, starts, axis=1)


def _reduced(ufunc: np.ufunc, matrix: Matrix, starts: Matrix) -> Matrix:
    if not len(matrix):
        return np.empty((0, starts.size), matrix.dtype)
    reduced: Matrix = ufunc.reduceat(matrix, starts, axis=1)
    return reduced


_DTYPES = (np.int64, np.int64, np.float64, np.float64, np.float64, np.int64, np.float64)
_STORED = ("<u4", "<i8", "<f8", "<f8", "<f8", "<i8", "<f8")


def rows_of(layout: Layout) -> tuple[int, ...]:
    """How many rows the matrices of a view's states have."""
    return (
        1 + len(layout.fields),
        2 * len(layout.limbs),
        len(layout.sums),
        len(layout.means),
        len(layout.spreads),
        len(layout.integer_tops),
        len(layout.float_tops),
    )


def stored_dtype(layout: Layout) -> np.dtype[Any]:
    """How a state is laid out in bytes."""
    parts = zip(Scalars._fields, _STORED, rows_of(layout), strict=True)
    return np.dtype([(name, code, (rows,)) for name, code, rows in parts if rows])


def encoded(dtype: np.dtype[Any], states: Scalars) -> bytes:
    """The states, one after another."""
    out = np.empty(states.size, dtype)
    for name in dtype.names or ():
        out[name] = getattr(states, name).T
    return out.tobytes()


def decoded(layout: Layout, dtype: np.dtype[Any], data: bytes) -> Scalars:
    """The states that were `encoded`."""
    stored = np.frombuffer(data, dtype)
    matrices = []
    for name, kind in zip(Scalars._fields, _DTYPES, strict=True):
        if name in (dtype.names or ()):
            matrices.append(np.ascontiguousarray(stored[name].T, kind))
        else:
            matrices.append(np.empty((0, stored.size), kind))
    return Scalars(*matrices)
