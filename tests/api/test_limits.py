"""Each limit is a setting: exactly that much is taken, and one more is refused (contract §3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.testing import build_service, build_source, build_state, build_view
from tecton.types import Array, Field, Map, String, Struct, Timestamp
from tests.api.conftest import World, stamp

LIMITS = {
    "max_sources": 2,
    "max_records": 3,
    "max_nesting": 8,
    "max_key_bytes": 20,
    "max_string_bytes": 30,
    "max_body_bytes": 1_000_000,
}
FIELDS = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("text", String),
    Field("list", Array(Struct([Field("s", String)]))),
    Field("map", Map(String, String)),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[World]:
    """One service with small limits, and three sources."""
    online = RedisOnlineStore.connect(redis_url)
    online.client.flushall()
    world = World(tmp_path_factory.mktemp("limits") / "store", online, redis_url, **LIMITS)
    sources = [build_source(name, FIELDS) for name in ("one", "two", "three")]
    views = [build_view(source, f"{source.name}_fv") for source in sources]
    world.apply(build_state(sources, views, [build_service(views[0], name="s")], name="live"))
    yield world
    world.close()


def record(**values: Any) -> Any:
    empty = {"text": None, "list": None, "map": None}
    return {"record": {"user_id": "u", "timestamp": stamp(), **empty, **values}}


def send(world: World, *sources: str, times: int = 1, **values: Any) -> tuple[int, str]:
    """Status and message of the answer to so many records for each source."""
    records = {source: [record(**values)] * times for source in sources or ["one"]}
    return told(world.send({"workspace_name": "live", "dry_run": False, "records": records}))


def told(answer: Any) -> tuple[int, str]:
    body = answer.json
    if "requestError" in body:
        return answer.status_code, body["requestError"]["errorMessage"]
    errors = body.get("recordErrors") or [{"errorMessage": ""}]
    return answer.status_code, errors[0]["errorMessage"]


def test_sources_of_a_request(world: World) -> None:
    """Two sources, and not three."""
    assert send(world, "one", "two")[0] == 200
    expected = (400, "a request may hold 2 Stream Sources, this one holds 3")
    assert send(world, "one", "two", "three") == expected


def test_records_of_a_request(world: World) -> None:
    """Three records over all sources, and not four."""
    assert send(world, times=3)[0] == 200
    expected = (400, "a request may hold 3 records, this one holds 4")
    assert send(world, "one", "two", times=2) == expected


@pytest.mark.parametrize("unit", ["x", "é", "\N{PILE OF POO}"])
def test_bytes_of_a_join_key(world: World, unit: str) -> None:
    """Counted as UTF-8."""
    fits = unit * (20 // len(unit.encode()))
    assert send(world, user_id=fits)[0] == 200
    status, message = send(world, user_id=fits + "x")
    assert (status, message) == (
        400,
        f'join key `user_id` must be at most 20 bytes, saw "{fits}x"',
    )


@pytest.mark.parametrize(
    ("field", "where", "nest"),
    [
        ("text", "text", lambda text: text),
        ("list", "list[0].s", lambda text: [{"s": text}]),
        ("map", 'map["k"]', lambda text: {"k": text}),
        ("map", "map", lambda text: {text: None}),
    ],
)
def test_bytes_of_a_string(world: World, field: str, where: str, nest: Any) -> None:
    """Wherever it stands: in a column, a list, a struct, a map, or as a map's key."""
    assert send(world, **{field: nest("é" * 15)})[0] == 200
    status, message = send(world, **{field: nest("é" * 15 + "x")})
    assert status == 400
    assert message.startswith(f"field `{where}`: expected String of at most 30 bytes, saw ")


@pytest.mark.parametrize("path", ["/ingest", "/api/v1/feature-service/get-features"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_levels_of_a_body(world: World, path: str, opening: str, closing: str) -> None:
    """Seven levels inside the body's own, and not eight; text in strings is no level."""

    def message(levels: int) -> str:
        body = f'{{"x": {opening * levels}"[[[[[[[[[["{closing * levels}}}'
        answer = world.post(path, body.encode()).json
        assert answer is not None
        return str(answer.get("message") or answer["requestError"]["errorMessage"])

    too_deep = "The request body is not valid JSON: it nests deeper than 8 levels"
    assert message(7) != too_deep
    assert [message(levels) for levels in (8, 100, 5_000, 100_000)] == [too_deep] * 4


def test_bytes_of_a_body(world: World) -> None:
    """One byte more is 413."""
    fits = b'{"x": "%s"}' % (b"x" * (1_000_000 - 9))
    assert len(fits) == 1_000_000
    assert told(world.send(fits))[0] == 400
    assert told(world.send(fits + b" ")) == (413, "the body may hold 1000000 bytes")
