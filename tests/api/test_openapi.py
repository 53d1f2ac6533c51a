"""The served OpenAPI document is true: of the routes, of real answers, of random requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ingest_api.openapi import describe
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.settings import Settings
from tecton.testing import build_state
from tests.api.conftest import World, golden

DOCUMENT = describe(Settings(store=""))
CHECKED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[World]:
    """One service for all random requests."""
    online = RedisOnlineStore.connect(redis_url)
    online.client.flushall()
    world = World(tmp_path_factory.mktemp("openapi") / "store", online, redis_url)
    world.apply(build_state(name="ingestapi-live"))
    yield world
    world.close()


@pytest.mark.parametrize(
    ("method", "path"), [(m, path) for path, item in DOCUMENT["paths"].items() for m in item]
)
def test_random_requests_get_declared_answers(world: World, method: str, path: str) -> None:
    """No 5xx, no status, header or body that the document does not declare."""
    api = schemathesis.openapi.from_wsgi("/openapi.json", world.client.application)

    @CHECKED
    @given(api[path][method].as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Tecton-key {world.key}"})

    check()


def test_every_route_is_described(world: World) -> None:
    """Paths and methods of the document are those of the application."""
    routes = {
        (rule.rule, method.lower())
        for rule in world.client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == routes


def declared(path: str, status: int) -> Draft202012Validator:
    answer = DOCUMENT["paths"][path]["post"]["responses"][str(status)]
    content = answer["content"]["application/json"]["schema"]
    return Draft202012Validator({**content, "components": DOCUMENT["components"]})


def test_limits_of_the_document_are_the_settings(world: World) -> None:
    """What is served follows what the service was told."""
    limits = Settings(
        store="", max_sources=3, max_records=7, max_key_bytes=21, max_string_bytes=22, max_nesting=9
    )
    described = describe(limits)
    records = described["components"]["schemas"]["IngestRequest"]["properties"]["records"]
    assert (records["maxProperties"], records["additionalProperties"]["maxItems"]) == (3, 7)
    text = str(described)
    for number in (limits.max_body_bytes, 9, 21, 22):
        assert f" {number} " in text or f" {number}." in text
    served = world.client.get("/openapi.json").json
    assert served == describe(world.settings)


@pytest.mark.parametrize(
    ("status", "name"), [(200, "ingest_response"), (400, "request_error"), (400, "record_errors")]
)
def test_documented_bodies_are_declared(status: int, name: str) -> None:
    """The documentation's own answers fit the document."""
    body = golden(name)
    if name == "record_errors":
        body["recordErrors"][0]["recordIndex"] = 0
    declared("/ingest", status).validate(body)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
_envelope = st.fixed_dictionaries(
    {},
    optional={
        "workspace_name": st.just("ingestapi-live") | _json,
        "dry_run": st.booleans() | _json,
        "records": _json
        | st.dictionaries(
            st.just("impressions_event_source") | st.text(max_size=3),
            st.lists(
                _json
                | st.fixed_dictionaries(
                    {"record": _json | st.dictionaries(st.sampled_from(["user_id", "x"]), _json)}
                ),
                max_size=3,
            )
            | _json,
        ),
    },
)


@CHECKED
@given(_json | _envelope)
def test_any_json_gets_a_documented_answer(world: World, sent: Any) -> None:
    """Whatever JSON is sent, the status is declared and the body fits it."""
    answer = world.send(sent)
    assert answer.status_code < 500
    declared("/ingest", answer.status_code).validate(answer.json)
