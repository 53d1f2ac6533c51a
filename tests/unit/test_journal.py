"""Attempts are claimed, recorded as they begin and end, and found dead when nobody lives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from tecton.attempts import DIED, fold
from tecton.errors import JobCancelled, JobTaken
from tecton.journal import LEASE, START_LEASE, Counts, Journal, LocalClaims
from tecton.stores import CANCELLED, FAILURE, PERIOD, RUNNING, SUCCESS, Run
from tecton.testing import NOW, FixedClock, InMemoryRuns

W = "w.id"
SECOND = timedelta(seconds=1)


def wanted(view_id: str = "v1", run_id: str = "r1", attempt: int = 1) -> Run:
    """An attempt that shall begin."""
    times = [NOW - timedelta(days=1), NOW, NOW, NOW]
    return Run(W, view_id.upper(), view_id, PERIOD, *times, "", run_id=run_id, attempt=attempt)


class Play:
    """One store and a clock that stands, for several owners."""

    def __init__(self) -> None:
        self.runs = InMemoryRuns()
        self.claims = LocalClaims()
        self.clock = FixedClock(NOW)

    def journal(self, owner: str = "a") -> Journal:
        """What one process has."""
        return Journal(self.runs, self.claims, self.clock, owner, f"{owner}@host", "the log")

    def states(self) -> list[tuple[str, int, str, str]]:
        """What is recorded of each attempt."""
        runs = sorted(fold(self.runs.attempts(W)), key=lambda run: (run.run_id, run.attempt))
        return [(run.run_id, run.attempt, run.state, run.report) for run in runs]


@pytest.fixture
def play() -> Play:
    """An empty store."""
    return Play()


def test_an_attempt_from_its_announcement_to_its_end(play: Play) -> None:
    """It runs as soon as it is announced; its end says what it did, and frees the claim."""
    journal = play.journal()
    announced = journal.announce(W, lambda _: [wanted()])
    assert ([("r1", 1, RUNNING, "")], ()) == (play.states(), tuple(announced.refused))

    play.clock.advance(SECOND)
    [run] = announced.runs
    with journal.carry_out(run) as work:
        play.clock.advance(SECOND)
        work.done(run, "did it", Counts(rows_in=3, rows_out=2, keyless=1))

    [ended] = play.runs.of(W)
    assert (NOW + SECOND, NOW + 2 * SECOND) == (ended.started, ended.ended)
    assert (SUCCESS, "did it", "a", "the log") == (
        ended.state,
        ended.report,
        ended.owner,
        ended.log,
    )
    assert (3, 2, None, None, 1) == (
        ended.rows_in,
        ended.rows_out,
        ended.collapsed,
        ended.late,
        ended.keyless,
    )
    assert play.journal("b").announce(W, lambda _: [wanted(run_id="r2")]).runs


def test_two_at_once_start_nothing_twice(play: Play) -> None:
    """The second one is told who is at it; what is another view's it gets."""
    first, second = play.journal("a"), play.journal("b")
    first.announce(W, lambda _: [wanted()])
    announced = second.announce(W, lambda _: [wanted(run_id="r2"), wanted("v2", "r3")])
    assert ["r3"] == [run.run_id for run in announced.runs]
    assert ["V1: another job is at it (a@host)"] == announced.refused
    assert ["r1", "r3"] == [run_id for run_id, *_ in play.states()]


def test_what_was_done_while_we_claimed_is_not_done_again(play: Play) -> None:
    """What is due is derived again under the claim, which is given up if nothing is left."""
    first, second = play.journal("a"), play.journal("b")

    def derive(attempts: Sequence[Run]) -> Sequence[Run]:
        if not attempts:
            [run] = first.announce(W, lambda _: [wanted()]).runs
            with first.carry_out(run) as work:
                work.done(run, "by the first")
            return [wanted(run_id="r2")]
        return []

    assert ([], []) == tuple(map(list, second.announce(W, derive)))
    assert [("r1", 1, SUCCESS, "by the first")] == play.states()
    assert play.journal("c").announce(W, lambda _: [wanted(run_id="r3")]).runs


def test_a_failure_is_recorded_and_raised(play: Play) -> None:
    """Also an interrupt, and work that was left."""
    for number, (exc, report) in enumerate(
        [(ValueError("no\nfile"), "no file"), (KeyboardInterrupt(), "interrupted")], 1
    ):
        journal = play.journal(f"o{number}")
        [run] = journal.announce(W, lambda _, n=number: [wanted(attempt=n)]).runs  # type: ignore[misc]
        with pytest.raises(type(exc)), journal.carry_out(run):
            raise exc
        assert ("r1", number, FAILURE, report) == play.states()[-1]
    journal = play.journal()
    [run] = journal.announce(W, lambda _: [wanted(attempt=3)]).runs
    with journal.carry_out(run):
        pass
    assert ("r1", 3, FAILURE, "it was not done") == play.states()[-1]


def test_who_dies_without_a_word_is_found_and_followed(play: Play) -> None:
    """Once the lease is over the attempt has failed; the next one writes that down."""
    play.journal("a").announce(W, lambda _: [wanted()], START_LEASE)
    adopted = play.journal("a").adopt(W)
    assert ["r1"] == [run.run_id for run in adopted]
    play.clock.advance(LEASE - SECOND)
    [seen] = play.journal("b").attempts(W)
    assert RUNNING == seen.state
    play.clock.advance(SECOND)

    [seen] = play.journal("b").attempts(W)
    assert (FAILURE, DIED, NOW + LEASE) == (seen.state, seen.report, seen.ended)
    [run] = play.journal("b").announce(W, lambda _: [wanted(attempt=2)]).runs

    assert [("r1", 1, FAILURE, DIED), ("r1", 2, RUNNING, "")] == play.states()
    assert 2 == run.attempt


def test_signs_of_life_keep_a_claim(play: Play) -> None:
    """As long as they come."""
    journal = play.journal()
    journal.announce(W, lambda _: [wanted()])
    for _ in range(5):
        play.clock.advance(LEASE / 2)
        journal.beat(W)
    assert not play.journal("b").announce(W, lambda _: [wanted(run_id="r2")]).runs


def test_cancelled_work_stops(play: Play) -> None:
    """The next sign of life stops it; it is neither done nor failed."""
    journal = play.journal()
    [run] = journal.announce(W, lambda _: [wanted()]).runs
    stopped: list[str] = []

    def work() -> None:
        with journal.alive(W, lambda: stopped.append("stopped")), journal.carry_out(run):
            journal.beat(W)
            play.claims.cancel(W, "r1")
            journal.beat(W)
            raise RuntimeError("Spark says that a job group was cancelled")

    with pytest.raises(JobCancelled, match=r"^V1: the job was cancelled$"):
        work()
    assert (["stopped"], CANCELLED) == (stopped, play.states()[-1][2])


def test_work_that_was_done_with_what_was_cancelled_is_tried_again(play: Play) -> None:
    """The other one has failed: nobody asked for its end."""
    journal = play.journal()
    runs = journal.announce(W, lambda _: [wanted(), wanted("v2", "r2")]).runs
    play.claims.cancel(W, "r2")
    with pytest.raises(JobCancelled, match=r"^V2: the job"), journal.carry_out(*runs):
        raise AssertionError("begun")
    reason = "V2: the job was cancelled"
    assert [("r1", 1, FAILURE, reason), ("r2", 1, CANCELLED, reason)] == play.states()


def test_work_that_was_cancelled_before_is_not_begun(play: Play) -> None:
    """It may have waited in a queue."""
    journal = play.journal()
    [run] = journal.announce(W, lambda _: [wanted()]).runs
    play.claims.cancel(W, "r1")
    with pytest.raises(JobCancelled), journal.carry_out(run):
        raise AssertionError("begun")
    assert CANCELLED == play.states()[-1][2]


def test_a_process_that_was_frozen_stops(play: Play) -> None:
    """Another one has taken over; it learns of it when it wakes."""
    frozen = play.journal("a")
    [run] = frozen.announce(W, lambda _: [wanted()]).runs

    def work() -> None:
        with frozen.carry_out(run):
            play.clock.advance(2 * LEASE)
            play.journal("b").announce(W, lambda _: [wanted(attempt=2)])
            frozen.beat(W)
            frozen.check()

    with pytest.raises(JobTaken):
        work()
    assert [FAILURE, RUNNING] == [state for _, _, state, _ in play.states()]


def test_what_a_launcher_sees_die_is_recorded_at_once(play: Play) -> None:
    """Nobody waits for the lease; what has ended stays as it is."""
    journal = play.journal()
    runs = journal.announce(W, lambda _: [wanted(), wanted("v2", "r2")]).runs
    with journal.carry_out(runs[0]) as work:
        work.done(runs[0], "did it")
    journal.give_up(W, "exit code -9")
    assert [("r1", 1, SUCCESS, "did it"), ("r2", 1, FAILURE, "exit code -9")] == play.states()
    assert play.journal("b").announce(W, lambda _: [wanted("v2", "r2", 2)]).runs
