"""How far jobs have come, and when they are tried again (contract §6)."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tecton.attempts import (
    DIED,
    FIRST_WAIT,
    MOST_ATTEMPTS,
    NEW,
    Standing,
    Standings,
    Task,
    fold,
    next_attempt_at,
    state_of,
    with_deaths,
)
from tecton.stores import (
    BACKFILL,
    CANCELLED,
    CANCELLING,
    FAILURE,
    PERIOD,
    RUNNING,
    SUCCESS,
    Run,
)

NOW = datetime(2026, 1, 10, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def attempt(
    state: str = SUCCESS,
    number: int = 1,
    run_id: str = "r",
    started: datetime = NOW,
    kind: str = PERIOD,
    **changes: object,
) -> Run:
    """An attempt of a minute at yesterday's period."""
    ended = started if state in (RUNNING, CANCELLING) else started + timedelta(minutes=1)
    run = Run("w", "v", "id", kind, NOW - DAY, NOW, started, ended, "")
    run = run._replace(run_id=run_id, attempt=number, state=state, owner="o")
    return run._replace(**changes)  # type: ignore[arg-type]  # names and types of its fields


def failures(count: int) -> list[Run]:
    """A job that failed so often, each time it was due."""
    runs: list[Run] = []
    at = NOW
    for number in range(1, count + 1):
        runs.append(attempt(FAILURE, number, started=at))
        at = next_attempt_at(runs) or at
    return runs


def test_rows_of_an_attempt_become_one() -> None:
    """The end counts, whatever the order of rows, and a repeated row is the same row."""
    rows = [
        attempt(RUNNING),
        attempt(CANCELLING),
        attempt(CANCELLED),
        attempt(RUNNING, 2),
        attempt(RUNNING, run_id="other", started=NOW + DAY),
        attempt(SUCCESS, run_id="other", started=NOW + DAY),
    ]
    expected = [attempt(RUNNING, 2), attempt(CANCELLED), rows[-1]]
    for seed in range(20):
        shuffled = random.Random(seed).sample([*rows, *rows], 12)
        assert sorted(expected) == sorted(fold(shuffled))


def test_rows_of_the_first_version_are_runs_of_their_own() -> None:
    """They have no id and ended well."""
    old = [Run("w", "v", "id", PERIOD, NOW, NOW, NOW, NOW + SECOND * n, "") for n in range(3)]
    assert old == fold([*old, old[0]])
    assert {SUCCESS} == {run.state for run in old}


def test_silence_past_the_lease_is_death() -> None:
    """It ended when its lease did; who lives or has ended stays as it is."""
    silent, asked = attempt(RUNNING, 2), attempt(CANCELLING, 3)
    leases = {"alive": NOW + SECOND, "o": NOW + timedelta(minutes=1)}
    runs = [attempt(SUCCESS), silent, asked, attempt(RUNNING, 4, owner="alive")]
    assert runs == with_deaths(runs, leases.get, NOW)

    later = NOW + timedelta(minutes=2)
    found = with_deaths(runs, leases.get, later)

    ends = [(run.state, run.ended, run.report) for run in found[1:3]]
    assert [(FAILURE, leases["o"], DIED), (CANCELLED, leases["o"], DIED)] == ends
    assert [FAILURE] == [run.state for run in with_deaths([silent], lambda _: None, NOW)]


@given(st.integers(1, MOST_ATTEMPTS - 1), st.timedeltas(timedelta(0), timedelta(days=3)))
def test_waits_double(count: int, after: timedelta) -> None:
    """Five minutes after a failure, then ten, twenty, … from its end."""
    runs = failures(count)
    task, last = Task.of(runs[0]), runs[-1]
    at = last.ended + FIRST_WAIT * 2 ** (count - 1)
    expected = "due" if last.ended + after >= at else "waiting"
    standing = Standing(expected, "r", count + 1, at)
    assert standing == Standings(runs, last.ended + after).of(task)
    assert (RUNNING, at) == (state_of(runs), next_attempt_at(runs))


def test_ten_attempts_at_most() -> None:
    """Then the job has failed, until an apply or a person starts a new one."""
    runs = failures(MOST_ATTEMPTS)
    task, last = Task.of(runs[0]), runs[-1]
    assert (FAILURE, None) == (state_of(runs), next_attempt_at(runs))
    assert Standing("given up", "r", 10) == Standings(runs, NOW + 100 * DAY).of(task)
    assert Standings(runs, last.ended, since=last.ended).of(task) == NEW
    assert timedelta(hours=42) < last.started - runs[0].ended < timedelta(hours=43)


def test_what_was_cancelled_stays_so() -> None:
    """Neither time nor an apply brings it back; a new job does."""
    runs = [attempt(CANCELLED)]
    task = Task.of(runs[0])
    for since in (None, NOW + DAY):
        assert Standing("cancelled", "r", end=NOW) == Standings(runs, NOW + 9 * DAY, since).of(task)
    by_hand = attempt(SUCCESS, run_id="new", started=NOW + DAY)
    assert Standings([*runs, by_hand], NOW + 9 * DAY).of(task) == NEW


def test_what_runs_is_not_due() -> None:
    """Also where an apply came after its start."""
    runs = [attempt(FAILURE), attempt(RUNNING, 2, started=NOW + DAY)]
    task = Task.of(runs[0])
    assert Standing("running", "r", 2) == Standings(runs, NOW + DAY, NOW + 2 * DAY).of(task)


def test_a_backfill_is_one_task_however_long_it_has_become() -> None:
    """Its period ends later when it is tried on another day."""
    first = attempt(FAILURE, kind=BACKFILL)
    standing = Standings([first], NOW + DAY).of(Task(BACKFILL, "id"))
    assert Standing("due", "r", 2, first.ended + FIRST_WAIT) == standing
    assert Standings([first], NOW).of(Task(BACKFILL, "other")) == NEW


def test_a_part_of_a_period_waits_as_the_whole_did() -> None:
    """What is due may be cut into other periods on the next day."""
    failed = attempt(FAILURE, 3)
    at = failed.ended + 4 * FIRST_WAIT
    noon = NOW - DAY / 2
    for period in ((NOW - DAY, noon), (noon, NOW), (noon, NOW + DAY)):
        task = Task(PERIOD, "id", period)
        assert Standing("waiting", "", 4, at) == Standings([failed], NOW).of(task)
    for period in ((NOW - 2 * DAY, NOW - DAY), (NOW, NOW + DAY)):
        assert Standings([failed], NOW).of(Task(PERIOD, "id", period)) == NEW
