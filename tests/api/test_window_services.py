"""Aggregating views as repos really define them: keys, namespaces, parts of views, new windows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tecton import (
    Aggregation,
    Entity,
    FeatureService,
    PushConfig,
    StreamFeatureView,
    StreamSource,
)
from tecton.aggregation_functions import last_distinct
from tecton.plan import make_plan
from tecton.reload import reload_lost
from tecton.resolve import resolve
from tecton.stores import BACKFILL, Run
from tecton.testing import build_state
from tecton.types import Field, Float64, Int64, String, Timestamp
from tests.api.conftest import World, stamp

HOUR = timedelta(hours=1)
START = datetime(2022, 1, 1, tzinfo=timezone.utc)
NAME = "shops"
FRESH = count()

user = Entity(name="user", join_keys=["user_id"])
shop = Entity(name="shop", join_keys=[Field("shop_id", Int64)])
purchases = StreamSource(
    name="purchases",
    schema=[
        Field("user_id", String),
        Field("shop_id", Int64),
        Field("timestamp", Timestamp),
        Field("item", String),
        Field("amount", Float64),
    ],
    stream_config=PushConfig(event_key=("item",)),
)


def spending(**changes: Any) -> StreamFeatureView:
    """What a user has spent in a shop: two join keys, and an event key that is aggregated."""
    attributes = {
        "name": "spending",
        "source": purchases,
        "entities": [user, shop],
        "online": True,
        "offline": True,
        "feature_start_time": START,
        "aggregations": [
            Aggregation("amount", "sum", HOUR),
            Aggregation("item", "count", HOUR),
            Aggregation("item", last_distinct(2), 24 * HOUR, name="items"),
        ],
    }
    return StreamFeatureView(**{**attributes, **changes})


visits = StreamFeatureView(
    name="visits",
    source=purchases,
    entities=[user],
    online=True,
    offline=False,
    feature_start_time=START,
    aggregations=[Aggregation("shop_id", last_distinct(2), 24 * HOUR)],
)
newest = StreamFeatureView(
    name="newest",
    source=purchases,
    entities=[shop],
    online=True,
    feature_start_time=START,
    ttl=24 * HOUR,
)
unserved = StreamFeatureView(
    name="unserved",
    source=purchases,
    entities=[shop],
    online=False,
    offline=True,
    feature_start_time=START,
    aggregations=[Aggregation("amount", "mean", timedelta(minutes=1))],
)


def apply(world: World, *views: StreamFeatureView, services: Sequence[FeatureService]) -> None:
    """Plan and put into force; a view's backfill has ended, as there is nothing to load."""
    desired = resolve([user, shop, purchases, *views, *services], Path("/repo"))
    applied = world.registry.latest(NAME)
    if applied is None:
        applied = build_state([], [], [], entities=(), name=NAME)
        world.registry.commit(applied)
    now = world.clock()
    state = make_plan(applied, desired, now=now, new_id=lambda: f"{next(FRESH):016x}").state
    world.state = world.apply(state)
    for view in state.views:
        run = Run(state.folder, view.name, view.id, BACKFILL, START, now, now, now, "nothing")
        world.backend.runs.record(run)


def purchase(
    user_id: str, shop_id: int, item: str, amount: float | None, **before: float
) -> dict[str, Any]:
    at = stamp(**before)
    return {
        "user_id": user_id,
        "shop_id": shop_id,
        "timestamp": at,
        "item": item,
        "amount": amount,
    }


def push(world: World, *records: dict[str, Any]) -> Any:
    listed = {"purchases": [{"record": record} for record in records]}
    answer = world.send({"workspace_name": NAME, "dry_run": False, "records": listed})
    assert answer.status_code == 200, answer.json
    return answer.json["ingestMetrics"]["featureViewIngestMetrics"]


def read(world: World, service: str = "svc", **keys: Any) -> dict[str, Any]:
    params = {
        "workspace_name": NAME,
        "feature_service_name": service,
        "join_key_map": keys,
        "metadata_options": {"include_names": True},
    }
    answer = world.features({"params": params})
    assert answer.status_code == 200, answer.json
    names = [told["name"] for told in answer.json["metadata"]["features"]]
    return dict(zip(names, answer.json["result"]["features"], strict=True))


SERVICE = FeatureService(
    name="svc",
    features=[
        spending()[["amount_sum_1h_continuous", "items"]].with_name("a_spend"),
        visits.with_join_key_map({"user_id": "buyer"}),
        newest[["amount"]],
    ],
)


@pytest.fixture
def shops(world: World) -> World:
    """Four views of one source, three of them in a service."""
    apply(world, spending(), visits, newest, unserved, services=[SERVICE])
    return world


EVENTS = [
    purchase("u", 1, "tea", 2.5, minutes=50),
    purchase("u", 1, "cup", 4.0, minutes=50),
    purchase("u", 2, "tea", 100.0, minutes=40),
    purchase("v", 1, "pot", 7.0, minutes=30),
    purchase("u", 1, "tea", 1.0, hours=5),
]
EXPECTED = {
    "a_spend.amount_sum_1h_continuous": 6.5,
    "a_spend.items": ["tea", "cup"],
    "newest.amount": 7.0,
    "visits.shop_id_last_distinct_2_1d_continuous": ["1"],
}


def test_views_of_one_source_with_keys_of_their_own(shops: World) -> None:
    """Two join keys, a mapped one, a namespace, parts of views, and rows beside aggregates."""
    metrics = push(shops, *EVENTS)
    counted = {
        m["featureViewName"]: (m["onlineRecordIngestCount"], m["offlineRecordIngestCount"])
        for m in metrics
    }
    assert counted == {
        "newest": ("5", "0"),
        "spending": ("5", "5"),
        "unserved": ("0", "5"),
        "visits": ("5", "0"),
    }
    assert EXPECTED == read(shops, user_id="u", shop_id=1, buyer="v")
    other = read(shops, user_id="v", shop_id="1", buyer="u")
    assert other["a_spend.items"] == ["pot"]
    assert other["visits.shop_id_last_distinct_2_1d_continuous"] == ["1", "2"]
    nobody = read(shops, user_id="u", shop_id=3, buyer=None)
    assert set(nobody.values()) == {None}


def test_a_restart_and_an_emptied_redis_change_nothing(shops: World) -> None:
    """Also a view that is kept nowhere but in the push table and Redis is loaded again."""
    push(shops, *EVENTS[:3])
    shops.restart()
    push(shops, *EVENTS[3:])
    assert EXPECTED == read(shops, user_id="u", shop_id=1, buyer="v")
    shops.online.client.flushall()
    backend, now = shops.backend, shops.clock()
    reports = reload_lost(shops.online, backend.history, backend.runs, [shops.state], now)
    assert {"newest", "spending", "visits"} == {report.view for report in reports}
    assert EXPECTED == read(shops, user_id="u", shop_id=1, buyer="v")
    push(shops, purchase("u", 1, "tea", 0.5, minutes=50))
    assert read(shops, user_id="u", shop_id=1, buyer="v")["a_spend.items"] == ["cup", "tea"]


def test_a_view_that_is_not_served_refuses_nothing(shops: World) -> None:
    """`online=False`: no bound (contract §3), though its window is a minute."""
    push(shops, purchase("u", 1, "tea", 2.5, hours=23))
    listed = {"purchases": [{"record": purchase("u", 1, "tea", 2.5, hours=25)}]}
    answer = shops.send({"workspace_name": NAME, "dry_run": False, "records": listed})
    refused = [error["featureViewName"] for error in answer.json["recordErrors"]]
    assert ["newest", "spending", "visits"] == refused


def test_a_new_window_is_a_new_generation(shops: World) -> None:
    """Old events are not in it until a backfill has brought them; what is pushed now is."""
    push(shops, *EVENTS)
    before = shops.state.view_by_name
    day = [Aggregation("amount", "sum", 24 * HOUR, name="total")]
    service = FeatureService(name="svc", features=[spending(aggregations=day)])
    apply(shops, spending(aggregations=day), visits, newest, unserved, services=[service])
    after = shops.state.view_by_name
    assert {name for name in after if after[name].id != before[name].id} == {"spending"}
    push(shops, purchase("u", 1, "jam", 3.0, minutes=2))
    assert read(shops, user_id="u", shop_id=1) == {"spending.total": 3.0}


def test_a_view_that_becomes_aggregating_serves_no_rows(shops: World) -> None:
    """The same name, another kind of answer: rows of the one are never read as the other."""
    push(shops, *EVENTS)
    for view in (
        spending(aggregations=None, ttl=24 * HOUR),
        spending(),
        spending(aggregations=None),
    ):
        apply(shops, view, visits, services=[FeatureService(name="svc", features=[view])])
        push(shops, purchase("u", 1, "jam", 3.0, minutes=2))
        got = read(shops, user_id="u", shop_id=1)
        if view.aggregations:
            assert got["spending.amount_sum_1h_continuous"] == 3.0
        else:
            assert got == {"spending.amount": 3.0, "spending.item": "jam"}


def test_the_clock_may_be_behind_by_view_and_key(shops: World) -> None:
    """t is the newest event of that key in that view, not of another key or view."""
    push(shops, purchase("u", 1, "tea", 1.0, minutes=59.5))
    push(shops, purchase("v", 2, "tea", 2.0, minutes=-9))
    assert read(shops, user_id="u", shop_id=1, buyer="v") == {
        "a_spend.amount_sum_1h_continuous": 1.0,
        "a_spend.items": ["tea"],
        "newest.amount": 1.0,
        "visits.shop_id_last_distinct_2_1d_continuous": ["2"],
    }
    push(shops, purchase("u", 1, "jam", 5.0, minutes=-9))
    assert read(shops, user_id="u", shop_id=1, buyer="v")["a_spend.items"] == ["tea", "jam"]
    assert read(shops, user_id="u", shop_id=1, buyer="v")[
        "a_spend.amount_sum_1h_continuous"
    ] == pytest.approx(5.0)


def test_an_older_redis_is_brought_up_to_date(shops: World) -> None:
    """A restored snapshot, or a replica that was behind: the push table has what is missing."""
    push(shops, *EVENTS[:2])
    driver = shops.online.client
    snapshot = {key: driver.dump(key) for key in driver.keys("*")}
    push(shops, *EVENTS[2:])
    push(shops, purchase("u", 1, "tea", 20.0, minutes=50))
    expected = read(shops, user_id="u", shop_id=1, buyer="v")
    driver.flushall()
    for key, value in snapshot.items():
        driver.restore(key, 0, value)
    shops.ingest.recover()
    assert expected == read(shops, user_id="u", shop_id=1, buyer="v")
    assert expected["a_spend.amount_sum_1h_continuous"] == 24.0


def test_one_request_may_hold_many_events_of_one_key(shops: World) -> None:
    """10,000 events, newest first, more than a leaf or a script takes; read before any sealing."""
    moments = range(10_000)
    records = [purchase("u", 1, f"i{n}", 1.0, seconds=n / 4) for n in moments]
    push(shops, *records)
    for _ in range(2):
        got = read(shops, user_id="u", shop_id=1, buyer="u")
        assert got["a_spend.amount_sum_1h_continuous"] == 10_000.0
        assert got["a_spend.items"] == ["i1", "i0"]
        while shops.online.tidy():
            pass
    shops.clock.advance(timedelta(minutes=59))
    assert (
        read(shops, user_id="u", shop_id=1, buyer="u")["a_spend.amount_sum_1h_continuous"] == 240.0
    )
