"""
What is due in a workspace: its definitions minus what was recorded. No Spark is needed to know.

A message can be lost; what is derived is due again until it is recorded as done.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tecton.applied import AppliedView, WorkspaceState, offline_path, push_path
from tecton.attempts import NEW, Standing, Standings, Task, jobs_of
from tecton.names import path_of
from tecton.periods import Period, backfill_period, due_periods, floor_to, gaps
from tecton.stores import (
    BACKFILL,
    FAILURE,
    MAINTENANCE,
    PERIOD,
    PUSHED,
    REFILL,
    RUNNING,
    SUCCESS,
    DeltaLogs,
    Run,
    is_backfilled,
)
from tecton.timestamps import EPOCH, format_micros, micros_of

MAINTAINED_EVERY = timedelta(days=1)
MAINTAINED_AGAIN = timedelta(hours=1)
"""Where a push table has `MANY_FILES` before the day is over."""

MANY_FILES = 10_000

_BY_COMMAND = "`tecton materialize run-due --retry-now` begins it again"
_AGAIN = {
    PERIOD: "trigger a job for it to run again",
    PUSHED: f"it comes with the next period, or {_BY_COMMAND}",
}

IsDue = Callable[[AppliedView, Sequence[Run]], bool]


class Due(NamedTuple):
    """What shall begin in a workspace, and what does not yet.

    Args:
        runs: Attempts to begin.
        notes: For each piece of work that is not begun though it is not done: why.
    """

    runs: Sequence[Run]
    notes: Sequence[str]


class Question(NamedTuple):
    """What is asked of a workspace.

    Args:
        state: The workspace.
        views: Which of its views; those that are not materialised are passed over.
        at: Decides which periods have ended.
        now: The time; decides what is tried again.
        lost: Ids of views that the online store has lost.
        takes_pushed: Says of a view with an offline table whether to bring it what was pushed;
            None: yes.
        is_patient: Wait between attempts, and give up after the last.
        is_maintained: Shall maintenance be among it?
        is_scattered: Says whether some push table has very many files.
    """

    state: WorkspaceState
    views: Sequence[AppliedView]
    at: datetime
    now: datetime
    lost: frozenset[str] = frozenset()
    takes_pushed: IsDue | None = None
    is_patient: bool = True
    is_maintained: bool = False
    is_scattered: Callable[[], bool] = lambda: False


def due(question: Question, attempts: Sequence[Run]) -> Due:
    """
    What of a workspace is due.

    Args:
        question: What is asked.
        attempts: From `Journal.attempts`.
    """
    by_view: dict[str, list[Run]] = {}
    for run in attempts:
        by_view.setdefault(run.view_id, []).append(run)
    standings = Standings(attempts, question.now, question.state.applied_at)
    runs: list[Run] = []
    notes: list[str] = []
    for wanted in _wanted(question, by_view):
        _sort_in(question, standings, wanted, runs, notes)
    return Due(runs, notes)


def has_period_ended(view: AppliedView, attempts: Iterable[Run], at: datetime) -> bool:
    """Has a period of the schedule ended since a view was brought what was pushed?"""
    return floor_to(view.batch_schedule, at) > pushed_until(view, attempts)


def behind(logs: DeltaLogs, state: WorkspaceState, views: Iterable[AppliedView]) -> frozenset[str]:
    """
    Ids of those views whose offline table lacks pushed records.

    Args:
        logs: Say what was pushed and what an offline table has taken of it.
        state: The workspace.
        views: Which of its views.
    """
    last: dict[str, int] = {}
    for writer in logs.folders(push_path(state)):
        table = f"{push_path(state)}/{path_of(writer)}"
        version = logs.version(table)
        if version is not None:
            last[writer] = logs.transaction(table, version, f"push-{writer}")
    return frozenset(view.id for view in views if last and _lacks(logs, state, view, last))


def is_scattered(logs: DeltaLogs, state: WorkspaceState) -> bool:
    """Does a push table of a workspace consist of so many files that maintenance cannot wait?"""
    paths = (f"{push_path(state)}/{path_of(writer)}" for writer in logs.folders(push_path(state)))
    return any(logs.files(path) > MANY_FILES for path in paths)


def nothing_pushed(state: WorkspaceState, view: AppliedView, at: datetime, now: datetime) -> Run:
    """What to record where a period has ended in which nothing was pushed."""
    run = new_run(state, view, PUSHED, now)
    end = floor_to(view.batch_schedule, at)
    return run._replace(
        start=end,
        end=end,
        state=SUCCESS,
        rows_in=0,
        rows_out=0,
        late=0,
        report="nothing was pushed",
    )


def pushed_until(view: AppliedView, attempts: Iterable[Run]) -> datetime:
    """Up to which multiple of the schedule runs have brought a view what was pushed."""
    until = EPOCH
    for run in attempts:
        if run.view_id == view.id and run.state == SUCCESS and run.kind in (BACKFILL, PUSHED):
            last = run.end if run.kind == PUSHED else run.started
            until = max(until, floor_to(view.batch_schedule, last))
    return until


def new_run(state: WorkspaceState, view: AppliedView | None, kind: str, now: datetime) -> Run:
    """An attempt that has not begun; its period is empty."""
    start = EPOCH if view is None else view.feature_start_time or EPOCH
    start = start if start.tzinfo else start.replace(tzinfo=EPOCH.tzinfo)
    name, view_id = ("", "") if view is None else (view.name, view.id)
    return Run(
        state.folder,
        name,
        view_id,
        kind,
        start,
        start,
        now,
        now,
        "",
        run_id=secrets.token_hex(8),
        state=RUNNING,
        online=view is not None and view.online and kind != PUSHED,
        offline=view is not None and view.offline and kind != REFILL,
    )


def covered(view: AppliedView, attempts: Iterable[Run]) -> list[Period]:
    """The periods of batch rows that are in all stores of a view, maybe by several runs."""
    done = [
        run
        for run in attempts
        if run.view_id == view.id and run.state == SUCCESS and run.kind in (BACKFILL, PERIOD)
    ]
    offline = [Period(run.start, run.end) for run in done if run.offline or not view.offline]
    online = [
        Period(run.start, run.end)
        for run in done
        if run.online or not view.online or _is_refilled(view, run)
    ]
    if offline == online:
        return offline
    pairs = ((one, two) for one in offline for two in online)
    return [
        Period(max(one.start, two.start), min(one.end, two.end))
        for one, two in pairs
        if max(one.start, two.start) < min(one.end, two.end)
    ]


def is_offline_whole(view: AppliedView, attempts: Iterable[Run]) -> bool:
    """
    Does a view's offline table have the batch rows that runs have brought online?

    Not where `offline` was turned on later and the periods before are still due there: what filled
    the online store from the table would then serve nulls.
    """
    done = [
        run
        for run in attempts
        if run.view_id == view.id and run.state == SUCCESS and run.kind in (BACKFILL, PERIOD)
    ]
    offline = [Period(run.start, run.end) for run in done if run.offline]
    online = [Period(run.start, run.end) for run in done if run.online and not run.offline]
    return view.offline and not any(True for period in online for _ in gaps(period, offline))


def _is_refilled(view: AppliedView, run: Run) -> bool:
    """Was a view's online store filled anew after a run, with all that was offline by then?"""
    return bool(view.online_life) and view.offline and run.started < view.applied_at


def _wanted(question: Question, by_view: dict[str, list[Run]]) -> Iterator[Run]:
    """Everything that is not done, as attempts that may begin."""
    state, now = question.state, question.now
    for view in question.views:
        if view.online or view.offline:
            yield from _wanted_of(question, view, by_view.get(view.id, []))
    if question.is_maintained and _is_maintenance_due(question, by_view):
        yield new_run(state, None, MAINTENANCE, now)


def _wanted_of(question: Question, view: AppliedView, attempts: Sequence[Run]) -> Iterator[Run]:
    state, at, now = question.state, question.at, question.now
    batch = state.source_by_name[view.source].batch
    is_lost = view.id in question.lost
    if not is_backfilled(attempts, view) or (is_lost and not is_offline_whole(view, attempts)):
        whole = backfill_period(view, batch, at, now)
        run = new_run(state, view, BACKFILL, now)
        yield run if whole is None else run._replace(start=whole.start, end=whole.end)
        return
    if is_lost:
        yield new_run(state, view, REFILL, now)
    for period in due_periods(view, batch, covered(view, attempts), at, now):
        run = new_run(state, view, PERIOD, now)
        yield run._replace(start=period.start, end=period.end)
    yield from _asked_for(attempts, now)
    takes_pushed = question.takes_pushed
    if view.offline and (takes_pushed is None or takes_pushed(view, attempts)):
        since = pushed_until(view, attempts)
        end = max(since, floor_to(view.batch_schedule, at))
        yield new_run(state, view, PUSHED, now)._replace(start=since, end=end)


def _asked_for(attempts: Sequence[Run], now: datetime) -> Iterator[Run]:
    """Jobs that a person started, that have failed, and that no later one has done."""
    for job in jobs_of(run for run in attempts if run.is_manual):
        last = job[-1]
        if last.state == FAILURE and not any(_does(run, last) for run in attempts):
            again = last._replace(state=RUNNING, started=now, ended=now, report="")
            yield again._replace(attempt=last.attempt + 1)


def _does(run: Run, failed: Run) -> bool:
    """Has an attempt done what a former one was to do?"""
    is_later = run.state == SUCCESS and run.started > failed.started
    is_whole = run.start <= failed.start and failed.end <= run.end
    has_stores = run.online >= failed.online and run.offline >= failed.offline
    return run.kind in (BACKFILL, PERIOD) and is_later and is_whole and has_stores


def _sort_in(
    question: Question, standings: Standings, wanted: Run, runs: list[Run], notes: list[str]
) -> None:
    standing = standings.of(Task.of(wanted))
    if _begins_anew(wanted, standing, question.is_patient):
        standing = NEW
    what = f"{wanted.view or wanted.kind}: {describe(wanted)}"
    is_due = standing.state == "due" or not question.is_patient
    if standing.state == "running":
        notes.append(f"{what} is under way")
    elif standing.state == "cancelled":
        notes.append(f"{what} was cancelled; {_AGAIN.get(wanted.kind, _BY_COMMAND)}")
    elif is_due:
        run_id = standing.run_id or wanted.run_id
        number = max(standing.attempt + (standing.state == "given up"), wanted.attempt)
        runs.append(wanted._replace(run_id=run_id, attempt=number))
    elif standing.at is not None:
        notes.append(f"{what} failed; attempt {standing.attempt} is due at {_short(standing.at)}")
    else:
        notes.append(
            f"{what} failed {standing.attempt} times and is not tried again by itself; correct "
            "the cause, then apply, or run `tecton materialize run-due --retry-now`"
        )


def _begins_anew(wanted: Run, standing: Standing, is_patient: bool) -> bool:
    """
    Is a job that was cancelled followed by a new one?

    A period stays a gap until a job by hand fills it. For the other kinds there is no such job, and
    without them a view would never be served, or never again get what is pushed.
    """
    if standing.state != "cancelled" or wanted.kind == PERIOD:
        return False
    is_next = wanted.kind == PUSHED and standing.end is not None and wanted.end > standing.end
    return is_next or not is_patient


def describe(run: Run) -> str:
    """What an attempt does, in a few words."""
    if run.kind in (BACKFILL, REFILL, MAINTENANCE):
        return run.kind
    if run.kind == PUSHED:
        return "pushed records"
    return f"period {Period(run.start, run.end)}"


def _is_maintenance_due(question: Question, by_view: dict[str, list[Run]]) -> bool:
    """Once a day, once something has been done; sooner where much is pushed."""
    attempts = [run for runs in by_view.values() for run in runs if run.state == SUCCESS]
    done = [run.ended for run in attempts if run.kind == MAINTENANCE]
    first = min((run.ended for run in attempts), default=question.now)
    idle = question.now - max(done, default=first)
    return idle >= MAINTAINED_EVERY or (idle >= MAINTAINED_AGAIN and question.is_scattered())


def _lacks(
    logs: DeltaLogs, state: WorkspaceState, view: AppliedView, last: Mapping[str, int]
) -> bool:
    path = offline_path(state, view)
    version = logs.version(path)
    return version is None or any(
        logs.transaction(path, version, f"push/{writer}") < batch_no
        for writer, batch_no in last.items()
    )


def _short(at: datetime) -> str:
    return format_micros(micros_of(at)).partition(".")[0] + "Z"
