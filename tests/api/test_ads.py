"""`feature_repo/ads` as it is planned: its transformation, by way of the service."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tecton.applied import new_id
from tecton.plan import desired_of, make_plan
from tecton.repo import load_repo
from tecton.testing import AD_FIELDS, NOW, build_state
from tests.api.conftest import World, stamp

ADS = Path(__file__).parents[2] / "feature_repo" / "ads"


def apply(world: World, folder: Path) -> None:
    shutil.copytree(ADS, folder / "ads", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").mkdir()
    schema = pa.schema([(field.name, field.dtype.arrow()) for field in AD_FIELDS])
    pq.write_table(schema.empty_table(), folder / "data" / "ad_impressions.parquet")
    desired = desired_of(load_repo(folder))
    assert desired.warnings == ()
    empty = build_state([], [], [], name="ingestapi-live", version=0, entities=())
    world.apply(make_plan(empty, desired, now=NOW, new_id=new_id).state)


def view(**values: Any) -> dict[str, Any]:
    page = {"url": "news.example/a/1", "title": "What is the price of Bitcoin?"}
    record = {"user_id": "u", "timestamp": stamp(), "page": page, "tags": ["money", None]}
    return {**record, "seconds_by_section": {"head": 10, "foot": None, "body": 30}, **values}


def test_transformation_of_the_example(world: World, tmp_path: Path) -> None:
    """Array, Struct and Map go in and come out, with nulls inside; no page, no row."""
    apply(world, tmp_path)
    views = [view(), view(user_id="v", tags=None, seconds_by_section=None), view(page=None)]
    records = {"page_view_source": [{"record": one} for one in views]}
    request = {"workspace_name": "ingestapi-live", "dry_run": False, "records": records}
    answer = world.send(request)
    assert answer.json["ingestMetrics"]["featureViewIngestMetrics"] == [
        {
            "featureViewName": "keyword_ingest_fv",
            "onlineRecordIngestCount": "2",
            "offlineRecordIngestCount": "2",
        }
    ]
    words = ["what", "is", "the", "price", "of", "bitcoin"]
    shares = {"body": 0.75, "foot": 0.0, "head": 0.25}
    assert [["bitcoin", "money", "price"], ["news.example", words], shares] == served(world, "u")
    assert [["bitcoin", "price"], ["news.example", words], {}] == served(world, "v")


def served(world: World, user: str) -> Any:
    asked = {
        "workspace_name": "ingestapi-live",
        "feature_service_name": "keyword_feature_service",
        "join_key_map": {"user_id": user},
    }
    answer = world.features({"params": asked})
    assert answer.status_code == 200, answer.json
    return answer.json["result"]["features"]
