"""
Logged records → the feature rows of the views that are applied now.

A record may be older than its source's schema. What it lacks, or holds in another type, is null,
as it is to the jobs; a record without join key or timestamp belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from tecton.applied import AppliedView, WorkspaceState
from tecton.rows import FeatureRow, row_of
from tecton.stores import LogEntry
from tecton.timestamps import parse_rfc3339
from tecton.types import DataType, Field, ValueMismatch, bounded


def rows_of(state: WorkspaceState, entries: Sequence[LogEntry]) -> list[FeatureRow]:
    """
    The online rows of logged records.

    Args:
        state: The workspace; records of sources that it has no more yield nothing.
        entries: The records.
    """
    views = {
        source.id: [view for view in state.views_by_source[source.name] if view.online]
        for source in state.sources
    }
    rows = []
    for entry in entries:
        subscribed = views.get(entry.source, [])
        record = msgspec.json.decode(entry.record) if subscribed else {}
        for view in subscribed:
            row = _row(view, record, entry.sequence)
            if row is not None:
                rows.append(row)
    return rows


def _row(view: AppliedView, record: Mapping[str, Any], sequence: int) -> FeatureRow | None:
    at = record.get(view.timestamp_field)
    timestamp = parse_rfc3339(at) if isinstance(at, str) else None
    fields = (*view.key_fields, *view.value_fields)
    values = {field.name: _value(field, record.get(field.name)) for field in fields}
    if timestamp is None or any(values[field.name] is None for field in view.key_fields):
        return None
    return row_of(view, values, timestamp, sequence)


def _value(field: Field, value: Any) -> Any:
    try:
        # A limit counts when a record comes in: what was taken is never dropped by a new one.
        return None if value is None else _unbounded(field.dtype).accept(value)
    except ValueMismatch:
        return None


@lru_cache(maxsize=1024)
def _unbounded(dtype: DataType) -> DataType:
    return bounded(dtype, None)
