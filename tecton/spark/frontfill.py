"""
The frontfill of a workspace: due periods of batch sources, and what was pushed since the last.

Pushed records come by Structured Streaming, one stream for each push table and all views. What
an offline table has taken is known to the table itself, so a lost checkpoint costs time only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView, WorkspaceState
from tecton.due import IsDue, Question, due
from tecton.names import path_of
from tecton.periods import Period
from tecton.spark.backfill import (
    backfill,
    counts_of,
    expected,
    lost_views,
    refill,
    rerun,
)
from tecton.spark.columns import only_row
from tecton.spark.failures import attempt_all
from tecton.spark.materialize import BatchReport
from tecton.spark.push_tables import PushTable, listed_whole, pin_push_tables
from tecton.spark.pushed import PushReport, add_pushed
from tecton.spark.tables import JobStores
from tecton.stores import BACKFILL, PERIOD, PUSHED, REFILL, Run

_ALL_FILES = str(2**31 - 1)
_STREAM_TRIES = 3

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
    is_patient: bool = False,
) -> Iterator[Any]:
    """
    Run all that is due for some views of a workspace, and take what was pushed.

    A backfill that was never started or never ended is due as well, and that of a view which the
    online store has lost.

    Args:
        stores: What the job works on.
        state: The workspace.
        views: Which views.
        at: Decides which periods have ended.
        wait_until: Returns when the clock shows at least that time.
        is_patient: Leave for later what has failed a short while ago.

    Yields:
        A report for each step.

    Raises:
        JobFailed: Something of it failed; the rest was done.
    """
    yield from _begin(stores, state, views, at, wait_until, None, is_patient)


def fill(
    stores: JobStores,
    state: WorkspaceState,
    views: Sequence[AppliedView],
    at: datetime,
    wait_until: Callable[[datetime], None],
) -> Iterator[Any]:
    """Bring views what they lack, but not what was pushed to those that are loaded; as above."""
    yield from _begin(stores, state, views, at, wait_until, lambda view, attempts: False, False)


def _begin(
    stores: JobStores,
    state: WorkspaceState,
    views: Sequence[AppliedView],
    at: datetime,
    wait_until: Callable[[datetime], None],
    takes_pushed: IsDue | None,
    is_patient: bool,
) -> Iterator[Any]:
    lost = lost_views(stores, views)
    question = Question(state, views, at, stores.clock(), lost, takes_pushed, is_patient)
    notes = due(question, stores.journal.attempts(state.folder, is_merged=True)).notes
    announced = stores.journal.announce(state.folder, lambda now: due(question, now).runs)
    yield from notes
    yield from announced.refused
    yield from carry_out(stores, state, announced.runs, at, wait_until)


def carry_out(
    stores: JobStores,
    state: WorkspaceState,
    runs: Sequence[Run],
    at: datetime,
    wait_until: Callable[[datetime], None],
) -> Iterator[BatchReport | PushReport]:
    """
    Do what was announced.

    Args:
        stores: What the job works on; its journal has announced or adopted *runs*.
        state: The workspace.
        runs: Attempts of any kind but maintenance; those of views that are gone are left alone.
        at: Decides which periods have ended.
        wait_until: Returns when the clock shows at least that time.

    Yields:
        A report for each step.

    Raises:
        JobFailed: Something of it failed; the rest was done.
    """
    views = {view.id: view for view in state.views}
    by_kind: dict[str, list[Run]] = {BACKFILL: [], REFILL: [], PERIOD: [], PUSHED: []}
    for run in runs:
        if run.view_id in views and run.kind in by_kind:
            by_kind[run.kind].append(run)
    work: list[tuple[str, Iterator[BatchReport | PushReport]]] = [
        (run.view, backfill(stores, state, views[run.view_id], wait_until, at=at, attempt=run))
        for run in by_kind[BACKFILL]
    ]
    work += [
        (run.view, refill(stores, state, views[run.view_id], wait_until, attempt=run))
        for run in by_kind[REFILL]
    ]
    # A job by hand may be for other stores than one by the schedule.
    parts: dict[tuple[str, bool, bool], list[Run]] = {}
    for run in by_kind[PERIOD]:
        parts.setdefault((run.view_id, run.online, run.offline), []).append(run)
    reruns = [
        (views[view_id], [Period(run.start, run.end) for run in part], part)
        for (view_id, *_), part in parts.items()
    ]
    work += [
        (view.name, rerun(stores, state, view, periods, part)) for view, periods, part in reruns
    ]
    takers = [(views[run.view_id], run) for run in by_kind[PUSHED]]
    work.append(("pushed records", _take_pushed(stores, state, takers)))
    new = [views[run.view_id] for run in by_kind[BACKFILL]]
    again = [(view, periods) for view, periods, _ in reruns]
    with stores.passes.expect(expected(stores, state, new, at, again)):
        yield from attempt_all(work)


def _take_pushed(
    stores: JobStores, state: WorkspaceState, takers: Sequence[tuple[AppliedView, Run]]
) -> Iterator[PushReport]:
    if not takers:
        return
    runs = {view.name: run for view, run in takers}
    views = [view for view, _ in takers]
    began = stores.clock()
    added = _Added(stores, state, runs)
    with stores.journal.carry_out(*runs.values()) as work:
        tables = pin_push_tables(stores.logs, state)
        with stores.journal.hold(state.folder, PUSHED) as is_ours:
            for table in tables:
                # One checkpoint bears one stream; without it each view reads what it lacks.
                if is_ours:
                    _stream(stores, views, table, added)
                # What no micro-batch brought: a view whose backfill ended after the stream went by.
                for view in views:
                    added.take(view, table)
        seconds = (stores.clock() - began).total_seconds()
        for view in views:
            report = added.report(view, seconds)
            work.done(runs[view.name], str(report), counts_of([report]))
            yield report


class _Added:
    """What views have been given of push tables."""

    def __init__(self, stores: JobStores, state: WorkspaceState, runs: Mapping[str, Run]) -> None:
        self._stores = stores
        self.state = state
        self._runs = runs
        self._rows = dict.fromkeys(runs, 0)
        self._late = dict.fromkeys(runs, 0)

    def take(
        self,
        view: AppliedView,
        table: PushTable,
        fresh: DataFrame | None = None,
        fresh_from: int = 0,
    ) -> None:
        """Bring a view what it lacks, as `add_pushed` does."""
        self._stores.journal.check()
        since = self._runs[view.name].start
        rows, late = add_pushed(
            self._stores, self.state, view, table, fresh, fresh_from, late_before=since
        )
        self._rows[view.name] += rows
        self._late[view.name] += late

    def report(self, view: AppliedView, seconds: float) -> PushReport:
        """What became of a view."""
        return PushReport(view.name, self._rows[view.name], 0, seconds, late=self._late[view.name])


def _stream(
    stores: JobStores, views: Sequence[AppliedView], table: PushTable, added: _Added
) -> None:
    """Bring everything that the push table's stream has not passed by to the offline tables."""
    number = _last_checkpoint(stores, added.state, table)
    try:
        run = partial(_run_stream, stores, views, table, added, number)
        # What is a hole still is a log that was cleaned up.
        listed_whole(run, _STREAM_TRIES)
    except StreamingQueryException as exc:
        if not _GONE.search(str(exc)):
            raise
        # A stream that begins anew reads the table as it is, and each view takes what it lacks.
        _run_stream(stores, views, table, added, number + 1)


def _run_stream(
    stores: JobStores,
    views: Sequence[AppliedView],
    table: PushTable,
    added: _Added,
    number: int,
) -> None:
    def take(fresh: DataFrame, _: int) -> None:
        batch_no = F.col("batch_no")
        bounds = only_row(fresh.agg(F.min(batch_no).alias("first"), F.max(batch_no).alias("last")))
        if bounds["last"] is None:
            return
        pinned = _up_to(stores, table, bounds["last"])
        for view in views:
            added.take(view, pinned, fresh, bounds["first"])

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
        .option("checkpointLocation", f"{stores.store}/{_checkpoint(added.state, table, number)}")
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
