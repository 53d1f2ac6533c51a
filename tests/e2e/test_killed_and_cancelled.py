"""A backfill in a real Spark process that is killed, tried again, cancelled, and begun again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.applied import WorkspaceState, offline_path
from tecton.attempts import DIED, FIRST_WAIT
from tecton.bootstrap import Backend, open_online
from tecton.journal import LEASE
from tecton.settings import Settings
from tecton.spark.frontfill import frontfill
from tecton.spark.tables import JobStores
from tecton.workspace import FeatureViewReader, Workspace
from tests.running import wait_for

ROOT = Path(__file__).resolve().parents[2]
SECOND = timedelta(seconds=1)

DEFINITIONS = """
from datetime import datetime, timedelta
from tecton import Entity, FileConfig, PushConfig, StreamSource, stream_feature_view
from tecton.types import Field, Int64, String, Timestamp

FOLDER = {folder!r}
fields = [Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)]
user = Entity(name="user", join_keys=["user_id"])
clicks = StreamSource(
    name="clicks",
    schema=fields,
    stream_config=PushConfig(),
    batch_config=FileConfig(
        uri="clicks.parquet", file_format="parquet", timestamp_field="timestamp"
    ),
)

@stream_feature_view(
    mode="python",
    schema=fields,
    source=clicks,
    entities=[user],
    online=True,
    offline=True,
    feature_start_time=datetime(2022, 1, 1),
    max_backfill_interval=timedelta(days=36500),
)
def gated(record):
    import os, time
    open(FOLDER + "/begun", "w").close()
    while not os.path.exists(FOLDER + "/gate"):
        time.sleep(0.02)  # between two looks for the gate
    return record
"""

JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
"""A JVM that lives for seconds: a third less work."""

# The command some seconds later: leases and waits of minutes are over at once.
LATER = """
import os, sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tecton.cli.main import run
from tecton.cli.session import Session
ahead = timedelta(seconds=float(sys.argv[1]))
session = Session(os.environ, Path.cwd(), lambda: datetime.now(timezone.utc) + ahead)
sys.exit(run(sys.argv[2:], session))
"""


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Repo:
    """A feature repo with a view whose function waits for a gate to open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "definitions.py").write_text(DEFINITIONS.format(folder=str(folder)))
        times = [datetime(2022, 1, day, tzinfo=timezone.utc) for day in (1, 2, 3)]
        table = pa.table(
            {
                "user_id": ["a", "b", "c"],
                "timestamp": pa.array(times, pa.timestamp("us", "UTC")),
                "clicked": pa.array([1, 2, 3], pa.int64()),
            }
        )
        pq.write_table(table, folder / "clicks.parquet")
        self.store = str(folder / ".tecton_store")
        self.redis = EmbeddedRedis(str(folder / "redis"))
        self.settings = Settings(store=self.store, redis_url=self.redis.start())
        self.backend = Backend(self.settings)

    @property
    def state(self) -> WorkspaceState:
        """What is applied."""
        state = self.backend.registry.latest("prod")
        assert state is not None
        return state

    def begin(self, *arguments: str, later: timedelta = timedelta(0)) -> subprocess.Popen[str]:
        """Start a command; what it says comes together."""
        environ = {key: text for key, text in os.environ.items() if not key.startswith("TECTON_")}
        command = [sys.executable, "-c", LATER, str(later.total_seconds()), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**environ, **self.settings.environ(), "PYTHONPATH": str(ROOT), **JAVA},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def tecton(self, *arguments: str, later: timedelta = timedelta(0), code: int = 0) -> str:
        """Run a command to its end; what it said."""
        command = self.begin(*arguments, later=later)
        said, _ = command.communicate(timeout=300)
        assert command.returncode == code, said
        return said

    @property
    def view(self) -> FeatureViewReader:
        """The view that waits, as a notebook has it."""
        return Workspace(self.backend, self.state).get_feature_view("gated")

    def wait_for_work(self) -> None:
        """Return when the view's function runs."""
        wait_for((self.folder / "begun").exists, "the function to be called", patience=300)
        (self.folder / "begun").unlink()

    def jobs(self) -> list[psutil.Process]:
        """The Java processes of jobs on this store."""
        found = []
        for process in psutil.process_iter(["name", "environ"]):
            environ = process.info["environ"] or {}
            if process.info["name"] == "java" and environ.get("TECTON_STORE") == self.store:
                found.append(process)
        return found

    def kill_job(self) -> None:
        """As the machine does that has no memory left: Spark and its driver, without a word."""
        [job] = self.jobs()
        os.killpg(job.pid, signal.SIGKILL)
        wait_for(lambda: not self.jobs(), "the end of the job")

    def held(self) -> tuple[list[str], bool]:
        """Whose rows the view's offline table has, and whether it is served."""
        [view] = self.state.views
        folder = f"{self.store}/{offline_path(self.state, view)}"
        rows = (
            DeltaTable(folder).to_pyarrow_table()["user_id"].to_pylist()
            if DeltaTable.is_deltatable(folder)
            else []
        )
        return sorted(rows), not self.backend.online.unloaded([view.online_id])

    def frontfill(self, spark: SparkSession) -> None:
        """What `run-due --retry-now` starts, and `jobs/frontfill.py --retry-now` is."""
        backend, settings = self.backend, self.settings
        stores = JobStores(
            spark,
            self.store,
            backend.delta_logs,
            backend.runs,
            partial(open_online, settings.redis_url or ""),
            _now,
            ledger=backend.ledger,
            erasures=backend.erasures,
            claims=backend.claims,
        )
        list(frontfill(stores, self.state, self.state.views, _now(), lambda _: None))

    def close(self) -> None:
        """Leave nothing running."""
        (self.folder / "gate").touch()
        for job in self.jobs():
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
        self.redis.stop()


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repo]:
    """A repo with a live workspace, and nothing applied."""
    repo = Repo(tmp_path)
    try:
        repo.tecton("init")
        repo.tecton("workspace", "create", "prod", "--live")
        yield repo
    finally:
        repo.close()


@pytest.mark.spark
def test_backfill_that_is_killed_and_then_cancelled(repo: Repo, spark: SparkSession) -> None:
    """Each time nothing is half done, and what is left is done by the next run-due that may."""
    run_due = ("materialize", "run-due")
    assert "is under way" in repo.tecton("apply", "-y", "--no-wait")
    repo.wait_for_work()
    repo.kill_job()

    assert "gated: backfill is under way" in repo.tecton(*run_due)
    died = LEASE + SECOND
    assert "gated: backfill failed; attempt 2 is due at " in repo.tecton(*run_due, later=died)
    assert ([], False) == repo.held()
    again = repo.begin(*run_due, later=died + FIRST_WAIT)
    repo.wait_for_work()
    view = repo.view
    [job] = view.list_materialization_jobs()
    assert [("FAILURE", DIED), ("RUNNING", "")] == [
        (attempt.attempt_state, attempt.message) for attempt in job.attempts
    ]

    assert "MANUAL_CANCELLATION_REQUESTED" == view.cancel_materialization_job(job.id).state
    said, _ = again.communicate(timeout=120)

    assert again.returncode == 1
    assert "gated: the job was cancelled" in said
    ended = view.wait_for_materialization_job(job.id, timedelta(seconds=1))
    assert ["FAILURE", "MANUALLY_CANCELLED"] == [one.attempt_state for one in ended.attempts]
    assert "MANUALLY_CANCELLED" == ended.state
    assert ([], False) == repo.held()
    (repo.folder / "gate").touch()
    said = repo.tecton(*run_due)
    assert "gated: backfill was cancelled; `tecton materialize run-due --retry-now`" in said
    assert "Nothing is due" in said
    repo.frontfill(spark)
    assert (["a", "b", "c"], True) == repo.held()
    assert ["SUCCESS", "MANUALLY_CANCELLED"] == [
        job.state for job in view.list_materialization_jobs()
    ]
