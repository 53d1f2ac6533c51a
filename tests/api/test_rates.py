"""Rates of one API key: 429 with Retry-After, off unless set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.stores import Bucket
from tecton.testing import build_state
from tests.api.conftest import World, stamp


class LimitedWorld(World):
    """Two requests and 300 records a second."""

    def restart(self) -> None:
        self.settings = dataclasses.replace(
            self.settings, requests_per_second=2, records_per_second=300
        )
        super().restart()


@pytest.fixture
def limited(tmp_path: Path, redis_online: RedisOnlineStore, redis_url: str) -> Iterator[World]:
    world = LimitedWorld(tmp_path / "store", redis_online, redis_url)
    world.apply(build_state(name="live"))
    yield world
    world.close()


def request(count: int = 1) -> Any:
    record = {"user_id": "u", "timestamp": stamp(), "clicked": 1}
    records = {"impressions_event_source": [{"record": record}] * count}
    return {"workspace_name": "live", "dry_run": False, "records": records}


def test_request_over_the_rate_is_refused(limited: World) -> None:
    """The third request within a second waits; nothing of it is written."""
    answers = [limited.send(request()) for _ in range(20)]
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert refused.status_code == 429
    assert refused.json["requestError"]["errorType"] == "RateLimitError"
    assert int(refused.headers["Retry-After"]) >= 1


def test_records_count_too(limited: World) -> None:
    """300 records empty the second's bucket."""
    assert limited.send(request(300)).status_code == 200
    assert limited.send(request(200)).status_code == 429


def test_keys_have_rates_of_their_own(limited: World) -> None:
    """One caller's flood is not another's."""
    limited.send(request(300))
    other = limited.account("editor")
    assert limited.send(request(300), other).status_code == 200


def test_reads_count_as_requests(limited: World) -> None:
    """get-features answers 429 in its own shape."""
    params = {
        "workspace_name": "live",
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": "u"},
    }
    answers = [limited.features({"params": params}) for _ in range(20)]
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert (refused.status_code, refused.json["code"]) == (429, 8)


def test_bad_requests_count_as_requests(limited: World) -> None:
    """Whoever floods the service with what it refuses is told to wait, too."""
    answers = [limited.send(b"no JSON") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {400, 429}


def test_repeated_answers_count_as_requests(limited: World) -> None:
    """An `Idempotency-Key` is no way around the rate; records count when they are taken only."""
    headers = {"Idempotency-Key": "a"}
    body = request(300)
    answers = [limited.send(body, **headers) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all("2 requests a second" in answer.text for answer in refused)


def test_bucket_fills_again(limited: World) -> None:
    """What is refused takes nothing, and the wait that is named is enough."""
    store = limited.backend.requests
    bucket = Bucket("things", 1000, 1000, 1000)
    assert store.spend("a", [bucket]) == 0
    wait = store.spend("a", [bucket])
    assert 0 < wait <= 1
    more = bucket._replace(taken=5000)
    assert store.spend("b", [more]) == 0
    assert store.spend("b", [more]) > 4
