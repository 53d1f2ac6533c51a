"""The scripts under `jobs/`, as spark-submit runs them, and the workspace of a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tecton import get_workspace
from tecton.adapters.launchers.local import LocalLauncher
from tecton.applied import BatchRows
from tecton.errors import JobFailed, NotFound
from tecton.settings import Settings
from tecton.stores import PERIOD, PUSHED, Job
from tecton.testing import build_source, build_state, build_view
from tests.spark.scene import DAY, NOW, Scene, events_of, text, utc


def _launch(scene: Scene, script: str, *arguments: str) -> Sequence[str]:
    environ = scene.backend.settings.environ()
    return list(LocalLauncher("1g").run(Job(script, arguments), environ))


def test_jobs_run_by_spark_submit(scene: Scene) -> None:
    """A line for each step; what fails is one `error:` line, and the other views are done."""
    lost = BatchRows(uri="/data/lost.parquet", file_format="parquet", timestamp_field="timestamp")
    source, broken = scene.source(), build_source("broken", batch=lost)
    view = build_view(source, max_backfill_interval=36_500 * DAY)
    state = build_state([source, broken], [view, build_view(broken, "torn")], [])
    # The job has the real clock: day 1 was yesterday.
    scene.write_batch(("a", utc(1), 1), ("a", utc(1, 1), 2))
    scene.push(state, ("b", utc(2), 3))
    scene.backend.registry.commit(state)

    with pytest.raises(JobFailed) as failure:
        _launch(scene, "backfill", "--workspace", "prod")

    message = "torn: batch source /data/lost.parquet: there is no such file or folder"
    assert str(failure.value).startswith(message)
    [log] = (scene.folder / "store" / "logs").iterdir()
    lines = log.read_text().splitlines()
    assert [f"error: {message}"] == [line for line in lines if line.startswith("error: ")]
    reports = [line for line in lines if line.startswith("click_events_fv: ")]
    assert "2 batch rows, 2 feature rows" in reports[0]
    assert [b"[2]", b"[3]"] == scene.served(state, "a", "b")

    scene.push(state, ("c", utc(2), 4))
    scene.write_batch(("a", utc(1, 1), 2), ("a", NOW, 5))
    later = text(utc(4))
    lines = _launch(
        scene, "frontfill", "--workspace", "prod", "--feature-view", view.name, "--at", later
    )

    assert "1 rows added offline" in lines[-1]
    runs = scene.backend.runs.of(state.folder)
    [period] = [run for run in runs if run.kind == PERIOD]
    assert (utc(2), utc(4)) == (period.start, period.end)
    [pushed] = [run for run in runs if run.kind == PUSHED]
    assert Path(pushed.log).parent == log.parent
    offline = scene.offline(state)
    assert ("push", "c", utc(2), 4) in offline
    assert ("batch", "a", NOW, 5) in offline


def test_a_workspace_in_a_notebook(scene: Scene) -> None:
    """`get_workspace` finds services and views; a service takes the names it was given."""
    scene.write_batch(("a", utc(2), 5))
    state = scene.example(online=False)
    scene.backend.registry.commit(state)
    scene.backfill(state)
    workspace = get_workspace("prod", scene.backend.settings)
    asked = events_of(("a", NOW), ("b", NOW))

    view = workspace.get_feature_view("click_events_fv").get_features_for_events(asked)
    service = workspace.get_feature_service("ad_ctr_feature_service")

    expected = asked.assign(click_events_fv__clicked=pd.array([5, None], "Int64"))
    pd.testing.assert_frame_equal(expected, view.to_pandas())
    frame = service.get_features_for_events(asked).to_spark()
    assert ["user_id", "timestamp", "click_events_fv__clicked"] == frame.columns
    assert [("a", 5), ("b", None)] == sorted((row[0], row[2]) for row in frame.collect())


def test_names_that_do_not_exist(tmp_path: Path) -> None:
    """An unknown workspace says how to see those that exist."""
    with pytest.raises(NotFound, match="there is no workspace nope; `tecton workspace list`"):
        get_workspace("nope", Settings(store=str(tmp_path)))
