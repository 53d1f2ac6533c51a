"""
Logged records → the feature rows of the views that are applied now.

A record may be older than its source's schema. What it lacks, or holds in another type, is null,
as it is to the jobs; a record without join key or timestamp belongs to nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from tecton.applied import AppliedSource, AppliedView, WorkspaceState
from tecton.errors import FunctionStopped
from tecton.functions.transformation import (
    Failure,
    FunctionRunner,
    NoFunctions,
    Outcome,
    Transformation,
    row_values,
    transformation_of,
)
from tecton.rows import FeatureRow, row_of
from tecton.stores import LogEntry
from tecton.timestamps import parse_stored
from tecton.types import DataType, ValueMismatch, bounded

PATIENCE = 30
"""A record may take so many times as long as when it came in: nobody waits for the answer, and
what yielded rows then has to yield them again."""

_log = logging.getLogger(__name__)


def rows_of(
    state: WorkspaceState,
    entries: Sequence[LogEntry],
    functions: FunctionRunner = NoFunctions(),  # noqa: B008  # immutable
) -> list[FeatureRow]:
    """
    The online rows of logged records, those of replaced generations among them.

    Args:
        state: The workspace; records of sources that it has no more yield nothing.
        entries: The records.
        functions: Runs the functions of views. A record with which a function fails, as none does
            that is the same each time, yields no row of that view.

    Raises:
        FunctionsUnavailable: A view has a function, which cannot run.
    """
    rows = _plain_rows(state, entries)
    for source in state.sources:
        for view in state.views_by_source[source.name]:
            transformation = transformation_of(view, source)
            if view.online and transformation is not None:
                rows += _returned_rows(view, source, transformation, entries, functions)
    return rows + replaced_rows(state, entries, functions)


def replaced_rows(
    state: WorkspaceState,
    entries: Sequence[LogEntry],
    functions: FunctionRunner = NoFunctions(),  # noqa: B008  # immutable
) -> list[FeatureRow]:
    """The online rows of logged records for replaced generations alone; as `rows_of`."""
    return [row for before in state.before for row in rows_of(before, entries, functions)]


def _plain_rows(state: WorkspaceState, entries: Sequence[LogEntry]) -> list[FeatureRow]:
    readers = {
        source.id: [
            _Reader(view)
            for view in state.views_by_source[source.name]
            if view.online and view.function is None
        ]
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


def _returned_rows(
    view: AppliedView,
    source: AppliedSource,
    transformation: Transformation,
    entries: Sequence[LogEntry],
    functions: FunctionRunner,
) -> Iterator[FeatureRow]:
    """The rows that a view's function returns for those records that are of its source."""
    fields = [(field.name, _unbounded(field.dtype).accept) for field in source.fields]
    own = [entry for entry in entries if entry.source == source.id]
    records = [_accepted(fields, msgspec.json.decode(entry.record)) for entry in own]
    outcomes = _outcomes(functions, transformation, records)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:
        _log.warning(
            "%d of %d logged records yield no row of Feature View %s: %s",
            len(failures),
            len(records),
            view.name,
            failures[0].outline,
        )
    for entry, record, outcome in zip(own, records, outcomes, strict=True):
        for row in () if isinstance(outcome, Failure) else outcome:
            values = row_values(transformation, record, row)
            yield row_of(view, values, row.timestamp, entry.sequence)


def _outcomes(
    functions: FunctionRunner, transformation: Transformation, records: Sequence[Mapping[str, Any]]
) -> Sequence[Outcome]:
    """The outcomes of records; one that stops its process is found, and fails alone."""
    try:
        return functions.run(transformation, records, PATIENCE) if records else ()
    except FunctionStopped as exc:
        if len(records) == 1:
            return [Failure(str(exc), str(exc))]
    middle = len(records) // 2
    return [
        *_outcomes(functions, transformation, records[:middle]),
        *_outcomes(functions, transformation, records[middle:]),
    ]


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
