"""Every bad request gets its documented error, and every store stays byte for byte as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tecton.adapters.redis_online import RedisOnlineStore
from tests import bad_input
from tests.api.conftest import World, stamp
from tests.bad_input import CASES, GOOD, Case, request


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[World]:
    """One service for all cases: none of them may change anything."""
    online = RedisOnlineStore.connect(redis_url)
    online.client.flushall()
    world = World(tmp_path_factory.mktemp("bad") / "store", online, redis_url)
    live, dev = bad_input.workspaces()
    world.apply(live)
    world.apply(dev, loaded=False)
    assert world.send(request(ad(hours=3))).status_code == 200
    yield world
    world.close()


@pytest.fixture(scope="module")
def keys(world: World) -> dict[str, str]:
    """A key for each role that the cases speak of."""
    ids = {state.name: state.id for state in world.catalog.workspaces()}
    made = {
        who: world.account(role, ids[workspace])
        for who, (role, workspace) in bad_input.ROLES.items()
    }
    return {"admin": world.key, **made}


@pytest.fixture(autouse=True)
def _nothing_changes(world: World, keys: dict[str, str]) -> Iterator[None]:
    before = world.contents()
    yield
    assert before == world.contents()


def ad(**before: float) -> dict[str, Any]:
    """A good record, by the clock of the service."""
    return {"user_id": "u", "timestamp": stamp(**before), "clicked": 1}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_request(world: World, keys: dict[str, str], case: Case) -> None:
    """Status, error type and message are the documented ones."""
    answer = world.client.open(
        case.path, method=case.method, data=case.data, headers=case.headers(keys)
    )
    case.check(answer.status_code, answer.json)
    assert len(answer.headers["X-Request-ID"]) == 32


def test_cases_have_names_of_their_own() -> None:
    """So that a failure says which; and there are many."""
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))
    assert len(names) > 300


ADS = "impressions_event_source"


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        (ADS, {"minutes": -10, "microseconds": -1}, "is more than 10 minutes ahead of the clock"),
        (ADS, {"days": 7, "microseconds": 1}, "outside of the serving TTL defined for"),
        ("windowed", {"days": 3}, "outside of the serving TTL defined for"),
    ],
)
def test_microsecond_too_far(
    world: World, source: str, change: dict[str, float], message: str
) -> None:
    """The bounds of time are exact; a window is open where it begins."""
    answer = world.send(request(ad(**change), source=source))
    assert (answer.status_code, len(answer.json["recordErrors"])) == (400, 1)
    assert message in answer.json["recordErrors"][0]["errorMessage"]


def test_role_that_is_needed_is_named(world: World, keys: dict[str, str]) -> None:
    """403 says what to ask for."""
    answer = world.send(request(), keys["consumer"])
    assert "needs role editor in workspace live" in answer.json["requestError"]["errorMessage"]


def test_viewer_may_run_dry(world: World, keys: dict[str, str]) -> None:
    """A dry run needs role viewer."""
    assert world.send(request(dry_run=True), keys["viewer"]).status_code == 200


@pytest.mark.parametrize("name", ["//ingest", "///ingest", "//v2/ingest"])
def test_path_is_spelled_as_documented(world: World, name: str) -> None:
    """The framework would merge the slashes."""
    answer = world.client.post(environ_overrides={"PATH_INFO": name})
    assert (answer.status_code, answer.json["requestError"]["errorType"]) == (404, "NotFoundError")


@pytest.mark.parametrize("method", ["post", "Post"])
def test_method_is_spelled_as_documented(world: World, method: str) -> None:
    """Methods are case-sensitive."""
    answer = world.client.post("/ingest", environ_overrides={"REQUEST_METHOD": method})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_one_bad_record_among_99_refuses_all(world: World) -> None:
    """All or nothing, and the bad one is named."""
    records = [ad(minutes=n) for n in range(99)]
    records.insert(42, {**ad(), "clicked": "1"})
    answer = world.send(request(*records))
    assert answer.status_code == 400
    assert answer.json is not None
    assert [error["recordIndex"] for error in answer.json["recordErrors"]] == [42]


def test_every_bad_record_is_named(world: World) -> None:
    """Over all sources of the request, every field that is wrong."""
    body = request({**ad(), "clicked": "1", "user_id": None}, ad(days=9))
    body["records"]["all_types"] = [{"record": {**GOOD, "int": "1"}}]
    answer = world.send(body)
    assert answer.json is not None
    named = [
        (e["pushSourceName"], e["recordIndex"], e.get("featureViewName"))
        for e in answer.json["recordErrors"]
    ]
    assert named == [
        ("impressions_event_source", 0, None),
        ("impressions_event_source", 0, None),
        ("impressions_event_source", 1, "click_events_fv"),
        ("all_types", 0, None),
    ]


def test_every_record_is_named_however_many_and_however_bad(world: World) -> None:
    """Of 10,000 records with several faults each, each is named."""
    answer = world.send(request(*[{}] * 10_000))
    assert answer.json is not None
    named = [error["recordIndex"] for error in answer.json["recordErrors"]]
    assert named == list(range(10_000))


@pytest.mark.parametrize(
    "body",
    [
        request(dry_run=True),
        request(dry_run=True, workspace_name="dev"),
        request(dry_run=True, source="lonely"),
    ],
)
def test_dry_run_writes_nothing(world: World, body: Any) -> None:
    """Validated, counted as 0, in development workspaces and without views too."""
    answer = world.send(body)
    assert answer.status_code == 200
    assert answer.json is not None
    for metric in answer.json["ingestMetrics"]["featureViewIngestMetrics"]:
        assert metric["onlineRecordIngestCount"] == metric["offlineRecordIngestCount"] == "0"


def test_tolerance_is_inclusive(world: World) -> None:
    """Exactly at the ttl and exactly ten minutes ahead are accepted (dry run)."""
    records = [ad(days=7), ad(minutes=-10)]
    assert world.send(request(*records, dry_run=True)).status_code == 200


def test_oldest_microsecond_of_a_window_is_accepted(world: World) -> None:
    """As old as the longest window but for a microsecond (dry run)."""
    record = ad(days=3, microseconds=-1)
    assert world.send(request(record, source="windowed", dry_run=True)).status_code == 200
