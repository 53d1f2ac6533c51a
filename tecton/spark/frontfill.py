"""
The frontfill of a workspace: due periods of batch sources, and what was pushed since the last.

Pushed records come by Structured Streaming, one stream for each push table and all views. What
an offline table has taken is known to the table itself, so a lost checkpoint costs time only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView, WorkspaceState
from tecton.names import path_of
from tecton.periods import Period, due_periods
from tecton.spark.backfill import backfill, needs_backfill, rerun
from tecton.spark.columns import only_row
from tecton.spark.failures import attempt_all
from tecton.spark.materialize import BatchReport
from tecton.spark.push_tables import PushTable, pin_push_tables
from tecton.spark.pushed import PushReport, add_pushed
from tecton.spark.tables import JobStores
from tecton.stores import Run

_ALL_FILES = str(2**31 - 1)

_GONE = re.compile(
    r"DELTA_(EMPTY_DIRECTORY|LOG_FILE_NOT_FOUND|TRUNCATED_TRANSACTION_LOG|VERSIONS_NOT_CONTIGUOUS"
    r"|STATE_RECOVER_ERROR|MISSING_)|FILE_NOT_EXIST|FileNotFound"
)
"""What a stream meets that stood still while log entries and files behind its offset were removed:
maintenance keeps files that are no part of the table any more for a week."""


def frontfill(
    stores: JobStores,
    state: WorkspaceState,
    views: Sequence[AppliedView],
    at: datetime,
    wait_until: Callable[[datetime], None],
) -> Iterator[BatchReport | PushReport]:
    """
    Run all that is due for some views of a workspace.

    A backfill that was never started or never ended is due as well, and that of a view which the
    online store has lost.

    Args:
        stores: What the job works on.
        state: The workspace.
        views: Which views.
        at: Decides which periods have ended.
        wait_until: Returns when the clock shows at least that time.

    Yields:
        A report for each step.

    Raises:
        JobFailed: Something of it failed; the rest was done.
    """
    runs = stores.runs.of(state.folder)
    waiting = needs_backfill(stores, state, views)
    ready = [view for view in views if view not in waiting]
    work: list[tuple[str, Iterator[BatchReport | PushReport]]] = [
        (view.name, backfill(stores, state, view, wait_until, at=at))
        for view in views
        if view not in ready
    ]
    work += [(view.name, _due(stores, state, view, runs, at)) for view in ready]
    work.append(("pushed records", _take_pushed(stores, state, ready)))
    return attempt_all(work)


def _due(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    runs: Sequence[Run],
    at: datetime,
) -> Iterator[BatchReport]:
    covered = [Period(run.start, run.end) for run in runs if run.view_id == view.id]
    for period in due_periods(view, state.source_by_name[view.source].batch, covered, at):
        yield from rerun(stores, state, view, period)


def _take_pushed(
    stores: JobStores, state: WorkspaceState, views: Sequence[AppliedView]
) -> Iterator[PushReport]:
    views = [view for view in views if view.offline]
    if not views:
        return
    began = stores.clock()
    added = dict.fromkeys((view.name for view in views), 0)
    tables = pin_push_tables(stores.logs, state)
    for table in tables:
        _stream(stores, state, views, table, added)
        # What no micro-batch brought: a view whose backfill ended after the stream went by.
        for view in views:
            added[view.name] += add_pushed(stores, state, view, table)
    seconds = (stores.clock() - began).total_seconds()
    for view in views:
        yield PushReport(view.name, added[view.name], 0, seconds)


def _stream(
    stores: JobStores,
    state: WorkspaceState,
    views: Sequence[AppliedView],
    table: PushTable,
    added: dict[str, int],
) -> None:
    """Bring everything that the push table's stream has not passed by to the offline tables."""
    number = _last_checkpoint(stores, state, table)
    try:
        _run_stream(stores, state, views, table, added, number)
    except StreamingQueryException as exc:
        if not _GONE.search(str(exc)):
            raise
        # A stream that begins anew reads the table as it is, and each view takes what it lacks.
        _run_stream(stores, state, views, table, added, number + 1)


def _run_stream(
    stores: JobStores,
    state: WorkspaceState,
    views: Sequence[AppliedView],
    table: PushTable,
    added: dict[str, int],
    number: int,
) -> None:
    def take(fresh: DataFrame, _: int) -> None:
        batch_no = F.col("batch_no")
        bounds = only_row(fresh.agg(F.min(batch_no).alias("first"), F.max(batch_no).alias("last")))
        if bounds["last"] is None:
            return
        pinned = _up_to(stores, table, bounds["last"])
        for view in views:
            added[view.name] += add_pushed(stores, state, view, pinned, fresh, bounds["first"])

    records = (
        stores.spark.readStream.format("delta")
        .option("skipChangeCommits", "true")
        # A gap in the stream is seen by its batch numbers, and read from the table.
        .option("failOnDataLoss", "false")
        # All at once: a part of the first snapshot would not be a prefix of the batches.
        .option("maxFilesPerTrigger", _ALL_FILES)
        .load(f"{stores.store}/{table.path}")
    )
    query = (
        records.writeStream.foreachBatch(take)
        .option("checkpointLocation", f"{stores.store}/{_checkpoint(state, table, number)}")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()


def _up_to(stores: JobStores, table: PushTable, batch_no: int) -> PushTable:
    """The push table up to a batch that a stream has brought, maybe after it was pinned."""
    version = table.version if batch_no <= table.last_batch else stores.logs.version(table.path)
    return PushTable(table.path, table.writer, version or table.version, batch_no)


def _checkpoint(state: WorkspaceState, table: PushTable, number: int) -> str:
    name = f"push-{table.writer}" + (f".{number}" if number else "")
    return path_of("checkpoints", state.folder, name)


def _last_checkpoint(stores: JobStores, state: WorkspaceState, table: PushTable) -> int:
    """The number of the stream's newest checkpoint, 0 for the first."""
    names = stores.logs.folders(path_of("checkpoints", state.folder))
    matches = (re.fullmatch(rf"push-{table.writer}\.(\d+)", name) for name in names)
    return max((int(match[1]) for match in matches if match), default=0)
