"""Aggregating views over HTTP: the next `get-features` sees every record that was acknowledged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tecton.applied import AppliedAggregation
from tecton.testing import build_service, build_source, build_state, build_view
from tests.api.conftest import World, stamp
from tests.api.test_ingest import features, request

HOUR = timedelta(hours=1)


def _aggregation(function: str, window: timedelta = HOUR, **parts: Any) -> AppliedAggregation:
    name = f"{function}_{window // HOUR}h"
    return AppliedAggregation(
        name=name, column="clicked", function=function, time_window=window, **parts
    )


@pytest.fixture
def clicks(world: World) -> World:
    """The documentation's source with a view that counts, adds up and remembers clicks."""
    source = build_source()
    aggregations = (
        _aggregation("count"),
        _aggregation("count", 24 * HOUR),
        _aggregation("last_distinct", 24 * HOUR, n=2),
        _aggregation("mean"),
        _aggregation("sum", 24 * HOUR),
    )
    view = build_view(source, aggregations=aggregations, ttl=None)
    newest = build_view(source, name="newest_fv")
    state = build_state(
        [source], [view, newest], [build_service(view, newest)], name="ingestapi-live"
    )
    world.state = world.apply(state)
    return world


def ad(clicked: int | None, user: str = "u", **before: float) -> dict[str, Any]:
    return {"user_id": user, "timestamp": stamp(**before), "clicked": clicked}


def test_a_read_sees_what_was_just_acknowledged(clicks: World) -> None:
    """In one vector, aggregates beside the newest row; sorted by view and feature."""
    nothing: list[Any] = [None] * 6
    assert features(clicks)["result"]["features"] == nothing
    answer = clicks.send(request(ad(3, minutes=5), ad(4, hours=2), ad(None, minutes=1)))
    assert answer.status_code == 200
    metrics = answer.json["ingestMetrics"]["featureViewIngestMetrics"]
    assert [count["onlineRecordIngestCount"] for count in metrics] == ["3", "3"]
    expected = ["1", "2", ["4", "3"], 3.0, "7", None]
    assert features(clicks)["result"]["features"] == expected
    assert features(clicks, "nobody")["result"]["features"] == nothing


def test_retries_and_corrections_count_once(clicks: World) -> None:
    """The same event again changes nothing; with other values it replaces them."""
    for _ in range(3):
        clicks.send(request(ad(3, minutes=5), ad(4, minutes=50)))
    assert features(clicks)["result"]["features"][:2] == ["2", "2"]
    clicks.send(request(ad(10, minutes=50)))
    assert features(clicks)["result"]["features"][3:5] == [6.5, "13"]


def test_windows_move_with_the_clock(clicks: World) -> None:
    """(t − window, t]: an event exactly a window old is out."""
    clicks.send(request(ad(3, minutes=30)))
    clicks.clock.advance(timedelta(minutes=30) - timedelta(microseconds=1))
    assert features(clicks)["result"]["features"][0] == "1"
    clicks.clock.advance(timedelta(microseconds=1))
    assert features(clicks)["result"]["features"][:2] == [None, "1"]


def test_what_no_window_could_hold_is_refused(clicks: World) -> None:
    """For an aggregating view the bound is its longest window, exclusive (contract §3)."""
    refused = clicks.send(request(ad(1, hours=24)))
    assert refused.status_code == 400
    [error] = refused.json["recordErrors"]
    assert error["errorMessage"] == (
        "timestamp value is outside of the serving TTL defined for Feature View click_events_fv"
    )
    assert clicks.send(request(ad(1, hours=23.999))).status_code == 200


def test_effective_time_is_where_the_windows_end(clicks: World) -> None:
    """The clock or, if later, the newest event of the key (contract §1, values)."""
    clicks.send(request(ad(1, minutes=-5)))
    wanted = {"include_names": True, "include_effective_times": True}
    body = features(clicks, metadata_options=wanted)
    times = {f["name"]: f["effectiveTime"] for f in body["metadata"]["features"]}
    assert times["click_events_fv.count_1h"] == stamp(minutes=-5).replace("+00:00", ".000000Z")


def test_an_emptied_redis_is_noticed(clicks: World) -> None:
    """Never nulls where there were values."""
    clicks.send(request(ad(1, minutes=5)))
    clicks.online.client.flushall()
    answer = clicks.features(
        {
            "params": {
                "workspace_name": "ingestapi-live",
                "feature_service_name": "ad_ctr_feature_service",
                "join_key_map": {"user_id": "u"},
            }
        }
    )
    assert answer.status_code == 503
