"""
The first or last values of a column, each with its place in the order of events.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tecton.packed import Kind
from tecton.windows.events import Events
from tecton.windows.layout import Feature, Matrix
from tecton.windows.summaries import Summary

_head = struct.Struct("<Iqq")


class Entries(NamedTuple):
    """
    Values in ascending order of their events.

    Args:
        order: Timestamps; of a view with an event key also sequences, ties and identities.
        values: One for each.
    """

    order: tuple[Matrix, ...]
    values: Matrix


class Ends(Summary):
    """
    The list of a column. Bytes: how many, the oldest and newest timestamp, the order, the values.

    Args:
        column: Position of the column.
        kind: How it is packed.
        count: How many values are kept.
        is_last: Whether they are the last ones.
        is_distinct: Whether each value is kept once, where it appears first or last.
        has_key: Whether the view has an event key, so that timestamps alone are no order.
    """

    def __init__(
        self, column: int, kind: Kind, count: int, is_last: bool, is_distinct: bool, has_key: bool
    ) -> None:
        self._column = column
        self._kind = kind
        self._kept = slice(-count, None) if is_last else slice(count)
        self._count = count
        self._is_last = is_last
        self._is_distinct = is_distinct
        self._order = ("<i8", "<i8", "<i8", "<u8") if has_key else ("<i8",)

    def lift(self, events: Events) -> bytes:
        """The list of some events."""
        values, valid = events.columns[self._column]
        at = np.flatnonzero(valid)
        chosen = at[self._distinct(values[at])] if self._is_distinct else at[self._kept]
        given = (events.timestamps, events.sequences, events.ties, events.identities)
        order = (
            np.zeros(chosen.size, np.int64) if part is None else part[chosen]
            for part in given[: len(self._order)]
        )
        return self._encoded(Entries(tuple(order), values[chosen]))

    def merge(self, partials: Sequence[bytes]) -> bytes:
        """The list of all."""
        waiting = [(_head.unpack_from(partial), partial) for partial in partials if partial]
        if len(waiting) < 2:
            return waiting[0][1] if waiting else b""
        # Those that reach furthest come first: then the rest need mostly not be looked at.
        if self._is_last:
            waiting.sort(key=lambda run: -run[0][2])
        else:
            waiting.sort(key=lambda run: run[0][1])
        merged: bytes = b""
        while waiting and not self._is_complete(merged, waiting[0][0]):
            size, taken = 0, 0
            while taken < len(waiting) and size <= self._count:
                size += waiting[taken][0][0]
                taken += 1
            texts = [text for _, text in waiting[:taken]]
            merged = self._merged([merged, *texts] if merged else texts)
            del waiting[:taken]
        return merged

    def value(self, partial: bytes, feature: Feature) -> Any:
        """One value, or the list of at most as many as the feature asks for."""
        if not partial:
            return None
        values = self._decoded(partial).values.tolist()
        n = feature.aggregation.n
        if n is None:
            return values[-1]
        return values[-n:] if self._is_last else values[:n]

    def _is_complete(self, merged: bytes, head: tuple[int, int, int]) -> bool:
        """Whether a list, and all that reach less far, have nothing to add."""
        if not merged:
            return False
        count, oldest, newest = _head.unpack_from(merged)
        beyond: bool = head[2] < oldest if self._is_last else head[1] > newest
        return count == self._count and beyond

    def _merged(self, texts: Sequence[bytes]) -> bytes:
        lists = [self._decoded(text) for text in texts]
        order = [np.concatenate(parts) for parts in zip(*(e.order for e in lists), strict=True)]
        values = np.concatenate([entries.values for entries in lists])
        at = np.lexsort(order[::-1])
        chosen = at[self._distinct(values[at])] if self._is_distinct else at[self._kept]
        return self._encoded(Entries(tuple(part[chosen] for part in order), values[chosen]))

    def _distinct(self, values: Matrix) -> Matrix:
        """The places of the values that are kept, each of them once, ascending."""
        listed = values.tolist()
        if self._is_last:
            places = dict(zip(listed, range(len(listed)), strict=True))
        else:
            places = dict(zip(reversed(listed), range(len(listed) - 1, -1, -1), strict=True))
        return np.array(sorted(places.values())[self._kept], np.intp)

    def _encoded(self, entries: Entries) -> bytes:
        count = entries.values.size
        if not count:
            return b""
        times = entries.order[0]
        parts = [_head.pack(count, times[0], times[-1])]
        pairs = zip(entries.order, self._order, strict=True)
        parts += [part.astype(code).tobytes() for part, code in pairs]
        if self._kind is Kind.TEXT:
            texts = [text.encode() for text in entries.values.tolist()]
            parts.append(np.array([len(text) for text in texts], "<u4").tobytes())
            parts += texts
        else:
            parts.append(entries.values.tobytes())
        return b"".join(parts)

    def _decoded(self, data: bytes) -> Entries:
        count = _head.unpack_from(data)[0]
        start = _head.size
        order = []
        for code in self._order:
            order.append(np.frombuffer(data, code, count, start))
            start += 8 * count
        if self._kind is not Kind.TEXT:
            return Entries(tuple(order), np.frombuffer(data, self._kind.value, count, start))
        values = np.empty(count, object)
        lengths = np.frombuffer(data, "<u4", count, start).tolist()
        start += 4 * count
        for i, length in enumerate(lengths):
            values[i] = data[start : start + length].decode()
            start += length
        return Entries(tuple(order), values)
