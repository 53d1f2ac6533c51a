"""The documentation's own requests, responses and error bodies, key for key."""

from __future__ import annotations

import pytest

from tecton.testing import build_source, build_state, build_view
from tests.api.conftest import World, golden, stamp


@pytest.fixture
def ads(world: World) -> World:
    """The documentation's workspace."""
    world.apply(build_state(name="ingestapi-live"))
    return world


def test_documented_ingest_request_gets_its_documented_response(ads: World) -> None:
    """Two records, one newest, one four days old; the clock is the day after."""
    answer = ads.send(golden("ingest_request"))
    assert (answer.status_code, answer.json) == (200, golden("ingest_response"))


def test_documented_get_features_request_reads_what_was_ingested(ads: World) -> None:
    """Read after write: the very next request sees the record."""
    ads.send(golden("ingest_request"))
    answer = ads.features(golden("get_features_request"))
    assert (answer.status_code, answer.json) == (200, {"result": {"features": ["1"]}})


def test_documented_request_error(ads: World) -> None:
    """A request without a workspace."""
    body = golden("ingest_request")
    del body["workspace_name"]
    answer = ads.send(body)
    assert (answer.status_code, answer.json) == (400, golden("request_error"))


def test_documented_record_error(world: World) -> None:
    """An event older than the ttl; `recordIndex` is an addition of ours."""
    source = build_source("click_event_source")
    view = build_view(source, "keyword_ingest_fv")
    world.apply(build_state([source], [view], name="ingestapi-live"))
    records = [
        {"record": {"user_id": "u", "clicked": 1, "timestamp": stamp(days=6)}},
        {"record": {"user_id": "u", "clicked": 1, "timestamp": stamp(days=8)}},
    ]
    answer = world.send(
        {
            "workspace_name": "ingestapi-live",
            "dry_run": False,
            "records": {"click_event_source": records},
        }
    )
    expected = golden("record_errors")
    expected["recordErrors"][0]["recordIndex"] = 1
    assert (answer.status_code, answer.json) == (400, expected)


def test_camel_case_and_the_alias_are_the_same(ads: World) -> None:
    """`workspaceName`, `dryRun` and `/v2/ingest`."""
    body = golden("ingest_request")
    camel = {
        "workspaceName": body["workspace_name"],
        "dryRun": body["dry_run"],
        "records": body["records"],
    }
    answer = ads.post("/v2/ingest", camel)
    assert (answer.status_code, answer.json) == (200, golden("ingest_response"))


def test_form_content_type_of_curl_is_no_matter(ads: World) -> None:
    """`curl -d` calls the body a form."""
    answer = ads.client.post(
        "/ingest",
        data=(b'{"workspace_name": "ingestapi-live", "dry_run": true, "records": {}}'),
        headers={"Authorization": f"Tecton-key {ads.key}"},
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.json == {
        "requestError": {
            "errorMessage": "Field `records` names no Stream Source",
            "errorType": "RequestValidationError",
        }
    }
