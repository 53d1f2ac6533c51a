"""The jobs of a feature view in a notebook: list, get, trigger, cancel, wait, status."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tecton.errors import JobFailed, JobRefused, JobTaken, NotFound
from tecton.journal import START_LEASE, Counts, Journal
from tecton.launching import Launching
from tecton.materialization import MaterializationJobs
from tecton.stores import Run
from tecton.testing import NOW
from tecton.workspace import FeatureViewReader, Workspace
from tests.cli_fixtures import Cli, DoingLauncher, cli

__all__ = ["cli"]

DAY = timedelta(days=1)
MIDNIGHT = datetime(2023, 1, 3, tzinfo=timezone.utc)


@pytest.fixture
def live(cli: Cli, tmp_path: Path) -> Cli:
    """A live workspace with a loaded view that has a batch source and is offline alone."""
    times = pa.array([NOW], pa.timestamp("us", "UTC"))
    table = pa.table({"user_id": ["a"], "timestamp": times, "clicked": [1]})
    pq.write_table(table, tmp_path / "clicks.parquet")
    batch = 'FileConfig(uri="clicks.parquet", file_format="parquet", timestamp_field="timestamp")'
    cli.change(
        "definitions.py",
        {
            "stream_config=PushConfig(),": f"stream_config=PushConfig(), batch_config={batch},",
            "import Entity,": "import Entity, FileConfig,",
            "online=True": "online=False",
            "features=[clicks]": "features=[clicks], online_serving_enabled=False",
        },
    )
    cli.ok("workspace", "create", "prod", "--live")
    cli.launcher = DoingLauncher(cli)
    cli.ok("apply", "-y")
    return cli


class Notebook:
    """What somebody has in a notebook, with the clock of the command line."""

    def __init__(self, line: Cli) -> None:
        self.line = line
        self.backend = line.backend
        state = self.backend.registry.latest("prod")
        assert state is not None
        self.state = state
        self.slept: list[float] = []
        launching = Launching(self.backend, {}, line.clock)
        view = state.view_by_name["clicks"]
        self.jobs = MaterializationJobs(launching, state, view, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.line.clock.advance(timedelta(seconds=seconds))

    def trigger(self, start: datetime, end: datetime, **changes: bool) -> str:
        """Start a job for the offline table."""
        return self.jobs.trigger(start, end, **{"online": False, "offline": True, **changes})

    def do(self, reason: str | None = None) -> None:
        """Carry out what was triggered last, as its job would."""
        job = self.line.launcher.started[-1]
        owner = job.arguments[3]
        journal = Journal(
            self.backend.runs, self.backend.claims, self.line.clock, owner, "me", "a.log"
        )
        for run in journal.adopt(self.state.folder):
            self._carry_out(journal, run, reason)

    def _carry_out(self, journal: Journal, run: Run, reason: str | None) -> None:
        with journal.carry_out(run) as work:
            if reason is not None:
                raise JobFailed(reason)
            work.done(run, "did it", Counts(rows_in=3, rows_out=2))


@pytest.fixture
def notebook(live: Cli) -> Notebook:
    """A notebook on that workspace."""
    return Notebook(live)


def test_a_triggered_job_from_its_start_to_its_end(notebook: Notebook) -> None:
    """It is known at once, by its id; the launcher got a job that carries it out."""
    job_id = notebook.trigger(MIDNIGHT - 2 * DAY, MIDNIGHT, overwrite=True)
    [started] = notebook.line.launcher.started
    assert ("backfill", ["--workspace", "prod", "--owner"]) == (
        started.script,
        started.arguments[:3],
    )
    job = notebook.jobs.get(job_id)
    assert ("prod", "clicks", "RUNNING", "BATCH") == (
        job.workspace,
        job.feature_view,
        job.state,
        job.job_type,
    )
    assert (MIDNIGHT - 2 * DAY, MIDNIGHT, False, True) == (
        job.start_time,
        job.end_time,
        job.online,
        job.offline,
    )
    notebook.do()

    job = notebook.jobs.wait(job_id)

    assert ("SUCCESS", None) == (job.state, job.next_attempt_at)
    [attempt] = job.attempts
    assert (f"{job_id}-1", "SUCCESS", "a.log", "did it") == (
        attempt.id,
        attempt.attempt_state,
        attempt.run_url,
        attempt.message,
    )
    assert {job_id} == {one.id for one in notebook.jobs.list()} - {notebook.jobs.list()[-1].id}


@pytest.mark.parametrize(
    ("start", "end", "changes", "reason"),
    [
        (MIDNIGHT - DAY / 2, MIDNIGHT, {}, "start_time .* is no multiple of the batch_schedule"),
        (MIDNIGHT - DAY, NOW, {}, "end_time .* is no multiple"),
        (MIDNIGHT, MIDNIGHT, {}, "start_time must be before end_time"),
        (MIDNIGHT, MIDNIGHT + DAY, {}, "end_time must not be after now"),
        (MIDNIGHT - 999 * DAY, MIDNIGHT, {}, "before the feature_start_time 2022-01-01"),
        (MIDNIGHT - DAY, MIDNIGHT, {}, "has been materialised; overwrite=True does it again"),
        (MIDNIGHT - DAY, MIDNIGHT, {"offline": False}, "one of online and offline must be True"),
        (MIDNIGHT - DAY, MIDNIGHT, {"online": True}, "feature view clicks has online=False"),
    ],
)
def test_what_cannot_be_done_is_refused(
    notebook: Notebook, start: datetime, end: datetime, changes: dict[str, bool], reason: str
) -> None:
    """Before anything is started or recorded."""
    before = notebook.jobs.list()
    with pytest.raises(JobRefused, match=reason):
        notebook.trigger(start, end, **changes)
    assert (before, []) == (notebook.jobs.list(), notebook.line.launcher.started)


def test_naive_times_are_utc(notebook: Notebook) -> None:
    """As everywhere."""
    start, end = datetime(2023, 1, 1), datetime(2023, 1, 2)  # noqa: DTZ001  # it is about such times
    job_id = notebook.trigger(start, end, overwrite=True)
    assert MIDNIGHT - 2 * DAY == notebook.jobs.get(job_id).start_time


def test_one_job_at_a_time(notebook: Notebook) -> None:
    """The second one is told who is at it."""
    notebook.trigger(MIDNIGHT - DAY, MIDNIGHT, overwrite=True)
    with pytest.raises(JobTaken, match=r"^clicks: another job is at it \(.* process \d+\)$"):
        notebook.trigger(MIDNIGHT - 2 * DAY, MIDNIGHT, overwrite=True)


def test_a_failed_job_is_tried_again(notebook: Notebook) -> None:
    """It runs as long as another attempt will come; run-due makes it."""
    job_id = notebook.trigger(MIDNIGHT - DAY, MIDNIGHT, overwrite=True)
    with pytest.raises(JobFailed):
        notebook.do("no file x")
    job = notebook.jobs.get(job_id)
    assert ("RUNNING", NOW + timedelta(minutes=5)) == (job.state, job.next_attempt_at)
    assert ["no file x"] == [attempt.message for attempt in job.attempts]
    notebook.line.clock.advance(timedelta(minutes=5))
    notebook.line.ok("materialize", "run-due")
    job = notebook.jobs.get(job_id)
    assert ["FAILURE", "SUCCESS"] == [attempt.attempt_state for attempt in job.attempts]
    assert "SUCCESS" == job.state


def test_without_retries_one_failure_is_the_end(notebook: Notebook) -> None:
    """As Airflow's operators want it."""
    asked = {"overwrite": True, "use_tecton_managed_retries": False}
    job_id = notebook.trigger(MIDNIGHT - DAY, MIDNIGHT, **asked)
    with pytest.raises(JobFailed):
        notebook.do("no file x")
    assert ("FAILURE", None) == (
        notebook.jobs.wait(job_id).state,
        notebook.jobs.get(job_id).next_attempt_at,
    )


def test_a_running_job_is_cancelled(notebook: Notebook) -> None:
    """First it is asked, then it has stopped; it does not come back."""
    job_id = notebook.trigger(MIDNIGHT - DAY, MIDNIGHT, overwrite=True)
    assert "MANUAL_CANCELLATION_REQUESTED" == notebook.jobs.cancel(job_id).state
    with pytest.raises(JobFailed, match="the job was cancelled"):
        notebook.do()
    assert "MANUALLY_CANCELLED" == notebook.jobs.wait(job_id).state
    notebook.line.clock.advance(DAY / 4)
    assert 'Nothing is due in workspace "prod".\n' == notebook.line.ok("materialize", "run-due")
    with pytest.raises(JobRefused, match="has ended: MANUALLY_CANCELLED"):
        notebook.jobs.cancel(job_id)


def test_a_waiting_job_is_cancelled(notebook: Notebook) -> None:
    """At once."""
    job_id = notebook.trigger(MIDNIGHT - DAY, MIDNIGHT, overwrite=True)
    with pytest.raises(JobFailed):
        notebook.do("no file x")
    assert "MANUALLY_CANCELLED" == notebook.jobs.cancel(job_id).state


def test_waiting_has_an_end(notebook: Notebook) -> None:
    """After the time that was given, or when the job has died."""
    job_id = notebook.trigger(MIDNIGHT - DAY, MIDNIGHT, overwrite=True)
    with pytest.raises(JobFailed, match=f"the job {job_id} has not ended within 0:00:05: RUNNING"):
        notebook.jobs.wait(job_id, timedelta(seconds=5))
    assert [1.0] * 5 == notebook.slept
    notebook.line.clock.advance(START_LEASE)
    assert ["FAILURE"] == [one.attempt_state for one in notebook.jobs.get(job_id).attempts]


def test_unknown_job(notebook: Notebook) -> None:
    """The error names it."""
    with pytest.raises(NotFound, match="feature view clicks has no materialization job x"):
        notebook.jobs.get("x")


def test_a_view_without_batch_source(cli: Cli) -> None:
    """There is nothing that a job by hand could read."""
    cli.ok("workspace", "create", "prod", "--live")
    cli.ok("apply", "-y")
    with pytest.raises(JobRefused, match="feature view clicks has no batch source"):
        Notebook(cli).trigger(MIDNIGHT - DAY, MIDNIGHT)


def test_the_methods_of_a_feature_view(live: Cli) -> None:
    """As documented: names, and a frame with the documented columns."""
    state = live.backend.registry.latest("prod")
    assert state is not None
    view: FeatureViewReader = Workspace(live.backend, state).get_feature_view("clicks")
    [job] = view.list_materialization_jobs()
    assert job == view.get_materialization_job(job.id) == view.wait_for_materialization_job(job.id)
    frame = view.materialization_status()
    assert ["BATCH", "2022-01-01 00:00:00", "2023-01-03 00:00:00", "SUCCESS", "1"] == list(
        frame.iloc[0][:5]
    )
    assert "STATE_MESSAGE" in view.materialization_status(verbose=True, sort_columns="TYPE")
    assert view.materialization_status(errors_only=True).empty
    job_id = view.trigger_materialization_job(
        start_time=MIDNIGHT - DAY, end_time=MIDNIGHT, online=False, offline=True, overwrite=True
    )
    assert "MANUAL_CANCELLATION_REQUESTED" == view.cancel_materialization_job(job_id).state
