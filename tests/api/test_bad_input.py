"""Every bad request gets its documented error, and every store stays byte for byte as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tecton.access import new_key
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.testing import build_service, build_source, build_state, build_view
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp
from tests.api.conftest import World, stamp

TYPES = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("bool", Bool),
    Field("int", Int64),
    Field("float", Float64),
    Field("text", String),
    Field("at", Timestamp),
    Field("list", Array(Int64)),
    Field("struct", Struct([Field("a", Int64), Field("b", String)])),
    Field("map", Map(String, Float64)),
)
GOOD = {
    "user_id": "u",
    "timestamp": stamp(hours=1),
    "bool": True,
    "int": 1,
    "float": 1.5,
    "text": "t",
    "at": stamp(hours=2),
    "list": [1, None],
    "struct": {"a": 1, "b": None},
    "map": {"k": 1.5},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[World]:
    """One service for all cases: none of them may change anything."""
    online = RedisOnlineStore.connect(redis_url)
    online.client.flushall()
    world = World(tmp_path_factory.mktemp("bad") / "store", online, redis_url)
    ads = build_source()
    all_types = build_source("all_types", TYPES)
    lonely = build_source("lonely")
    offline_only = build_source("offline_only")
    views = [
        build_view(ads),
        build_view(all_types, "all_types_fv"),
        build_view(offline_only, "offline_fv", online=False),
    ]
    world.state = world.apply(
        build_state(
            [ads, all_types, lonely, offline_only], views, [build_service(views[0])], name="live"
        )
    )
    world.dev = world.apply(build_state([ads], [], [], name="dev", live=False), loaded=False)
    world.send(request(ad(hours=3)))
    yield world
    world.close()


@pytest.fixture(autouse=True)
def _nothing_changes(world: World, keys: dict[str, str]) -> Iterator[None]:
    before = world.contents()
    yield
    assert before == world.contents()


def ad(**before: float) -> dict[str, Any]:
    return {"user_id": "u", "timestamp": stamp(**before), "clicked": 1}


def request(*records: Any, source: str = "impressions_event_source", **changes: Any) -> Any:
    listed = {source: [{"record": record} for record in records or [ad()]]}
    return {"workspace_name": "live", "dry_run": False, "records": listed, **changes}


def without(name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return {k: v for k, v in (body or request()).items() if k != name}


class Case(NamedTuple):
    """What is sent, and what the request error says."""

    name: str
    body: Any
    status: int
    message: str
    type: str = "RequestValidationError"


def text(body: Any) -> bytes:
    return json.dumps(body).encode()


ENVELOPES = [
    Case("empty body", b"", 400, "The request body is not valid JSON"),
    Case("null", b"null", 400, "The request body must be a JSON object, saw null"),
    Case("array", b"[]", 400, "The request body must be a JSON object, saw an array of 0"),
    Case("string", b'"x"', 400, 'The request body must be a JSON object, saw "x"'),
    Case("truncated", text(request())[:-1], 400, "The request body is not valid JSON"),
    Case("trailing bytes", text(request()) + b"x", 400, "The request body is not valid JSON"),
    Case("trailing comma", b'{"a": 1,}', 400, "The request body is not valid JSON"),
    Case("comment", b'{"a": 1 /* c */}', 400, "The request body is not valid JSON"),
    Case("byte order mark", b"\xef\xbb\xbf{}", 400, "The request body is not valid JSON"),
    Case("utf-16", json.dumps(request()).encode("utf-16"), 400, "The request body is not valid"),
    Case("bad utf-8", b'{"a": "\xff"}', 400, "The request body is not valid JSON"),
    Case("lone surrogate", b'{"a": "\\ud800"}', 400, "The request body is not valid JSON"),
    Case("deep nesting", b"[" * 100_000, 400, "The request body is not valid JSON"),
    Case("NaN", b'{"a": NaN}', 400, "The request body is not valid JSON"),
    Case("Infinity", b'{"a": Infinity}', 400, "The request body is not valid JSON"),
    Case("number out of range", b'{"a": 1e999}', 400, "The request body is not valid JSON"),
    Case("5,000 digits", b'{"a": %s}' % (b"9" * 5000), 400, "The request body is not valid JSON"),
    *[
        Case(f"no {name}", without(name), 400, f"Required field `{name}` is missing in the request")
        for name in ("workspace_name", "dry_run", "records")
    ],
    Case("empty object", {}, 400, "Required field `workspace_name` is missing in the request"),
    Case("unknown field", request(extra=1), 400, 'Unknown field "extra" in the request'),
    Case(
        "given twice", request(workspaceName="live"), 400, "Field `workspace_name` is given twice"
    ),
    *[
        Case(f"workspace {value!r}", request(workspace_name=value), 400, "Field `workspace_name`")
        for value in (None, 1, "", ["live"])
    ],
    *[
        Case(f"dry_run {value!r}", request(dry_run=value), 400, "Field `dry_run` must be true or")
        for value in (None, 0, "false")
    ],
    *[
        Case(f"records {value!r}", request(records=value), 400, "Field `records`")
        for value in (None, [], "x", {}, {"": [{"record": {}}]})
    ],
    *[
        Case(f"list {value!r}", request(records={"s": value}), 400, "Field `records.s`")
        for value in (None, {}, "x", [])
    ],
    *[
        Case(f"element {value!r}", request(records={"s": [value]}), 400, message)
        for value, message in (
            (None, "Field `records.s[0]` must be an object"),
            ([], "Field `records.s[0]` must be an object"),
            ({}, "Required field `record` is missing in `records.s[0]`"),
            ({"record": {}, "x": 1}, 'Unknown field "x" in `records.s[0]`'),
        )
    ],
    Case("too many", request(*[ad()] * 10_001), 400, "a request may hold 10000 records"),
    Case(
        "too large",
        b'{"a": "%s"}' % (b"x" * 10_500_000),
        413,
        "the body may hold",
        "RequestTooLargeError",
    ),
    *[
        Case(f"workspace {name!r}", request(workspace_name=name), 404, "workspace", "NotFoundError")
        for name in ("nobody", "../live", "live/", "LIVE", "live\x00", "x" * 300)
    ],
    *[
        Case(
            f"source {name!r}", request(source=name), 404, f"Stream Source {name}", "NotFoundError"
        )
        for name in ("nothing", "../x", "a/b")
    ],
    Case("long source", request(source="x" * 300), 404, "Stream Source xxx", "NotFoundError"),
    Case("no view", request(source="lonely"), 404, "no Feature View with", "NotFoundError"),
    Case("no online", request(source="offline_only"), 404, "no Feature View", "NotFoundError"),
    Case("development workspace", request(workspace_name="dev"), 400, "workspace dev is not live"),
]


@pytest.mark.parametrize("case", ENVELOPES, ids=lambda case: case.name)
def test_bad_request(world: World, case: Case) -> None:
    """The request as a whole is refused with one request error."""
    answer = world.send(case.body)
    assert answer.status_code == case.status
    assert answer.json is not None
    error = answer.json["requestError"]
    assert error["errorType"] == case.type
    assert error["errorMessage"].startswith(case.message)
    assert len(error["errorMessage"]) < 300
    assert len(answer.headers["X-Request-ID"]) == 32


NO_KEY = {
    "requestError": {
        "errorMessage": "invalid 'Tecton-key' authorization header",
        "errorType": "AuthenticationError",
    }
}


def _wrong_headers(world: World) -> list[list[tuple[str, str]]]:
    mine = world.key
    other = new_key().api_key
    wrong_secret = mine[:-9] + other[-9:]
    values = [
        f"Bearer {mine}",
        "Tecton-key ",
        "Tecton-key",
        "Tecton-key x",
        f"tecton-key {mine}",
        f"Tecton-key {other}",
        f"Tecton-key {wrong_secret}",
        f"Tecton-key {mine} x",
        f"Tecton-key  {mine}",
        f"Tecton-key {mine[:-1]}",
        f"Tecton-key {mine.upper()}",
        f"Tecton-key {'x' * 10_000}",
        mine,
    ]
    headers = [[("Authorization", value)] for value in values]
    twice = [("Authorization", f"Tecton-key {mine}")] * 2
    return [[], *headers, twice]


@pytest.mark.parametrize("number", range(15))
def test_wrong_key(world: World, number: int) -> None:
    """One text for all of them, before the body is looked at."""
    headers = _wrong_headers(world)
    assert len(headers) == 15
    answer = world.client.post("/ingest", data=b"not JSON", headers=headers[number])
    assert (answer.status_code, answer.json) == (401, NO_KEY)


@pytest.fixture(scope="module")
def keys(world: World) -> dict[str, str]:
    """A key for every role that may not write, and one for an editor of another workspace."""
    roles = {"none": None, "viewer": "viewer", "consumer": "consumer", "operator": "operator"}
    made = {name: world.account(role, world.state.id) for name, role in roles.items()}
    return {**made, "editor elsewhere": world.account("editor", world.dev.id)}


@pytest.mark.parametrize("who", ["none", "viewer", "consumer", "operator", "editor elsewhere"])
def test_role_that_may_not_write(world: World, keys: dict[str, str], who: str) -> None:
    """403, and the message names the role that is needed."""
    answer = world.send(request(), keys[who])
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["requestError"]["errorType"] == "AuthorizationError"
    assert "needs role editor in workspace live" in answer.json["requestError"]["errorMessage"]


@pytest.mark.parametrize(("who", "status"), [("viewer", 200), ("none", 403)])
def test_viewer_may_run_dry(world: World, keys: dict[str, str], who: str, status: int) -> None:
    """A dry run needs role viewer."""
    assert world.send(request(dry_run=True), keys[who]).status_code == status


class Bad(NamedTuple):
    """A field's bad value and what the record error says."""

    field: str
    value: Any
    message: str


VALUES = [
    *[Bad("bool", value, "expected Bool") for value in (0, 1, "true", 1.0, [])],
    *[
        Bad("int", value, "expected Int64")
        for value in ("1", 1.0, 1.5, True, 2**63, -(2**63) - 1, 10**40, [], {})
    ],
    *[Bad("float", value, "expected Float64") for value in ("1", True, [], {}, 10**400)],
    *[Bad("text", value, "expected String") for value in (1, True, [], {}, "x" * 70_000)],
    *[
        Bad(field, value, "expected Timestamp")
        for field in ("timestamp", "at")
        for value in (
            "yesterday",
            "",
            "2026-01-02T00:25:06",
            "2026-01-02",
            1767313506,
            "1767313506",
            "2026-01-02 00:25:06Z",
            " 2026-01-02T00:25:06Z",
            "2026-01-02T00:25:06Z ",
            "2026-01-02T00:25:60Z",
            "2026-01-02T24:00:00Z",
            "2026-02-30T00:25:06Z",
            "2026-01-02T00:25:06+24:00",
            "2026-01-02T00:25:06+0100",
            "2026-01-02T00:25:06,5Z",
            "2026-W01-2T00:25:06Z",
            "0000-01-02T00:25:06Z",
            "0001-01-01T00:00:00+14:00",
            "٢٠٢٦-01-02T00:25:06Z",
            "2026-01-02T00:25Z",
        )
    ],
    *[Bad("list", value, "expected Array(Int64)") for value in (1, "x", {}, True)],
    Bad("list", [1, "2"], 'field `list[1]`: expected Int64 (an integer in ±2^63), saw "2"'),
    Bad("list", [[1]], "field `list[0]`"),
    *[Bad("struct", value, "expected Struct(a: Int64, b: String)") for value in (1, [], "x")],
    Bad("struct", {"a": 1}, "expected field `b`"),
    Bad("struct", {"a": 1, "b": "x", "c": 1}, "expected only fields of Struct"),
    Bad("struct", {"a": "1", "b": "x"}, "field `struct.a`"),
    *[Bad("map", value, "expected Map(String, Float64)") for value in (1, [], "x")],
    Bad("map", {"k": "1"}, 'field `map["k"]`'),
    Bad("user_id", None, "field `user_id` must not be null"),
    Bad("timestamp", None, "field `timestamp` must not be null"),
    Bad("user_id", 5, "expected String"),
    Bad("user_id", "a\x00b", "join key `user_id` must not contain NUL"),
    Bad("user_id", "é" * 257, "join key `user_id` must be at most 512 bytes"),
    Bad("timestamp", stamp(minutes=-11), "is more than 10 minutes ahead of the clock"),
    Bad("timestamp", "9999-12-31T23:59:59Z", "is more than 10 minutes ahead of the clock"),
    Bad("timestamp", "1969-12-31T23:59:59.999999Z", "is before 1970"),
    Bad("timestamp", "0001-01-01T00:00:00Z", "is before 1970"),
    Bad("timestamp", stamp(days=7, microseconds=1), "outside of the serving TTL defined for"),
    Bad("timestamp", "1970-01-01T00:00:00Z", "outside of the serving TTL defined for"),
]


@pytest.mark.parametrize("bad", VALUES, ids=lambda bad: f"{bad.field}={str(bad.value)[:40]!r}")
def test_bad_value(world: World, bad: Bad) -> None:
    """A record error names the record and says what was expected."""
    record = {**GOOD, bad.field: bad.value}
    answer = world.send(request(GOOD, record, source="all_types"))
    assert answer.status_code == 400
    assert answer.json is not None
    (error,) = answer.json["recordErrors"]
    assert (error["pushSourceName"], error["recordIndex"]) == ("all_types", 1)
    assert error["errorType"] == "TectonObjectValidationError"
    assert bad.message in error["errorMessage"]
    assert len(error["errorMessage"]) < 300


@pytest.mark.parametrize("field", [field.name for field in TYPES])
def test_missing_field(world: World, field: str) -> None:
    """Every field must be there, if only as null."""
    answer = world.send(request(without(field, GOOD), source="all_types"))
    assert answer.status_code == 400
    assert answer.json is not None
    (error,) = answer.json["recordErrors"]
    assert error["errorMessage"] == f"Required field `{field}` is missing in the record"
    assert "featureViewName" not in error


@pytest.mark.parametrize("name", ["unknown", "__proto__", "USER_ID", ""])
def test_unknown_field(world: World, name: str) -> None:
    """No field beyond the schema."""
    answer = world.send(request({**GOOD, name: 1}, source="all_types"))
    assert answer.status_code == 400
    assert answer.json is not None
    (error,) = answer.json["recordErrors"]
    assert error["errorMessage"].startswith(f'unknown field "{name}"')


@pytest.mark.parametrize("record", [None, [], "x", 1])
def test_record_that_is_no_object(world: World, record: Any) -> None:
    """A record is an object."""
    answer = world.send(request(record, source="all_types"))
    assert answer.status_code == 400
    assert answer.json is not None
    assert "record must be an object" in answer.json["recordErrors"][0]["errorMessage"]


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


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "options"])
def test_other_methods(world: World, method: str) -> None:
    """405 in the documented shape."""
    send: Callable[..., Any] = getattr(world.client, method)
    answer = send("/ingest")
    assert (answer.status_code, list(answer.json)) == (405, ["requestError"])


def test_other_paths(world: World) -> None:
    """404 in the shape of the nearest endpoint."""
    for path in ("/", "/ingest/", "/ingest/x", "/v2", "/v2//ingest"):
        answer = world.client.post(path)
        assert (answer.status_code, list(answer.json)) == (404, ["requestError"])
    answer = world.client.post("/api/v1/feature-service/nothing")
    assert (answer.status_code, answer.json["code"]) == (404, 5)


def test_tolerance_is_inclusive(world: World) -> None:
    """Exactly at the ttl and exactly ten minutes ahead are accepted (dry run)."""
    records = [ad(days=7), ad(minutes=-10)]
    assert world.send(request(*records, dry_run=True)).status_code == 200
