"""`feature_repo`, planned and applied as it stands; the demo materialises and serves it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo import data
from demo.data import FEATURE_REPO
from tests.cli_fixtures import Cli, runs_of, scripts_of

ONLINE_AND_OFFLINE = "writing to both the Online and Offline Store"


@pytest.fixture
def repo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """A copy of the repo with a live workspace, nothing applied yet."""
    folder = tmp_path / "feature_repo"
    shutil.copytree(FEATURE_REPO, folder, ignore=shutil.ignore_patterns("data", ".tecton_*"))
    (folder / "data").mkdir()
    for name, fields in (("ad_impressions", data.IMPRESSIONS), ("flights", data.FLIGHTS)):
        schema = pa.schema([(field.name, field.dtype.arrow()) for field in fields])
        pq.write_table(schema.empty_table(), folder / "data" / f"{name}.parquet")
    cli = Cli(folder, capsys)
    cli.ok("workspace", "create", "prod", "--live")
    return cli


def test_aggregating_views_are_planned_and_applied(repo: Cli) -> None:
    """The documented names (contract §1), one backfill each, and then nothing is left to do."""
    out = repo.ok("plan", "-w", "prod")
    assert (
        "  + Create Stream Feature View\n"
        "    name:            user_click_counts\n"
        "    description:     What a user was shown and clicked over the last hour and the last "
        "three days\n"
        "    materialization: 1 backfill, 1 recurring batch job\n"
        f"    > backfill:      1 Backfill job of pushed records {ONLINE_AND_OFFLINE}\n"
    ) in out
    repo.ok("apply", "-y", "-w", "prod")
    state = repo.backend.registry.latest("prod")
    assert state is not None
    features = {
        name: [feature.name for feature in state.view_by_name[name].features]
        for name in ("user_click_counts", "airport_delays")
    }
    assert features == {
        "user_click_counts": [
            "ad_id_last_distinct_3_3d_continuous",
            "clicked_count_3d_continuous",
            "clicked_sum_1h_continuous",
        ],
        "airport_delays": [
            f"dep_delay_{function}_{window}_continuous"
            for function in ("count", "max", "mean")
            for window in ("1d", "1h", "7d")
        ],
    }
    assert [("backfill", "prod")] == scripts_of(repo.launcher)
    assert {"user_click_counts", "airport_delays"} < {view for view, *_ in runs_of(repo)}
    assert "nothing to do" in repo.ok("plan", "-w", "prod")
