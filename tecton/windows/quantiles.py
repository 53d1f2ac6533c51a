"""
A mergeable sketch of the distribution of a column: a t-digest (Dunning and Ertl, 2019).

Values are kept one by one while there are at most 4 × precision of them. More are drawn together
to at most 3 × precision means with weights, narrow towards both ends: around the rank q × n a mean
stands for π √(q (1 − q)) / (3 × precision) of all values. Equal values are one mean of which that
is known, so a column of few different values is not blurred. The error in rank is stated, and
tested, as n / precision + 1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tecton.windows.events import Events
from tecton.windows.layout import Feature, Matrix
from tecton.windows.summaries import Summary

_SINGLE, _DIGEST = b"\0", b"\1"
_head = struct.Struct("<IIdd")
_EQUAL = 1 << 31
"""Set in a weight whose values are equal; so there can be 2³¹ values."""


class Digest(NamedTuple):
    """
    Means with weights, in ascending order.

    Args:
        below: How many values are -inf.
        above: How many are inf.
        least: The least finite value.
        greatest: The greatest one.
        means: float64.
        marked: uint32, the weights with their marks.
    """

    below: int
    above: int
    least: float
    greatest: float
    means: Matrix
    marked: Matrix

    @property
    def weights(self) -> Matrix:
        """How many values each mean stands for."""
        return _weights(self.marked)

    @property
    def equal(self) -> Matrix:
        """Where a mean is what all its values are."""
        return np.asarray(self.marked & _EQUAL != 0)


class Quantiles(Summary):
    """
    The sketch of a column.

    Args:
        column: Position of the column.
        precision: 20 to 500.
    """

    def __init__(self, column: int, precision: int) -> None:
        self._column = column
        self._buckets = 3 * precision
        self._most = 4 * precision

    def lift(self, events: Events) -> bytes:
        """The sketch of some events."""
        values, valid = events.columns[self._column]
        return self._packed(values[valid].astype(np.float64), ())

    def gather(self, partials: Sequence[bytes], loose: Sequence[Events]) -> bytes:
        """The sketch of all, in which nothing more is drawn together."""
        columns = [events.columns[self._column] for events in loose]
        values = np.concatenate([np.empty(0), *(c.values[c.valid] for c in columns)])
        singles = [p[1:] for p in partials if p[:1] == _SINGLE]
        digests = [_digest(partial) for partial in partials if partial[:1] == _DIGEST]
        values = np.append(values, np.frombuffer(b"".join(singles)))
        return self._packed(values, digests, is_drawn=False)

    def merge(self, partials: Sequence[bytes]) -> bytes:
        """The sketch of all."""
        given = [partial for partial in partials if partial]
        if len(given) < 2:
            return given[0] if given else b""
        singles = b"".join(partial[1:] for partial in given if partial[:1] == _SINGLE)
        digests = [_digest(partial) for partial in given if partial[:1] == _DIGEST]
        return self._packed(np.frombuffer(singles), digests)

    def value(self, partial: bytes, feature: Feature) -> float | None:
        """The value of the feature's rank."""
        part = feature.aggregation.percentile
        if not partial or part is None:
            return None
        if partial[:1] == _DIGEST:
            return _of_digest(_digest(partial), part)
        return _of_values(np.frombuffer(partial, offset=1), part)

    def _packed(self, values: Matrix, digests: Sequence[Digest], is_drawn: bool = True) -> bytes:
        if not digests and (values.size <= self._most or not is_drawn):
            return _SINGLE + np.sort(values).tobytes() if values.size else b""
        finite = values[np.isfinite(values)]
        means = np.concatenate([finite, *(d.means for d in digests)])
        ones = np.full(finite.size, _EQUAL | 1, np.uint32)
        marked = np.concatenate([ones, *(d.marked for d in digests)])
        order = np.argsort(means, kind="stable")
        means, marked = means[order], marked[order]
        if is_drawn:
            means, weights, equal = self._drawn(means, _weights(marked), marked & _EQUAL != 0)
            marked = (weights | np.where(equal, _EQUAL, 0)).astype(np.uint32)
        ends = [end for d in digests if d.means.size for end in (d.least, d.greatest)]
        ends += [finite.min(), finite.max()] if finite.size else []
        below = int((values == -np.inf).sum()) + sum(digest.below for digest in digests)
        above = int((values == np.inf).sum()) + sum(digest.above for digest in digests)
        head = _head.pack(below, above, min(ends, default=0.0), max(ends, default=0.0))
        return _DIGEST + head + means.tobytes() + marked.astype("<u4", copy=False).tobytes()

    def _drawn(
        self, means: Matrix, weights: Matrix, equal: Matrix
    ) -> tuple[Matrix, Matrix, Matrix]:
        """Neighbours drawn together: first equal ones, then if need be those of one bucket."""
        is_same = equal[1:] & equal[:-1] & (means[1:] == means[:-1])
        starts = np.flatnonzero(np.append(True, ~is_same)) if means.size else np.empty(0, np.intp)
        if starts.size < means.size:
            means, weights = means[starts], np.add.reduceat(weights, starts)
            equal = equal[starts]
        if means.size <= self._most:
            return means, weights, equal
        ranks = np.cumsum(weights) - weights / 2
        middle = ranks * (2 / weights.sum()) - 1
        bucket = np.floor((np.arcsin(middle) / math.pi + 0.5) * self._buckets)
        starts = np.flatnonzero(np.diff(bucket, prepend=-1.0))
        total = np.add.reduceat(weights, starts)
        sizes = np.diff(starts, append=means.size)
        # Weights first, so that nothing overflows; rounding must not lead out of the bucket.
        parts = np.add.reduceat(means * (weights / np.repeat(total, sizes)), starts)
        parts = np.clip(parts, means[starts], means[starts + sizes - 1])
        return parts, total, equal[starts] & (sizes == 1)


def _digest(partial: bytes) -> Digest:
    below, above, least, greatest = _head.unpack_from(partial, 1)
    start = 1 + _head.size
    size = (len(partial) - start) // 12
    means = np.frombuffer(partial, "<f8", size, start)
    marked = np.frombuffer(partial, "<u4", size, start + 8 * size)
    return Digest(below, above, least, greatest, means, marked)


def _weights(marked: Matrix) -> Matrix:
    return (marked & (_EQUAL - 1)).astype(np.int64)


def _of_values(ordered: Matrix, part: float) -> float:
    place = min(max(part * ordered.size - 0.5, 0.0), ordered.size - 1.0)
    low = int(place)
    high = min(low + 1, ordered.size - 1)
    return between(float(ordered[low]), float(ordered[high]), place - low)


def _of_digest(digest: Digest, part: float) -> float:
    weights = digest.weights
    finite = int(weights.sum())
    rank = part * (digest.below + finite + digest.above) - digest.below
    if rank < 0 or (not finite and not digest.above):
        return -math.inf
    if rank > finite or not finite:
        return math.inf
    # A mean stands in the middle of its ranks; one of equal values from its first to its last.
    width = np.where(digest.equal, weights - 1, 0) / 2
    middles = np.cumsum(weights) - weights / 2
    ranks = np.column_stack([middles - width, middles + width]).ravel()
    after = int(np.searchsorted(ranks, rank))
    low, start = digest.least, 0.0
    if after > 0:
        low, start = float(digest.means[(after - 1) // 2]), float(ranks[after - 1])
    high, end = digest.greatest, float(finite)
    if after < ranks.size:
        high, end = float(digest.means[after // 2]), float(ranks[after])
    return between(low, high, (rank - start) / (end - start) if end > start else 0.0)


def between(low: float, high: float, part: float) -> float:
    """What lies *part* of the way from *low* to *high*; of an infinity only the nearer end does."""
    if math.isinf(low) or math.isinf(high):
        return low if part < 0.5 else high
    return min(max(low * (1 - part) + high * part, low), high)
