"""
What recorded attempts say: how far each job has come, and when it is tried again. Pure functions.

A job is tried again 5 minutes after it failed, then after 10, 20, …; 10 attempts at most
(docs/decisions/0037). One that was cancelled is not tried again. An apply starts counting anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tecton.stores import CANCELLED, CANCELLING, ENDED, FAILURE, PERIOD, RUNNING, SUCCESS, Run

FIRST_WAIT = timedelta(minutes=5)
"""How long after the first failure a job is tried again; doubles with each."""

MOST_ATTEMPTS = 10

DIED = "died without a word"

_RANK = {RUNNING: 0, CANCELLING: 1, FAILURE: 2, CANCELLED: 3, SUCCESS: 4}


class Task(NamedTuple):
    """What a job is about.

    Args:
        kind: As `stores.Run` has it.
        view_id: The view's generation; empty for none.
        period: Start and end of batch rows; None for a kind that goes on where it stopped.
    """

    kind: str
    view_id: str
    period: tuple[datetime, datetime] | None = None

    @classmethod
    def of(cls, run: Run) -> Task:
        """What an attempt was about."""
        return cls(run.kind, run.view_id, (run.start, run.end) if run.kind == PERIOD else None)


class Standing(NamedTuple):
    """How things stand with a task.

    Args:
        state: "due", "waiting" for its next attempt, "running", "given up" after too many
            attempts, or "cancelled".
        run_id: The job that goes on; empty where a new one begins.
        attempt: The number of the next attempt, or of the running one.
        at: When it is tried again, where it waits.
        end: Of the period of the attempt that was cancelled.
    """

    state: str
    run_id: str = ""
    attempt: int = 1
    at: datetime | None = None
    end: datetime | None = None


NEW = Standing("due")


def fold(rows: Iterable[Run]) -> list[Run]:
    """
    One row for each attempt: the one that says how far it has come.

    Args:
        rows: As recorded, in any order, some maybe twice.

    Returns:
        In the order in which the attempts began.
    """
    newest: dict[tuple[object, ...], Run] = {}
    for row in rows:
        # Rows of the first version have no id; each was a whole run.
        key = (row.run_id, row.attempt) if row.run_id else tuple(row)
        if key not in newest or _rank(row) > _rank(newest[key]):
            newest[key] = row
    return sorted(newest.values(), key=lambda run: (run.started, run.ended, run.start))


def with_deaths(
    attempts: Iterable[Run], lease_end: Callable[[str], datetime | None], now: datetime
) -> list[Run]:
    """
    The attempts as they are, where some died without a word.

    Args:
        attempts: From `RunLog.attempts`.
        lease_end: Until when an owner of claims is known to live, None if it has none; asked
            only for attempts that have not ended.
        now: The time.
    """
    return [
        run if run.state in ENDED else _found(run, lease_end(run.owner), now) for run in attempts
    ]


class Standings:
    """How things stand with tasks.

    Args:
        attempts: From `with_deaths`.
        now: The time.
        since: Failures from before it do not count.
    """

    def __init__(
        self, attempts: Iterable[Run], now: datetime, since: datetime | None = None
    ) -> None:
        self._now = now
        self._since = since
        self._attempts: dict[tuple[str, str], list[Run]] = {}
        for run in attempts:
            self._attempts.setdefault((run.kind, run.view_id), []).append(run)

    def of(self, task: Task) -> Standing:
        """
        How things stand with a task.

        The last attempt at any part of its period decides: what is due is cut into periods
        otherwise on another day.
        """
        runs = self._attempts.get((task.kind, task.view_id), ())
        if task.period is not None:
            start, end = task.period
            runs = [run for run in runs if run.start < end and start < run.end]
        if not runs:
            return NEW
        last = max(runs, key=lambda run: (run.started, run.attempt))
        standing = _standing(last, self._now, self._since)
        # Two parts of one period are two jobs.
        return standing if Task.of(last) == task else standing._replace(run_id="")


def jobs_of(attempts: Iterable[Run]) -> list[list[Run]]:
    """
    The attempts of each job, in order; jobs in the order in which they began.

    A backfill whose runs are recorded one by one is told by these.
    """
    jobs: dict[tuple[object, ...], list[Run]] = {}
    for run in attempts:
        jobs.setdefault((run.run_id,) if run.run_id else tuple(run), []).append(run)
    told = {str(key[0]).partition(".")[0] for key in jobs if "." in str(key[0])}
    return [
        sorted(runs, key=lambda run: run.attempt)
        for runs in jobs.values()
        if not (runs[-1].state == SUCCESS and runs[-1].run_id in told)
    ]


def next_attempt_at(attempts: Sequence[Run]) -> datetime | None:
    """
    When a job is tried again.

    Args:
        attempts: All attempts of one job.

    Returns:
        None if it is not, because it runs, has ended well, was cancelled or failed too often.
    """
    last = max(attempts, key=lambda run: run.attempt)
    if last.state != FAILURE or last.attempt >= MOST_ATTEMPTS or not last.is_retried:
        return None
    return last.ended + wait_after(last.attempt)


def wait_after(attempt: int) -> timedelta:
    """How long after the failure of attempt number *attempt* the next one comes."""
    return FIRST_WAIT * (1 << (attempt - 1))


def state_of(attempts: Sequence[Run]) -> str:
    """
    The state of a job, as it is documented: FAILURE only when it is not tried again.

    Args:
        attempts: All attempts of one job.
    """
    last = max(attempts, key=lambda run: run.attempt)
    return RUNNING if next_attempt_at(attempts) is not None else last.state


def _standing(last: Run, now: datetime, since: datetime | None) -> Standing:
    if last.state in (RUNNING, CANCELLING):
        return Standing("running", last.run_id, last.attempt)
    if last.state == CANCELLED:
        return Standing("cancelled", last.run_id, last.attempt, end=last.end)
    if last.state == SUCCESS or (since is not None and last.started < since):
        return NEW
    if last.attempt >= MOST_ATTEMPTS or not last.is_retried:
        return Standing("given up", last.run_id, last.attempt)
    at = last.ended + wait_after(last.attempt)
    state = "due" if now >= at else "waiting"
    return Standing(state, last.run_id, last.attempt + 1, at)


def _found(run: Run, lease_end: datetime | None, now: datetime) -> Run:
    if lease_end is not None and lease_end > now:
        return run
    state = CANCELLED if run.state == CANCELLING else FAILURE
    ended = max(run.started, lease_end or run.ended)
    return run._replace(state=state, ended=ended, report=DIED)


def _rank(run: Run) -> tuple[int, datetime]:
    return _RANK.get(run.state, 0), run.ended
