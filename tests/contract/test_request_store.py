"""`stores.RequestStore`: what it keeps on every kind of Redis."""

from __future__ import annotations

import pytest

from tecton.adapters.redis_requests import RedisRequestStore
from tecton.stores import Bucket, Claim, RequestStore
from tests.redis_places import Place


@pytest.fixture
def store(place: Place) -> RequestStore:
    """An empty store."""
    return RedisRequestStore.connect(place.url)


def taking(taken: int, name: str = "records", rate: int = 1) -> Bucket:
    """From a bucket of ten tokens."""
    return Bucket(name, rate, 10, taken)


def test_first_claim_begins(store: RequestStore) -> None:
    """The second attempt waits for the first, which may ask again."""
    assert store.claim("a", "digest", "first") == Claim("begun")
    assert store.claim("a", "digest", "second") == Claim("running")
    assert store.claim("a", "digest", "first") == Claim("begun")
    assert store.claim("b", "digest", "second") == Claim("begun")


def test_answer_is_repeated(store: RequestStore) -> None:
    """To the same body; another one is refused."""
    store.claim("a", "digest", "first")
    store.settle("a", "first", b"\x00answer")
    assert store.claim("a", "digest", "second") == Claim("answered", b"\x00answer")
    assert store.claim("a", "other", "third") == Claim("other body")


def test_failed_attempt_is_forgotten(store: RequestStore) -> None:
    """Without an answer the next attempt begins."""
    store.claim("a", "digest", "first")
    store.settle("a", "first", None)
    assert store.claim("a", "other", "second") == Claim("begun")


def test_late_end_changes_nothing(store: RequestStore) -> None:
    """An attempt that another has replaced cannot end that one."""
    store.claim("a", "digest", "second")
    store.settle("a", "first", b"late")
    store.settle("a", "first", None)
    assert store.claim("a", "digest", "third") == Claim("running")


def test_tokens_are_taken_from_all_buckets_or_none(store: RequestStore) -> None:
    """What is refused is not half paid for."""
    assert store.spend("me", [taking(8, "records"), taking(1, "requests")]) == 0
    assert 5 < store.spend("me", [taking(8, "records"), taking(1, "requests")]) <= 6
    assert store.spend("me", [taking(9, "requests")]) == 0
    assert store.spend("you", [taking(10, "records")]) == 0


def test_more_than_a_bucket_holds_leaves_a_debt(store: RequestStore) -> None:
    """A large request waits for a full bucket only."""
    assert store.spend("me", [taking(15)]) == 0
    assert 14 < store.spend("me", [taking(10)]) <= 15


@pytest.mark.parametrize("name", ["{a}", "{}", "a}b{c", "{0}", "\u00e9 \n", "", "x" * 1000])
def test_names_do_not_meet(store: RequestStore, name: str) -> None:
    """Whatever a caller calls his key."""
    assert store.claim(name, "digest", "first") == Claim("begun")
    assert store.claim(f"{name}.", "digest", "second") == Claim("begun")
    store.settle(name, "first", b"answer")
    assert store.claim(name, "digest", "third") == Claim("answered", b"answer")


def test_nothing_stays_for_ever(store: RequestStore, place: Place) -> None:
    """Every key that a request leaves behind has an end."""
    store.claim("a", "digest", "first")
    store.claim("b", "digest", "first")
    store.settle("b", "first", b"answer")
    store.spend("me", [taking(1)])
    for server in place.redis.servers:
        with server.admin as client:
            assert all(client.pttl(key) > 0 for key in client.scan_iter())
