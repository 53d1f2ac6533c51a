"""
The backfill of a view: all its history, from the batch source and from what was pushed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from tecton.applied import AppliedSource, AppliedView, WorkspaceState
from tecton.errors import JobFailed
from tecton.failpoints import Point, reach
from tecton.periods import Period, backfill_period, split
from tecton.spark.materialize import BatchReport, materialize
from tecton.spark.push_tables import pin_push_tables
from tecton.spark.pushed import PushReport, add_all_pushed, offer_pushed
from tecton.spark.tables import JobStores
from tecton.stores import BACKFILL, Run, is_backfilled
from tecton.timestamps import EPOCH

PERIOD = "period"
SETTLE = timedelta(seconds=10)
"""After an apply, how long a service may still accept records without knowing of it."""


def backfill(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    wait_until: Callable[[datetime], None],
    settle: timedelta = SETTLE,
    at: datetime | None = None,
) -> Iterator[BatchReport | PushReport]:
    """
    Load a view: afterwards its offline table is complete and it is served online.

    May be run again at any time. A record that is pushed meanwhile is never lost or overwritten:
    the service writes it online itself once it knows the view, and until then the catch-up at
    the end finds it.

    Args:
        stores: What the job works on.
        state: The workspace.
        view: A view with `online` or `offline`.
        wait_until: Returns when the clock shows at least that time.
        settle: How long after the apply a service may not know of the view.
        at: Decides which periods have ended; default: now.

    Yields:
        A report for each step.

    Raises:
        JobFailed: A backfill that began later has written the same period; it will end this.
        SourceError: The batch data is missing or of another schema.
    """
    began = stores.clock()
    source = state.source_by_name[view.source]
    whole = backfill_period(view, source.batch, at or began)
    reports: list[BatchReport | PushReport] = []
    for report in _steps(stores, state, source, view, whole, wait_until, settle):
        reports.append(report)
        yield report
        if isinstance(report, BatchReport) and report.is_overtaken:
            raise JobFailed("a backfill that began later is under way, and will do all of it")
    _record(stores, state, view, BACKFILL, whole, began, reports)


def rerun(
    stores: JobStores, state: WorkspaceState, view: AppliedView, period: Period
) -> Iterator[BatchReport]:
    """
    Materialise one period of a view's batch source, again or for the first time.

    Args:
        stores: What the job works on.
        state: The workspace.
        view: A view whose source has batch rows.
        period: Which rows.

    Yields:
        The report.
    """
    began = stores.clock()
    report = materialize(stores, state, state.source_by_name[view.source], view, period)
    yield report
    if not report.is_overtaken:
        _record(stores, state, view, PERIOD, period, began, [report])


def needs_backfill(
    stores: JobStores, state: WorkspaceState, views: Sequence[AppliedView]
) -> list[AppliedView]:
    """
    The views that are not loaded: no backfill has ended, or the online store has lost them.

    Args:
        stores: What the job works on.
        state: The workspace.
        views: Which views.
    """
    runs = stores.runs.of(state.folder)
    online = [view.id for view in views if view.online]
    lost = set(stores.open_online().unloaded(online)) if online else set()
    return [view for view in views if view.id in lost or not is_backfilled(runs, view)]


def _steps(
    stores: JobStores,
    state: WorkspaceState,
    source: AppliedSource,
    view: AppliedView,
    whole: Period | None,
    wait_until: Callable[[datetime], None],
    settle: timedelta,
) -> Iterator[BatchReport | PushReport]:
    # What is lost from here on, by an emptied store for instance, is noticed at the end.
    load = stores.open_online().begin_load(view.id) if view.online else None
    reach(Point.LOAD_BEGUN)
    if whole is not None:
        for period in split(whole, view.max_backfill_interval):
            yield materialize(stores, state, source, view, period)
    began = stores.clock()
    added = offered = 0
    if view.offline:
        stores.offline_table(state, view).create()
        added = add_all_pushed(stores, state, view)
    if view.online:
        offered = _offer_all(stores, state, view, wait_until, settle)
        reach(Point.PUSHED_OFFERED)
        stores.open_online().mark_loaded([view.id], load)
    reach(Point.LOADED)
    yield PushReport(view.name, added, offered, (stores.clock() - began).total_seconds())


def _offer_all(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    wait_until: Callable[[datetime], None],
    settle: timedelta,
) -> int:
    tables = pin_push_tables(stores.logs, state)
    offered = offer_pushed(stores, state, view, tables, after={})
    seen = {table.writer: table.last_batch for table in tables}
    wait_until(view.applied_at + settle)
    tables = pin_push_tables(stores.logs, state)
    return offered + offer_pushed(stores, state, view, tables, seen, view.since_version)


def _record(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    kind: str,
    period: Period | None,
    began: datetime,
    reports: Sequence[BatchReport | PushReport],
) -> None:
    nothing = view.feature_start_time or EPOCH
    start, end = (nothing, nothing) if period is None else period
    report = "; ".join(str(report) for report in reports)
    ended = stores.clock()
    run = Run(state.folder, view.name, view.id, kind, start, end, began, ended, report)
    stores.runs.record(run)
