"""
The backfill of a view: all its history, from the batch source and from what was pushed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec

from tecton.applied import AppliedSource, AppliedView, WorkspaceState
from tecton.due import new_run
from tecton.errors import JobFailed, JobTaken
from tecton.failpoints import Point, reach
from tecton.journal import Counts
from tecton.periods import Period, adjacent, backfill_period, runs_of
from tecton.spark.materialize import BatchReport, materialize
from tecton.spark.online_load import load_online
from tecton.spark.passes import Want
from tecton.spark.push_tables import pin_push_tables
from tecton.spark.pushed import PushReport, add_all_pushed, offer_pushed
from tecton.spark.tables import JobStores
from tecton.stores import BACKFILL, PERIOD, REFILL, Run, is_backfilled
from tecton.timestamps import micros_of

SETTLE = timedelta(seconds=10)
"""After an apply, how long a service may still accept records without knowing of it."""


def backfill(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    wait_until: Callable[[datetime], None],
    settle: timedelta = SETTLE,
    at: datetime | None = None,
    attempt: Run | None = None,
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
        attempt: The one that was announced; default: it is announced now.

    Yields:
        A report for each step.

    Raises:
        JobFailed: A backfill that began later has written the same period; it will end this.
        JobTaken: Another job is at the view.
        SourceError: The batch data is missing or of another schema.
    """
    journal = stores.journal
    if attempt is None:
        [attempt] = _announce(stores, state, [new_run(state, view, BACKFILL, stores.clock())])
    source = state.source_by_name[view.source]
    now = stores.clock()
    whole = whole_of(state, view, stores.runs.of(state.folder, view.name), at or now, now)
    reports: list[BatchReport | PushReport] = []
    with journal.carry_out(attempt) as work:
        runs = () if whole is None else runs_of(view, whole)
        for report in _steps(stores, state, source, view, runs, wait_until, settle):
            reports.append(report)
            yield report
            if isinstance(report, BatchReport) and report.is_overtaken:
                raise JobFailed("a backfill that began later is under way, and will do all of it")
            journal.check()
        if whole is not None:
            attempt = attempt._replace(start=whole.start, end=whole.end)
        parts = _parts(attempt, reports)
        work.done(attempt, "; ".join(map(str, reports)), counts_of(reports), parts)


def whole_of(
    state: WorkspaceState, view: AppliedView, ended: Iterable[Run], at: datetime, now: datetime
) -> Period | None:
    """
    What a backfill reads of a view's batch source.

    Periods that earlier runs have brought are never due again. So a backfill that is asked for an
    earlier time, of a view that the online store has lost, brings them too.

    Args:
        state: The workspace.
        view: The view.
        ended: The runs of the workspace that ended well.
        at: Decides which periods have ended.
        now: The time.
    """
    batch = state.source_by_name[view.source].batch
    if batch is None:
        return None
    runs = [run for run in ended if run.view_id == view.id]
    ends = [run.end + batch.data_delay for run in runs if run.kind in (BACKFILL, PERIOD)]
    return backfill_period(view, batch, max([at, *ends]), now)


def _parts(attempt: Run, reports: Iterable[BatchReport | PushReport]) -> Sequence[Run]:
    """The runs that a backfill was cut into, where it was."""
    parts = [report for report in reports if isinstance(report, BatchReport)]
    return [
        attempt._replace(
            run_id=f"{attempt.run_id}.{number}",
            kind=PERIOD,
            start=part.period.start,
            end=part.period.end,
            report=str(part),
            **counts_of([part])._asdict(),
        )
        for number, part in enumerate(parts if len(parts) > 1 else (), 1)
    ]


def rerun(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    periods: Sequence[Period],
    attempts: Sequence[Run] = (),
) -> Iterator[BatchReport]:
    """
    Materialise periods of a view's batch source, again or for the first time.

    Args:
        stores: What the job works on.
        state: The workspace.
        view: A view whose source has batch rows.
        periods: Which rows; adjacent ones are read in one pass.
        attempts: For each period the attempt that was announced; default: they are announced now.

    Yields:
        A report for each.
    """
    if not attempts:
        new = new_run(state, view, PERIOD, stores.clock())
        wanted = [
            new._replace(run_id=f"{new.run_id}{number:03}", start=start, end=end)
            for number, (start, end) in enumerate(periods)
        ]
        attempts = _announce(stores, state, wanted)
    by_period = {Period(run.start, run.end): run for run in attempts}
    for group in adjacent(sorted(by_period)):
        yield from _rerun_together(stores, state, view, group, by_period)


def _rerun_together(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    periods: Sequence[Period],
    by_period: Mapping[Period, Run],
) -> Iterator[BatchReport]:
    source = state.source_by_name[view.source]
    runs = [by_period[period] for period in periods]
    # A job by hand may be for one of the stores alone.
    chosen = msgspec.structs.replace(view, online=runs[0].online, offline=runs[0].offline)
    with stores.journal.carry_out(*runs) as work:
        fill = stores.begin_fill(state, view) if chosen.online else None
        reports = list(materialize(stores, state, source, chosen, periods))
        if fill is not None:
            stores.end_fill(state, view, fill, is_whole=False)
        for report in reports:
            if not report.is_overtaken:
                work.done(by_period[report.period], str(report), counts_of([report]))
            yield report
        work.end_rest("left to a run that began later")


def refill(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    wait_until: Callable[[datetime], None],
    settle: timedelta = SETTLE,
    attempt: Run | None = None,
) -> Iterator[PushReport]:
    """
    Fill the online store anew with what a view's offline table has, and what was pushed since.

    Args:
        stores: What the job works on.
        state: The workspace.
        view: A view with `online` and `offline` whose backfill has ended.
        wait_until: Returns when the clock shows at least that time.
        settle: How long after the apply a service may not know of the view.
        attempt: The one that was announced; default: it is announced now.

    Yields:
        The report.

    Raises:
        JobTaken: Another job is at the view.
    """
    if attempt is None:
        [attempt] = _announce(stores, state, [new_run(state, view, REFILL, stores.clock())])
    with stores.journal.carry_out(attempt) as work:
        began = stores.clock()
        fill = stores.begin_fill(state, view)
        table = stores.offline_table(state, view)
        table.create()
        version = table.version()
        assert version is not None, "it has just been created"  # noqa: S101
        erased = partial(stores.tombstones, state, view)
        rows = table.read(version, view.oldest_seen(micros_of(began)))
        offered = load_online(rows, view, began, stores.open_online, erased)
        writers = [pinned.writer for pinned in pin_push_tables(stores.logs, state)]
        taken = {writer: table.taken(writer, version) for writer in writers}
        offered += _offer_all(stores, state, view, wait_until, settle, taken)
        stores.end_fill(state, view, fill, is_whole=True)
        seconds = (stores.clock() - began).total_seconds()
        report = PushReport(view.name, 0, offered, seconds, is_refill=True)
        work.done(attempt, str(report), Counts(rows_in=offered, rows_out=offered))
        yield report


def _announce(stores: JobStores, state: WorkspaceState, runs: Sequence[Run]) -> Sequence[Run]:
    announced = stores.journal.announce(state.folder, lambda _: runs)
    if announced.refused:
        raise JobTaken("; ".join(announced.refused))
    return announced.runs


def counts_of(reports: Iterable[BatchReport | PushReport]) -> Counts:
    """What reports say in numbers, together."""
    total = dict.fromkeys(("rows_in", "rows_out", "collapsed", "late", "keyless"), 0)
    for report in reports:
        if isinstance(report, PushReport):
            total["rows_in"] += report.offline
            total["rows_out"] += report.offline
            total["late"] += report.late
        else:
            total["rows_in"] += report.rows
            total["rows_out"] += report.kept
            total["collapsed"] += report.collapsed
            total["keyless"] += report.keyless
    return Counts(**total)


def lost_views(stores: JobStores, views: Sequence[AppliedView]) -> frozenset[str]:
    """Ids of those views that the online store does not hold, or not any more."""
    online = {view.online_id: view.id for view in views if view.online}
    lost = stores.open_online().unloaded(list(online)) if online else ()
    return frozenset(online[online_id] for online_id in lost)


def expected(
    stores: JobStores,
    state: WorkspaceState,
    backfills: Sequence[AppliedView],
    at: datetime,
    reruns: Iterable[tuple[AppliedView, Iterable[Period]]] = (),
) -> list[Want]:
    """
    What a job asks of batch sources (`passes`).

    Args:
        stores: What the job works on.
        state: The workspace.
        backfills: The views that it loads.
        at: Decides which periods have ended.
        reruns: The periods that it materialises beside.
    """
    ended, now = stores.runs.of(state.folder) if backfills else (), stores.clock()
    wholes = [(view, whole_of(state, view, ended, at, now)) for view in backfills]
    asked = [(view, whole) for view, whole in wholes if whole is not None]
    for view, periods in reruns:
        groups = adjacent(sorted(periods))
        asked += [(view, Period(group[0].start, group[-1].end)) for group in groups]
    return [Want(state.source_by_name[view.source], view, period) for view, period in asked]


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
    runs, lost = stores.runs.of(state.folder), lost_views(stores, views)
    return [view for view in views if view.id in lost or not is_backfilled(runs, view)]


def _steps(
    stores: JobStores,
    state: WorkspaceState,
    source: AppliedSource,
    view: AppliedView,
    runs: Sequence[Period],
    wait_until: Callable[[datetime], None],
    settle: timedelta,
) -> Iterator[BatchReport | PushReport]:
    # What is lost from here on, by an emptied store for instance, is noticed at the end.
    fill = stores.begin_fill(state, view) if view.online else None
    reach(Point.LOAD_BEGUN)
    if runs:
        yield from materialize(stores, state, source, view, runs)
    began = stores.clock()
    added = offered = 0
    if view.offline:
        stores.offline_table(state, view).create()
        added, _ = add_all_pushed(stores, state, view)
    if fill is not None:
        offered = _offer_all(stores, state, view, wait_until, settle, {})
        reach(Point.PUSHED_OFFERED)
        stores.end_fill(state, view, fill, is_whole=True)
    reach(Point.LOADED)
    yield PushReport(view.name, added, offered, (stores.clock() - began).total_seconds())


def _offer_all(
    stores: JobStores,
    state: WorkspaceState,
    view: AppliedView,
    wait_until: Callable[[datetime], None],
    settle: timedelta,
    after: Mapping[str, int],
) -> int:
    tables = pin_push_tables(stores.logs, state)
    offered = offer_pushed(stores, state, view, tables, after)
    seen = {table.writer: table.last_batch for table in tables}
    wait_until(view.applied_at + settle)
    tables = pin_push_tables(stores.logs, state)
    return offered + offer_pushed(stores, state, view, tables, seen, view.since_version)
