"""A command whose answer is lost is sent again, and does nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tecton.adapters.redis_commands import Script
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.adapters.redis_requests import RedisRequestStore
from tecton.errors import StoreUnavailable
from tecton.rows import FeatureRow
from tecton.stores import Bucket, Claim, Doubt, Stored
from tests.redis_places import Place
from tests.redis_proxy import RedisProxy
from tests.redis_servers import RedisClusterServers, RedisServer

AT = 1_700_000_000_000_000
ROWS = [FeatureRow("v", f"[{number}]", AT, 1, b"[1]", None) for number in range(99)]


class Unsteady:
    """A Redis behind proxies that lose answers."""

    def __init__(self, place: Place, proxies: list[RedisProxy], url: str) -> None:
        self.place = place
        self.proxies = proxies
        self.url = url
        self.online = RedisOnlineStore.connect(url)
        self.requests = RedisRequestStore.connect(url)
        self.online.mark_loaded(["v"])

    def losing(self, script: str, do: Callable[[], Any]) -> Any:
        """What a call answers of which the first answer of each server is lost."""
        digest = Script.load(script).digest
        before = self.lost
        for proxy in self.proxies:
            proxy.lose_answer_to(digest)
        answer = do()
        for proxy in self.proxies:
            proxy.lose_answer_to("nothing")
        assert self.lost > before
        return answer

    @property
    def lost(self) -> int:
        return sum(proxy.lost for proxy in self.proxies)


@pytest.fixture(scope="module")
def servers() -> Iterator[
    dict[str, tuple[RedisServer | RedisClusterServers, list[RedisProxy], str]]
]:
    """One server and a cluster, each behind proxies."""
    single, cluster = RedisServer(), RedisClusterServers(RedisProxy)
    proxy = RedisProxy(single.port)
    yield {
        "single": (single, [proxy], f"redis://127.0.0.1:{proxy.port}"),
        "cluster": (cluster, cluster.proxies, cluster.url),
    }
    proxy.close()
    single.remove()
    cluster.remove()


@pytest.fixture(params=["single", "cluster"])
def unsteady(request: pytest.FixtureRequest, servers: Any) -> Unsteady:
    """Empty, the view `v` loaded; every script is known to every server."""
    redis, proxies, url = servers[request.param]
    place = Place(redis)
    place.flush()
    stores = Unsteady(place, proxies, url)
    stores.online.mark_loaded(["w"], stores.online.begin_load("w"))
    stores.online.upsert(ROWS)
    stores.online.reserve("x", 1, 1, 0)
    stores.online.apply("x", 0, 0, [], 1)
    stores.requests.claim("x", "digest", "x")
    stores.requests.settle("x", "x", None)
    stores.requests.spend("x", [Bucket("records", 1, 1, 1)])
    return stores


def test_rows_are_offered_again(unsteady: Unsteady) -> None:
    """They are there once, in each bucket."""
    rows = [row._replace(sequence=2, body=b"[2]") for row in ROWS]
    unsteady.losing("upsert", lambda: unsteady.online.upsert(rows))
    assert unsteady.online.read([("v", row.key) for row in ROWS]) == [
        Stored(AT, 2, b"[2]") for _ in rows
    ]
    assert len(unsteady.place.keys("tecton:f:*")) == len(ROWS)


def test_batch_is_applied_again(unsteady: Unsteady) -> None:
    """It finds no gap where it was itself applied already."""
    assert unsteady.losing("upsert", lambda: unsteady.online.apply("log", 0, 1, ROWS))
    assert unsteady.losing("upsert", lambda: unsteady.online.apply("log", 1, 2, ROWS))
    assert unsteady.online.applied_batch("log") == 2
    assert len(unsteady.place.keys("tecton:f:*")) == len(ROWS)


def test_sequences_are_never_given_twice(unsteady: Unsteady) -> None:
    """Those of the lost answer are missed by nobody."""
    doubt = unsteady.losing("reserve", lambda: unsteady.online.reserve("w", 10, 100, 0))

    def take() -> int | Doubt:
        return unsteady.online.reserve("w", 10, 100, 0, doubt.life)

    first = take()
    second = unsteady.losing("reserve", take)
    unsteady.losing("raise", lambda: unsteady.online.apply("w", 0, 1, [], 1000))
    assert second >= first + 10
    assert take() == 1001


def test_load_is_marked_again(unsteady: Unsteady) -> None:
    """It does not seem to be lost because it has ended."""
    load = unsteady.losing("begin", lambda: unsteady.online.begin_load("x"))
    unsteady.losing("loaded", lambda: unsteady.online.mark_loaded(["x"], load))
    assert unsteady.online.unloaded(["x"]) == []
    assert unsteady.place.keys("tecton:b:*:x") == []


def test_claim_is_still_its_own(unsteady: Unsteady) -> None:
    """The attempt that began does not wait for itself."""
    claim = unsteady.requests.claim
    assert unsteady.losing("claim", lambda: claim("a", "digest", "first")) == Claim("begun")
    assert claim("a", "digest", "second") == Claim("running")


def test_answer_is_kept_once(unsteady: Unsteady) -> None:
    """Kept, or forgotten, as it was told the first time."""
    for name, body in (("a", b"answer"), ("b", None)):
        unsteady.requests.claim(name, "digest", "first")
        unsteady.losing("settle", lambda: unsteady.requests.settle(name, "first", body))  # noqa: B023  # called at once
    assert unsteady.requests.claim("a", "digest", "second") == Claim("answered", b"answer")
    assert unsteady.requests.claim("b", "digest", "second") == Claim("begun")


def test_tokens_are_taken_once(unsteady: Unsteady) -> None:
    """Two payments of five empty a bucket of ten, whatever became of the answers."""
    buckets = [Bucket("records", 1, 10, 5), Bucket("requests", 1, 10, 5)]
    for _ in range(2):
        assert unsteady.losing("spend", lambda: unsteady.requests.spend("me", buckets)) == 0
    assert 4 < unsteady.requests.spend("me", buckets) <= 5


def test_command_that_timed_out_is_not_sent_again(unsteady: Unsteady) -> None:
    """Whoever waits has waited long enough; what was executed late does no harm."""
    store = RedisOnlineStore.connect(f"{unsteady.url}?socket_timeout=0.3")
    assert store.apply("log", 0, 1, [])
    for server in unsteady.place.redis.servers:
        server.freeze()
    with pytest.raises(StoreUnavailable):
        store.apply("log", 1, 2, ROWS)
    for server in unsteady.place.redis.servers:
        server.thaw()
    assert store.applied_batch("log") in (1, 2)
    assert store.apply("log", 1, 2, ROWS)
    assert store.apply("log", 2, 3, ROWS)
