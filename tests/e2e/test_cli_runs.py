"""Due jobs, what was recorded of them, and how new what they left is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tecton.journal import LEASE, START_LEASE
from tecton.testing import RecordingLauncher
from tests.cli_fixtures import Cli, DoingLauncher, cli, runs_of, scripts_of

__all__ = ["cli"]

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
RUN_DUE = ("materialize", "run-due")
IDLE = 'Nothing is due in workspace "prod".\n'


@pytest.fixture
def live(cli: Cli) -> Cli:
    """A live workspace with the example applied, whose view is offline alone."""
    cli.ok("workspace", "create", "prod", "--live")
    cli.change(
        "definitions.py",
        {
            "online=True": "online=False",
            "features=[clicks]": "features=[clicks], online_serving_enabled=False",
        },
    )
    cli.launcher = DoingLauncher(cli)
    cli.ok("apply", "-y")
    cli.launcher = DoingLauncher(cli)
    return cli


def fails(line: Cli, reason: str = "no file x") -> None:
    """Let the jobs of from now on fail."""
    line.launcher = DoingLauncher(line, reason)


def test_nothing_is_due_without_a_live_workspace(cli: Cli) -> None:
    """That is no error."""
    assert "nothing is due" in cli.ok(*RUN_DUE)


def test_no_job_starts_where_nothing_is_due(live: Cli) -> None:
    """No Spark: what was not pushed is recorded as taken, once a period."""
    assert live.ok(*RUN_DUE) == IDLE
    live.clock.advance(DAY / 2)
    for _ in range(3):
        assert live.ok(*RUN_DUE) == IDLE
    assert [("clicks", "backfill"), ("clicks", "pushed")] == [run[:2] for run in runs_of(live)]
    assert live.launcher.jobs == []


def test_a_day_later_tables_are_maintained(live: Cli) -> None:
    """Once a day."""
    live.clock.advance(DAY)
    assert "1 job" in live.ok(*RUN_DUE)
    assert [("frontfill", "prod")] == scripts_of(live.launcher)
    assert ("", "maintenance", 1, "SUCCESS") in runs_of(live)
    assert live.ok(*RUN_DUE) == IDLE


def test_run_due_in_every_live_workspace(live: Cli) -> None:
    """One job for each that has something to do; development ones have nothing."""
    for name in ("second", "third"):
        live.ok("workspace", "create", name, "--live")
        live.launcher = RecordingLauncher(failure="broken")
        assert live("apply", "-y").code == 1
    live.ok("workspace", "create", "dev")
    live.launcher = DoingLauncher(live)
    live.ok(*RUN_DUE, "--retry-now", "--at", "2023-01-02T00:00:00Z")
    assert [("frontfill", "second"), ("frontfill", "third")] == scripts_of(live.launcher)
    assert ["--at", "2023-01-02T00:00:00Z"] == list(live.launcher.jobs[0].arguments[-2:])
    assert "development workspace" in live(*RUN_DUE, "-w", "dev").err
    assert "no RFC 3339 time" in live(*RUN_DUE, "--at", "monday").err


def test_failed_due_job_does_not_stop_the_others(live: Cli) -> None:
    """Every workspace gets its turn; the error names those that failed."""
    live.ok("workspace", "create", "second", "--live")
    live.launcher = RecordingLauncher(failure="broken")
    live("apply", "-y")
    live.clock.advance(DAY)
    live.launcher = RecordingLauncher(failure="broken")
    result = live(*RUN_DUE)
    assert result.err == "error: workspace prod: broken; workspace second: broken\n"
    assert len(live.launcher.jobs) == 2


def test_what_failed_waits_and_says_so(live: Cli) -> None:
    """Five minutes, then ten; an apply begins anew; by hand it need not wait."""
    live.change(
        "definitions.py",
        {"datetime(2022, 1, 1)": "datetime(2022, 1, 2)", 'name="clicks"': 'name="other"'},
    )
    fails(live)
    assert "no file x" in live("apply", "-y").err
    waits = "other: backfill failed; attempt 2 is due at 2023-01-03T12:05:00Z\n"
    assert live.ok(*RUN_DUE) == waits + IDLE
    live.clock.advance(5 * MINUTE)
    assert "no file x" in live(*RUN_DUE).err
    assert "attempt 3 is due at 2023-01-03T12:15:00Z" in live.ok(*RUN_DUE)
    live.clock.advance(MINUTE)
    live.change("definitions.py", {'"The count of ad clicks for a user"': '"Clicks"'})
    live.ok("apply", "-y")
    assert "no file x" in live(*RUN_DUE).err
    live.launcher = DoingLauncher(live)
    assert "attempt 2 is due" in live.ok(*RUN_DUE)
    assert "1 job" in live.ok(*RUN_DUE, "--retry-now")
    mine = [(kind, number, state) for view, kind, number, state in runs_of(live) if view == "other"]
    failed = [("backfill", number, "FAILURE") for number in (1, 2, 1)]
    assert sorted([*failed, ("backfill", 2, "SUCCESS")]) == sorted(mine)


def test_after_ten_attempts_somebody_has_to_look(live: Cli) -> None:
    """They are not tried again by themselves."""
    live.change("definitions.py", {'name="clicks"': 'name="other"'})
    fails(live)
    live("apply", "-y")
    for number in range(9):
        live.clock.advance(5 * MINUTE * 2**number)
        assert "no file x" in live(*RUN_DUE).err
    live.clock.advance(100 * DAY)
    assert "other: backfill failed 10 times and is not tried again" in live(*RUN_DUE).out
    assert 10 == max(number for _, _, number, _ in runs_of(live))


def test_two_at_once_start_nothing_twice(live: Cli) -> None:
    """While one job is under way another run-due starts none; silence is noticed."""
    live.change("definitions.py", {'name="clicks"': 'name="other"'})
    live.ok("apply", "-y", "--no-wait")
    assert live.ok(*RUN_DUE) == "other: backfill is under way\n" + IDLE
    # It never gave a sign of life: after its lease it has failed, and 5 minutes later comes again.
    live.clock.advance(START_LEASE)
    assert "other: backfill failed; attempt 2 is due at 2023-01-03T12:08:00Z" in live.ok(*RUN_DUE)
    live.clock.advance(5 * MINUTE)
    assert "1 job" in live.ok(*RUN_DUE)
    states = [run for run in runs_of(live) if run[0] == "other"]
    assert [("other", "backfill", 1, "FAILURE"), ("other", "backfill", 2, "SUCCESS")] == states
    assert LEASE < START_LEASE


def test_materialization_status(live: Cli) -> None:
    """The documented columns, newest first; ours with --verbose."""
    live.clock.advance(DAY / 2)
    live.ok(*RUN_DUE)
    lines = live.ok("materialization-status", "clicks").splitlines()
    assert "Times are in UTC." == lines[0]
    headings = "TYPE WINDOW_START_TIME WINDOW_END_TIME STATUS ATTEMPT_NUMBER JOB_CREATED_AT"
    assert [*headings.split(), "JOB_LOGS"] == lines[1].split()
    assert set(lines[2]) == {"="}
    midnight = "2023-01-04 00:00:00"
    pushed = [
        "STREAM",
        *midnight.split(),
        *midnight.split(),
        "SUCCESS",
        "1",
        *midnight.split(),
        "-",
    ]
    assert pushed == lines[3].split()
    start = ["2022-01-01", "00:00:00"]
    backfill = ["BATCH", *start, *start, "SUCCESS", "1", "2023-01-03", "12:00:00", "a.log"]
    assert backfill == lines[4].split()
    assert len(lines) == 5
    assert len(live.ok("materialization-status", "clicks", "--limit", "1").splitlines()) == 4
    verbose = live.ok("materialization-status", "clicks", "--verbose").splitlines()
    assert "ROWS_IN  ROWS_OUT  COLLAPSED  LATE  WITHOUT_KEY  STATE_MESSAGE" in verbose[1]
    assert ["offline", "3", "2", "1", "-", "-", "did", "it"] == verbose[4].split()[-8:]
    assert "no feature view nope" in live("materialization-status", "nope").err


def test_errors_only(live: Cli) -> None:
    """Attempts that failed, and why."""
    assert len(live.ok("materialization-status", "clicks", "--errors-only").splitlines()) == 3
    live.change("definitions.py", {'name="clicks"': 'name="other"'})
    fails(live, "no\nfile")
    live("apply", "-y")
    lines = live.ok("materialization-status", "other", "--errors-only", "-v").splitlines()
    assert len(lines) == 4
    assert "FAILURE" in lines[3]
    assert lines[3].endswith("no file")


def test_freshness(live: Cli) -> None:
    """The documented columns: how old the newest period of each view is."""
    first, rule, clicks = live.ok("freshness").splitlines()
    headings = ["Feature View", "Materialized?", "Stale?", "Freshness", "Expected Freshness"]
    assert first.split() == " ".join([*headings, "Created at"]).split()
    assert set(rule) == {"="}
    assert ["clicks", "Y", "N", "12h", "2d", "2023-01-03", "12:00:00"] == clicks.split()
    live.clock.advance(2 * DAY)
    assert "clicks Y Y 2d 12h 2d" in " ".join(live.ok("freshness").splitlines()[2].split())
    live.change("definitions.py", {'name="clicks"': 'name="other"'})
    live.ok("apply", "-y", "--no-wait")
    assert "other N - - 2d" in " ".join(live.ok("freshness").splitlines()[2].split())
