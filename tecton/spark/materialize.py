"""
One view's batch rows of a period, one or several runs of it → offline table and online store.

Backfill and frontfill both are this. It can be killed anywhere and run again: the period is
replaced as a whole, and the online store keeps what is most recent. Adjacent runs are one pass
over the source and one write; each has a report of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedSource, AppliedView, WorkspaceState
from tecton.failpoints import Point, reach
from tecton.periods import Period
from tecton.rows import batch_sequence
from tecton.spark.batch_rows import Counts, by_run, count_returned, count_rows, period_rows
from tecton.spark.columns import column, utc_date
from tecton.spark.offline_table import BATCH, OfflineTable
from tecton.spark.online_load import load_online
from tecton.spark.passes import Pass, kept
from tecton.spark.returned import period_records, returned_rows
from tecton.spark.session import enough_partitions
from tecton.spark.tables import JobStores
from tecton.timestamps import from_micros, micros_of


@dataclass(frozen=True)
class BatchReport:
    """What became of the batch rows of one run.

    Args:
        view: Name of the view.
        period: The run's period.
        rows: Source rows with a timestamp in the period, or without one.
        kept: Feature rows that came of them.
        collapsed: Rows that shared an identity with one that was kept.
        keyless: Rows without a join key or timestamp; they belong to nobody.
        refused: Rows with a join key of over 512 bytes or with NUL in it.
        online: Rows offered to the online store; of runs that were made together, all of them with
            the newest one.
        seconds: How long it took, together with the runs that were made at once.
        is_overtaken: A run that began later has written the period; nothing was changed.
    """

    view: str
    period: Period
    rows: int
    kept: int
    collapsed: int
    keyless: int
    refused: int
    online: int
    seconds: float = 0.0
    is_overtaken: bool = False

    def __str__(self) -> str:
        if self.is_overtaken:
            return f"{self.view}: {self.period}: left to a run that began later"
        parts = [f"{self.rows:,} batch rows", f"{self.kept:,} feature rows"]
        if self.keyless:
            parts.append(f"{self.keyless:,} without join key or timestamp left out")
        if self.refused:
            parts.append(f"{self.refused:,} with a join key too long or with NUL left out")
        if self.collapsed:
            parts.append(f"{self.collapsed:,} collapsed with another of the same identity")
        parts += [f"{self.online:,} offered online", f"{self.seconds:.1f} s"]
        return f"{self.view}: {self.period}: {', '.join(parts)}"


def materialize(
    stores: JobStores,
    state: WorkspaceState,
    source: AppliedSource,
    view: AppliedView,
    runs: Sequence[Period],
) -> Sequence[BatchReport]:
    """
    Bring batch rows to wherever the view keeps its rows.

    Args:
        stores: What the job works on.
        state: The workspace.
        source: The view's source, with batch rows.
        view: The view.
        runs: Which rows: adjacent periods, as `periods.runs_of` cuts them.

    Returns:
        A report for each run.

    Raises:
        SourceError: The batch data is missing or of another schema; nothing was changed.
    """
    began = stores.clock()
    with stores.passes.rows(source, view, Period(runs[0].start, runs[-1].end)) as found:
        reports = _made_of(stores, state, source, view, runs, found)
    seconds = (stores.clock() - began).total_seconds()
    return [replace(report, seconds=seconds) for report in reports]


def _made_of(
    stores: JobStores,
    state: WorkspaceState,
    source: AppliedSource,
    view: AppliedView,
    runs: Sequence[Period],
    found: Pass,
) -> Sequence[BatchReport]:
    rows, key_bytes = found.frame, stores.rules.key_bytes
    if view.function is None:
        counts = count_rows(rows, view, runs, key_bytes)
        with enough_partitions(stores.spark, sum(count.usable for count in counts)):
            return _replace(stores, state, view, runs, found.read_at, rows, counts)
    whole = Period(runs[0].start, runs[-1].end)
    returned = returned_rows(period_records(rows, source, view, whole), source, view, period=whole)
    # A function may not be the same each time; what one job counts and writes is.
    with kept(returned):
        counts = count_returned(rows, returned, source, view, runs, key_bytes)
        with enough_partitions(stores.spark, sum(count.usable for count in counts)):
            return _replace(stores, state, view, runs, found.read_at, returned, counts)


def _replace(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    runs: Sequence[Period],
    read_at: datetime,
    rows: DataFrame,
    counts: Sequence[Counts],
) -> Sequence[BatchReport]:
    """Write the rows of runs; *rows* have the columns of a feature row."""
    period = Period(runs[0].start, runs[-1].end)
    table = stores.offline_table(state, view)
    # Also where the clock has gone back since the last run, this one is the later.
    run = max(micros_of(read_at), table.last_run(period) + 1 if view.offline else 0)
    sequence = batch_sequence(from_micros(run))
    unique = period_rows(rows, view, sequence, period, stores.rules.key_bytes)
    is_written, written, online = True, Counter[int | None](), 0
    if not view.offline:
        with kept(unique):
            written = by_run(unique, view.timestamp_field, runs)
            online = _offer(stores, state, view, unique)
    elif is_written := table.replace(unique, period, run, f"batch rows of {period}"):
        reach(Point.BATCH_WRITTEN)
        mine = _written(table, sequence, period)
        written = by_run(mine, view.timestamp_field, runs)
        online = _offer(stores, state, view, mine) if view.online else 0
    return [
        BatchReport(
            view=view.name,
            period=run,
            rows=count.rows,
            kept=written[number],
            collapsed=count.usable - written[number] if is_written else 0,
            keyless=count.keyless,
            refused=count.refused,
            online=online if number == len(runs) - 1 else 0,
            is_overtaken=not is_written,
        )
        for number, (run, count) in enumerate(zip(runs, counts, strict=True))
    ]


def _offer(stores: JobStores, state: WorkspaceState, view: AppliedView, rows: DataFrame) -> int:
    """Offer the online store those rows that a read can still see; answers how many."""
    now = stores.clock()
    oldest = view.oldest_seen(micros_of(now))
    if view.offline and oldest is not None:
        # Days that nobody can see any more are not read back.
        rows = rows.where(F.col("_date") >= utc_date(F.lit(oldest)))
    erased = partial(stores.tombstones, state, view)
    return load_online(rows, view, now, stores.open_online, erased)


def _written(table: OfflineTable, sequence: int, period: Period) -> DataFrame:
    """The rows that a run has just written in a period, so that they are not computed again."""
    version = table.version()
    assert version is not None, "it has just been written"  # noqa: S101
    first, last = micros_of(period.start), micros_of(period.end) - 1
    at = F.unix_micros(column(table.view.timestamp_field))
    is_own = (F.col("_origin") == BATCH) & (F.col("_sequence") == sequence)
    return table.read(version, first, last).where(is_own & at.between(first, last))
