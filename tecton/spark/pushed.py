"""
Pushed records → offline tables and, for a view that is new, the online store.

An offline table that has taken batch n of a writer holds the rows of every batch up to n.
Whoever adds rows adds all of them from there on, so nothing depends on who did it last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView, WorkspaceState
from tecton.failpoints import Point, reach
from tecton.spark.columns import column, only_row
from tecton.spark.erased import without_erased
from tecton.spark.online_load import load_online
from tecton.spark.passes import kept
from tecton.spark.push_tables import PushTable, feature_rows, pin_push_tables, read_pushed
from tecton.spark.tables import JobStores
from tecton.timestamps import EPOCH, micros_of


@dataclass(frozen=True)
class PushReport:
    """What became of pushed records.

    Args:
        view: Name of the view.
        offline: Rows added to the offline table.
        online: Rows offered to the online store.
        seconds: How long it took.
        is_refill: Are these all rows that the online store was filled with anew?
        late: Of the rows added, how many are of periods that were materialised before.
    """

    view: str
    offline: int
    online: int
    seconds: float
    is_refill: bool = False
    late: int = 0

    def __str__(self) -> str:
        if self.is_refill:
            return f"{self.view}: refill: {self.online:,} offered online, {self.seconds:.1f} s"
        late = f" ({self.late:,} late)" if self.late else ""
        return (
            f"{self.view}: pushed records: {self.offline:,} rows added offline{late}, "
            f"{self.online:,} offered online, {self.seconds:.1f} s"
        )


def add_pushed(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    table: PushTable,
    fresh: DataFrame | None = None,
    fresh_from: int = 0,
    late_before: datetime = EPOCH,
) -> tuple[int, int]:
    """
    Bring an offline table up to date with a writer's push table.

    Args:
        stores: What the job works on.
        state: The workspace.
        view: A view with an offline table.
        table: The push table; rows above its `last_batch` are left alone.
        fresh: Rows of *table* that are at hand already: all from *fresh_from* to `last_batch`.
        fresh_from: The first batch of *fresh*.
        late_before: Rows with an older timestamp are late.

    Returns:
        How many rows were added, and how many of them are late.
    """
    source = state.source_by_name[view.source]
    offline = stores.offline_table(state, view)
    taken = offline.taken(table.writer, offline.version())
    if taken >= table.last_batch:
        return 0, 0
    if fresh is None or fresh_from > taken + 1:
        fresh = read_pushed(stores.spark, stores.store, [table], {table.writer: taken})
    assert fresh is not None, "there are batches above"  # noqa: S101
    batch_no = F.col("batch_no")
    wanted = (batch_no > taken) & (batch_no <= table.last_batch) & (F.col("source") == source.id)
    stones = stores.tombstones(state, view)
    rows = feature_rows(fresh.where(wanted), source, view)
    rows = without_erased(rows, view, stones.salt, stones.offline)
    # A function may not be the same each time; what is counted is what was added.
    with kept(rows) if view.function is not None else nullcontext():
        offline.add_pushed(rows, table.writer, table.last_batch)
        reach(Point.PUSHED_ADDED)
        is_late = F.unix_micros(column(view.timestamp_field)) < micros_of(late_before)
        counted = only_row(rows.agg(F.count("*").alias("all"), F.count_if(is_late).alias("late")))
        return counted["all"], counted["late"]


def add_all_pushed(
    stores: JobStores, state: WorkspaceState, view: AppliedView, late_before: datetime = EPOCH
) -> tuple[int, int]:
    """Bring an offline table up to date with every push table; as `add_pushed`."""
    tables = pin_push_tables(stores.logs, state)
    added = [add_pushed(stores, state, view, table, late_before=late_before) for table in tables]
    return sum(rows for rows, _ in added), sum(late for _, late in added)


def offer_pushed(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    tables: Sequence[PushTable],
    after: Mapping[str, int],
    before_version: int | None = None,
) -> int:
    """
    Offer pushed records to the online store, with their own sequences.

    Args:
        stores: What the job works on.
        state: The workspace.
        view: The view.
        tables: The push tables.
        after: By writer: the batch above which records are read.
        before_version: Only those whose service knew an older registry version.

    Returns:
        How many rows were offered.
    """
    records = read_pushed(stores.spark, stores.store, tables, after)
    if records is None:
        return 0
    if before_version is not None:
        records = records.where(F.col("registry_version") < before_version)
    rows = feature_rows(records, state.source_by_name[view.source], view)
    erased = partial(stores.tombstones, state, view)
    return load_online(rows, view, stores.clock(), stores.open_online, erased)
