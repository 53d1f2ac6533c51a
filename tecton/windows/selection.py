"""
The k-th smallest of many ranges of one sequence, by a wavelet matrix (Claude and Navarro, 2012).

Values are numbered by size. Level by level, from the highest bit of these numbers, the sequence
is parted stably into those with a 0 and those with a 1; how many zeros stand before each place
leads a range, and a rank inside it, down to one number. All queries go down together.
"""

from __future__ import annotations

import numpy as np

from tecton.windows.layout import Matrix


class Selection:
    """
    A sequence prepared for queries.

    Args:
        values: Comparable ones; no NaN.
    """

    def __init__(self, values: Matrix) -> None:
        self._sorted, numbers = np.unique(values, return_inverse=True)
        self._zeros = []
        for bit in range(max(self._sorted.size - 1, 0).bit_length() - 1, -1, -1):
            is_zero = (numbers >> bit) & 1 == 0
            self._zeros.append(np.concatenate([[0], np.cumsum(is_zero)]))
            numbers = np.concatenate([numbers[is_zero], numbers[~is_zero]])

    def smallest(self, starts: Matrix, stops: Matrix, ranks: Matrix) -> Matrix:
        """The value of each rank, from 0, in its range of positions; no range is empty."""
        number = np.zeros(starts.size, np.intp)
        for zeros in self._zeros:
            first, last = zeros[starts], zeros[stops]
            is_one = ranks >= last - first
            ranks = np.where(is_one, ranks - (last - first), ranks)
            starts = np.where(is_one, zeros[-1] + starts - first, first)
            stops = np.where(is_one, zeros[-1] + stops - last, last)
            number = 2 * number + is_one
        smallest: Matrix = self._sorted[number]
        return smallest


def quantiles(selection: Selection, starts: Matrix, stops: Matrix, part: float) -> Matrix:
    """What `approx_percentile` estimates, exactly, of each range of positions; none is empty."""
    sizes = stops - starts
    place = np.clip(part * sizes - 0.5, 0.0, sizes - 1.0)
    low = place.astype(np.int64)
    below = selection.smallest(starts, stops, low)
    above = selection.smallest(starts, stops, np.minimum(low + 1, sizes - 1))
    share = place - low
    with np.errstate(invalid="ignore"):
        mixed = np.clip(below * (1 - share) + above * share, below, above)
    # As `quantiles.between` does.
    nearer = np.where(share < 0.5, below, above)
    return np.where(np.isinf(below) | np.isinf(above), nearer, mixed)
