"""Jobs that are killed, cancelled or started twice (docs/decisions/0037)."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Event, Thread

import pandas as pd
from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it has no types
from pyspark.errors import PySparkException

from tecton.applied import WorkspaceState
from tecton.attempts import DIED
from tecton.journal import LEASE
from tecton.spark.frontfill import frontfill
from tecton.spark.session import cancel_work, mark_work
from tecton.spark.tables import JobStores
from tecton.stores import BACKFILL, FAILURE, PUSHED, RUNNING, SUCCESS
from tecton.testing import FixedClock
from tests.spark.scene import Scene, utc

ROOT = Path(__file__).resolve().parents[2]

# A job that has begun, as far as its records say; it needs no Spark for being killed.
KILLED = """
import sys, time
from datetime import datetime, timezone
from tecton.bootstrap import Backend
from tecton.due import new_run
from tecton.journal import Journal
from tecton.settings import Settings
backend = Backend(Settings(store=sys.argv[1]))
state = backend.registry.latest("prod")
clock = lambda: datetime.now(timezone.utc)
journal = Journal(backend.runs, backend.claims, clock, "killed", "the job that is killed")
wanted = new_run(state, state.views[0], "backfill", clock())
[run] = journal.announce(state.folder, lambda _: [wanted]).runs
with journal.alive(state.folder, lambda: None), journal.carry_out(run):
    print("begun", flush=True)
    time.sleep(600)
"""


def test_a_job_outlives_who_started_it() -> None:
    """`run-due` was killed: nobody reads its lines any more, and it goes on."""
    code = "import sys; from jobs.run import say; input(); say(1); say(2); sys.stderr.write('done')"
    job = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert job.stdout is not None
    job.stdout.close()
    job.stdout = None
    _, said = job.communicate(b"go\n", timeout=120)
    assert (0, b"done") == (job.returncode, said)


def stores_of(scene: Scene, owner: str, clock: FixedClock | None = None) -> JobStores:
    """What another job works on, with the claims of the store."""
    stores = replace(scene.stores, claims=scene.backend.claims, owner=owner, who=owner)
    return stores if clock is None else replace(stores, clock=clock)


def run_due(stores: JobStores, state: WorkspaceState, at: datetime) -> Iterator[object]:
    """A frontfill as jobs do it: with patience."""
    return frontfill(stores, state, state.views, at, lambda _: None, is_patient=True)


def states(scene: Scene, state: WorkspaceState) -> list[tuple[str, int, str]]:
    """What is recorded of each attempt, parts of backfills aside."""
    attempts = scene.backend.runs.attempts(state.folder)
    return [(run.kind, run.attempt, run.state) for run in attempts if "." not in run.run_id]


def test_a_killed_job_is_noticed_and_retried(scene: Scene) -> None:
    """While its lease holds nobody takes over; then it has failed, and is tried again."""
    state = scene.example(online=False)
    scene.write_batch(("a", utc(1), 1))
    scene.backend.registry.commit(state)
    job = subprocess.Popen(
        [sys.executable, "-c", KILLED, scene.backend.settings.store],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    assert job.stdout.readline() == "begun\n"
    job.kill()
    job.wait()
    clock = FixedClock(datetime.now(timezone.utc))

    under_way = list(run_due(stores_of(scene, "b", clock), state, scene.clock()))
    assert ["click_events_fv: backfill is under way"] == under_way
    clock.advance(LEASE + timedelta(seconds=1))
    [note] = run_due(stores_of(scene, "c", clock), state, scene.clock())
    assert "click_events_fv: backfill failed; attempt 2 is due at " in str(note)
    clock.advance(timedelta(minutes=5))
    reports = list(run_due(stores_of(scene, "d", clock), state, scene.clock()))

    # Reports are typed as objects: whoever prints them needs no more.
    views = dict.fromkeys(report.view for report in reports)  # type: ignore[attr-defined]
    assert ["click_events_fv"] == list(views)
    assert [("batch", "a", utc(1), 1)] == scene.offline(state)
    assert [(BACKFILL, 1, FAILURE), (BACKFILL, 2, SUCCESS)] == states(scene, state)
    [died, _] = [run for run in scene.backend.runs.attempts(state.folder) if run.kind == BACKFILL]
    assert (DIED, "killed") == (died.report, died.owner)


def test_two_at_once_do_nothing_twice(scene: Scene) -> None:
    """The second one names what the first one is at, and does the rest."""
    state = scene.example(online=False)
    scene.write_batch(("a", utc(1), 1))
    scene.push(state, ("b", utc(2), 2))
    first = run_due(stores_of(scene, "first"), state, scene.clock())
    begun = next(first)

    second = list(run_due(stores_of(scene, "second"), state, scene.clock()))

    assert ["click_events_fv: backfill is under way"] == second
    assert [(BACKFILL, 1, RUNNING)] == states(scene, state)
    reports = [begun, *first]
    assert 2 == len(reports)
    assert [(BACKFILL, 1, SUCCESS)] == states(scene, state)
    [run] = [run for run in scene.backend.runs.of(state.folder) if run.kind == BACKFILL]
    assert (2, 2, 0, 0) == (run.rows_in, run.rows_out, run.collapsed, run.keyless)
    assert 2 == len(scene.offline(state))


def test_late_records_are_counted(scene: Scene) -> None:
    """What was pushed for a period that had been materialised is told from the rest."""
    state = scene.example(online=False)
    scene.write_batch(("a", utc(1), 1))
    list(run_due(stores_of(scene, "a"), state, scene.clock()))
    scene.push(state, ("b", utc(1), 2), ("c", utc(2), 3), ("d", utc(3, 1), 4))
    [report] = run_due(stores_of(scene, "b"), state, scene.clock())
    assert "3 rows added offline (2 late)" in str(report)
    [run] = [run for run in scene.backend.runs.of(state.folder) if run.kind == PUSHED]
    assert (3, 3, 2) == (run.rows_in, run.rows_out, run.late)


def test_spark_lets_go_of_cancelled_work(scene: Scene) -> None:
    """What a thread asked of Spark ends at once with an exception."""
    spark, seen = scene.spark, Event()
    ended: list[BaseException] = []

    def slow(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        time.sleep(120)
        yield from frames

    def work() -> None:
        mark_work(spark, "to be cancelled")
        try:
            spark.range(1).mapInPandas(slow, "id long").collect()
        except (PySparkException, Py4JError) as exc:
            ended.append(exc)
        finally:
            mark_work(spark, "")
            seen.set()

    thread = Thread(target=work)
    thread.start()
    tracker = spark.sparkContext.statusTracker()
    while not tracker.getJobIdsForGroup("to be cancelled") and not seen.is_set():
        seen.wait(0.05)
    while not seen.is_set():
        # Until then a job may have been submitted and not yet begun.
        cancel_work(spark, "to be cancelled")
        seen.wait(0.5)
    thread.join(60)
    [exc] = ended
    assert "cancelled" in str(exc)
