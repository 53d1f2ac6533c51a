"""`Idempotency-Key`: the same request again gets the same answer and writes nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tecton.testing import build_state
from tests.api.conftest import World, stamp

HEADER = "Idempotency-Key"


@pytest.fixture
def ads(world: World) -> World:
    """The documentation's workspace."""
    world.apply(build_state(name="ingestapi-live"))
    return world


def body(clicked: Any = 1, dry_run: bool = False) -> Any:
    record = {"user_id": "u", "timestamp": stamp(), "clicked": clicked}
    records = {"impressions_event_source": [{"record": record}]}
    return {"workspace_name": "ingestapi-live", "dry_run": dry_run, "records": records}


def send(world: World, key: str, sent: Any, api_key: str | None = None) -> TestResponse:
    return world.send(sent, api_key, **{HEADER: key})


def test_repeated_request_is_answered_again_and_not_written(ads: World) -> None:
    """The first 200, byte for byte."""
    first = send(ads, "k1", body())
    before = ads.contents()
    again = send(ads, "k1", body())
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.data == first.data
    assert before == ads.contents()


def test_other_body_is_refused(ads: World) -> None:
    """A key stands for one body's bytes."""
    send(ads, "k1", body())
    answer = send(ads, "k1", body(clicked=2))
    assert answer.status_code == 400
    assert answer.json is not None
    assert "another request body" in answer.json["requestError"]["errorMessage"]


def test_refused_request_leaves_the_key_free(ads: World) -> None:
    """Only a 200 is remembered."""
    assert send(ads, "k1", body(clicked="1")).status_code == 400
    assert send(ads, "k1", body()).status_code == 200


def test_accounts_do_not_share_keys(ads: World) -> None:
    """The same key of another account is another key."""
    send(ads, "k1", body())
    assert send(ads, "k1", body(clicked=2), ads.account("editor")).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_malformed_key_is_refused(ads: World, key: str) -> None:
    """1 to 255 printable ASCII characters."""
    assert send(ads, key, body()).status_code == 400


def test_lost_memory_is_harmless(ads: World) -> None:
    """Identity makes the retry count once all the same."""
    send(ads, "k1", body())
    ads.online.client.delete(*ads.online.client.keys("tecton:i:*"))
    assert send(ads, "k1", body()).status_code == 200
    assert len(ads.online.client.keys("tecton:f:*")) == 1


def test_attempt_of_a_dead_process_ends(ads: World) -> None:
    """While the first runs: 409; its lock goes by itself within 60 s."""
    store = ads.backend.requests
    send(ads, "k1", body())
    (name,) = ads.online.client.keys("tecton:i:*")
    ads.online.client.hdel(name, "answer")
    answer = send(ads, "k1", body())
    assert answer.status_code == 409
    assert answer.headers["Retry-After"] == "1"
    claim = store.claim("other", "digest", "token")
    assert claim.state == "begun"
    assert 0 < ads.online.client.pttl("tecton:i:other") <= 60_000
    assert store.claim("other", "digest", "token").state == "begun"
    store.settle("other", "somebody else's token", b"x")
    assert store.claim("other", "digest", "token 2").state == "running"


def test_concurrent_duplicates_are_written_once(ads: World) -> None:
    """Fifty threads with one key: one write, and 200s that are equal or 409s."""
    answers: list[tuple[int, bytes]] = []
    ready = threading.Barrier(50)

    def push() -> None:
        client = ads.client.application.test_client()
        headers = {"Authorization": f"Tecton-key {ads.key}", HEADER: "k1"}
        ready.wait()
        answer = client.post("/ingest", json=body(), headers=headers)
        answers.append((answer.status_code, answer.data))

    threads = [threading.Thread(target=push) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} <= {200, 409}
    assert len({data for status, data in answers if status == 200}) == 1
    state = ads.catalog.workspace("ingestapi-live")
    assert state is not None
    log = ads.backend.open_push_log(state, 0)
    assert sum(len(batch) for batch in log.read_after(0)) == 1
