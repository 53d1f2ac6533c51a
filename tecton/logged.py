"""
Logged records → the feature rows of the views that are applied now.

A record may be older than its source's schema. What it lacks, or holds in another type, is null,
as it is to the jobs; a record without join key or timestamp belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from tecton.applied import AppliedView, WorkspaceState
from tecton.rows import FeatureRow, row_of
from tecton.stores import LogEntry
from tecton.timestamps import parse_stored
from tecton.types import DataType, ValueMismatch, bounded


def rows_of(state: WorkspaceState, entries: Sequence[LogEntry]) -> list[FeatureRow]:
    """
    The online rows of logged records.

    Args:
        state: The workspace; records of sources that it has no more yield nothing.
        entries: The records.
    """
    readers = {
        source.id: [_Reader(view) for view in state.views_by_source[source.name] if view.online]
        for source in state.sources
    }
    rows = []
    for entry in entries:
        subscribed = readers.get(entry.source, ())
        record = msgspec.json.decode(entry.record) if subscribed else {}
        for reader in subscribed:
            row = reader.row(record, entry.sequence)
            if row is not None:
                rows.append(row)
    return rows


class _Reader:
    """Makes rows of one view; what it needs for each is looked up once."""

    def __init__(self, view: AppliedView) -> None:
        self._view = view
        self._keys = [(f.name, _unbounded(f.dtype).accept) for f in view.key_fields]
        self._values = [(f.name, _unbounded(f.dtype).accept) for f in view.value_fields]

    def row(self, record: Mapping[str, Any], sequence: int) -> FeatureRow | None:
        at = record.get(self._view.timestamp_field)
        timestamp = parse_stored(at) if isinstance(at, str) else None
        values = _accepted(self._keys, record)
        if timestamp is None or None in values.values():
            return None
        values.update(_accepted(self._values, record))
        return row_of(self._view, values, timestamp, sequence)


def _accepted(
    fields: Sequence[tuple[str, Callable[[Any], Any]]], record: Mapping[str, Any]
) -> dict[str, Any]:
    values = {}
    for name, accept in fields:
        value = record.get(name)
        try:
            # A limit counts when a record comes in: what was taken is never dropped by a new one.
            values[name] = None if value is None else accept(value)
        except ValueMismatch:
            values[name] = None
    return values


@lru_cache(maxsize=1024)
def _unbounded(dtype: DataType) -> DataType:
    return bounded(dtype, None)
