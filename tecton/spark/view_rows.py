"""
All rows of a view that an offline read may see, from wherever they are.
"""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView, WorkspaceState
from tecton.errors import NotFound, ViewNotLoaded
from tecton.rows import BATCH_SEQUENCE_OFFSET
from tecton.spark.batch_rows import period_rows
from tecton.spark.columns import column, ddl
from tecton.spark.erased import accepted_column, without_erased
from tecton.spark.offline_table import row_columns, row_fields
from tecton.spark.push_tables import feature_rows, pin_push_tables, read_pushed
from tecton.spark.returned import period_records, returned_rows
from tecton.spark.sources import read_batch
from tecton.spark.tables import StoreTables
from tecton.stores import is_backfilled
from tecton.timestamps import micros_of

_COMPUTED_SEQUENCE = -BATCH_SEQUENCE_OFFSET
"""Of batch rows that no run has written: before every pushed record."""


class Span(NamedTuple):
    """Event timestamps of use, µs since the epoch, both inclusive; None: no bound."""

    first: int | None = None
    last: int | None = None


def view_rows(
    tables: StoreTables,
    state: WorkspaceState,
    view: AppliedView,
    from_source: bool | None,
    span: Span,
) -> DataFrame:
    """
    The rows of a view, superseded ones included: recency decides between them.

    Args:
        tables: Where the rows are.
        state: The workspace.
        view: The view.
        from_source: True: computed from the batch source and the push tables. False: what is
            materialised. None: that and the pushed records that it has not taken; as True for a
            view that is not materialised offline.
        span: Others need not be among them.

    Returns:
        `row_fields`, `_sequence`, `_tie`.

    Raises:
        NotFound: *from_source* is False and nothing is materialised.
        ViewNotLoaded: The backfill has not ended, so rows would be missing.
        SourceError: The batch data is missing or of another schema.
    """
    is_materialised = state.live and view.offline
    if from_source is False:
        rows = _materialised(tables, state, view, is_materialised, span)
    elif from_source or not is_materialised:
        rows = _computed(tables, state, view)
    else:
        rows = _current(tables, state, view, span)
    stones = tables.tombstones(state, view)
    if stones.offline:
        accepted = _accepted(tables, state, view, min(stones.offline.values()))
        rows = without_erased(rows, view, stones.salt, stones.offline, accepted)
    at = F.unix_micros(column(view.timestamp_field))
    if span.first is not None:
        rows = rows.where(at >= span.first)
    return rows if span.last is None else rows.where(at <= span.last)


def _accepted(tables: StoreTables, state: WorkspaceState, view: AppliedView, after: int) -> Column:
    """When a row came to be; of a computed batch row, when the newest run over it began."""
    at = F.unix_micros(column(view.timestamp_field))
    runs = [
        F.when((at >= micros_of(run.start)) & (at < micros_of(run.end)), micros_of(run.started))
        for run in tables.runs.of(state.folder, view.name)
        if run.view_id == view.id and micros_of(run.started) > after
    ]
    newest = F.greatest(F.lit(0), F.lit(0), *runs)
    is_computed = F.col("_sequence") == _COMPUTED_SEQUENCE
    return F.when(is_computed, newest).otherwise(accepted_column())


def _materialised(
    tables: StoreTables,
    state: WorkspaceState,
    view: AppliedView,
    is_materialised: bool,
    span: Span,
) -> DataFrame:
    table = tables.offline_table(state, view)
    version = table.version() if is_materialised else None
    if version is None:
        raise NotFound(
            f"feature view {view.name} has no materialised data in workspace {state.name}; "
            "apply it with offline=True in a live workspace, or leave from_source out"
        )
    return table.read(version, span.first, span.last).select(*_columns(view))


def _computed(tables: StoreTables, state: WorkspaceState, view: AppliedView) -> DataFrame:
    source = state.source_by_name[view.source]
    pushed = read_pushed(tables.spark, tables.store, pin_push_tables(tables.logs, state), {})
    frames = []
    if source.batch is not None:
        rows = read_batch(tables.spark, source, tables.rules.roots)
        if view.function is not None:
            rows = returned_rows(period_records(rows, source, view, None), source, view)
        frames.append(period_rows(rows, view, _COMPUTED_SEQUENCE, key_bytes=tables.rules.key_bytes))
    if pushed is not None:
        frames.append(feature_rows(pushed, source, view))
    return _union(tables, view, frames)


def _current(
    tables: StoreTables, state: WorkspaceState, view: AppliedView, span: Span
) -> DataFrame:
    source = state.source_by_name[view.source]
    if source.batch is not None and not _is_filled(tables, state, view):
        raise ViewNotLoaded(
            f"the backfill of feature view {view.name} has not ended; wait for it or run it "
            f"again, or read with from_source=True",
            retry_after=5,
        )
    table = tables.offline_table(state, view)
    # In this order: what is taken between the two steps is then read twice, never missed.
    version = table.version()
    push_tables = pin_push_tables(tables.logs, state)
    taken = {push.writer: table.taken(push.writer, version) for push in push_tables}
    pushed = read_pushed(tables.spark, tables.store, push_tables, taken)
    frames = []
    if version is not None:
        frames.append(table.read(version, span.first, span.last).select(*_columns(view)))
    if pushed is not None:
        frames.append(feature_rows(pushed, source, view))
    return _union(tables, view, frames)


def _is_filled(tables: StoreTables, state: WorkspaceState, view: AppliedView) -> bool:
    """Has the backfill ended, also that of an earlier `feature_start_time`?"""
    runs = tables.runs.of(state.folder, view.name)
    starts = [run.start for run in runs if run.view_id == view.id and run.start < run.end]
    reaches = not starts or micros_of(min(starts)) <= view.start_micros
    return reaches and is_backfilled(runs, view)


def _union(tables: StoreTables, view: AppliedView, frames: list[DataFrame]) -> DataFrame:
    if not frames:
        schema = f"{ddl(row_fields(view))},_sequence bigint,_tie int"
        return tables.spark.createDataFrame([], schema)
    united = frames[0]
    for frame in frames[1:]:
        united = united.unionByName(frame)
    return united


def _columns(view: AppliedView) -> list[Column]:
    return [*row_columns(view), F.col("_sequence"), F.col("_tie")]
