"""A Redis cluster: buckets, lost nodes, slots on their way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tecton.adapters.redis_keys import (
    CLUSTER_BUCKETS,
    ONE_BUCKET,
    SLOTS,
    Buckets,
    loaded_key,
    row_key,
    sequence_key,
    slot_of,
    slot_of_key,
    watermark_key,
)
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.errors import SettingsError, StoreUnavailable, ViewNotLoaded
from tecton.rows import FeatureRow
from tecton.stores import Stored
from tecton.testing import NOW
from tecton.timestamps import micros_of
from tests.redis_places import Place
from tests.redis_servers import RedisClusterServers, RedisServer
from tests.running import wait_for

AT = micros_of(NOW)
KEYS = [f'["user{number}"]' for number in range(300)]


def row(key: str, sequence: int = 1, view: str = "v") -> FeatureRow:
    return FeatureRow(view, key, AT, sequence, b"[%d]" % sequence, None)


def stored(sequence: int = 1) -> Stored:
    return Stored(AT, sequence, b"[%d]" % sequence)


def bucket_of(key: str) -> str:
    return Buckets(CLUSTER_BUCKETS).of(key)


@pytest.fixture
def place(redis_cluster: RedisClusterServers) -> Place:
    """The empty cluster."""
    place = Place(redis_cluster)
    place.flush()
    return place


@pytest.fixture
def store(place: Place) -> RedisOnlineStore:
    """A store with two batches of a row for each key, and the view `v` loaded."""
    store = RedisOnlineStore.connect(place.url)
    store.mark_loaded(["v"])
    assert store.apply("log", 0, 1, [row(key) for key in KEYS[:150]])
    assert store.apply("log", 1, 2, [row(key) for key in KEYS[150:]])
    return store


def test_buckets_lie_evenly_among_the_slots() -> None:
    """Whatever the number of nodes, each has its share of buckets."""
    assert [slot_of(tag) * 64 // SLOTS for tag in CLUSTER_BUCKETS] == list(range(64))


def test_tags_are_what_they_were() -> None:
    """Other tags, or another bucket for a key, would lose everything that is stored."""
    assert CLUSTER_BUCKETS[:4] == ("10", "18", "113", "342")
    assert CLUSTER_BUCKETS[-4:] == ("53", "143", "48", "40")
    assert bucket_of('["C18947Z5"]') == "62"


def test_tags_of_a_server_and_of_a_cluster_do_not_meet() -> None:
    """Neither takes the other's data, if one's file is given to the other, for all there is."""
    assert not set(ONE_BUCKET) & set(CLUSTER_BUCKETS)


@pytest.mark.parametrize("key", ["tecton:s:w", "a{b}c", "a{}c", "a{b", "}{b}", "{{x}y}", "é{ü}"])
def test_slot_of_a_key_is_what_redis_says(redis_cluster: RedisClusterServers, key: str) -> None:
    """Where a command is sent."""
    with redis_cluster.servers[0].admin as client:
        assert client.execute_command("CLUSTER KEYSLOT", key) == slot_of_key(key)


def test_all_views_of_a_key_share_a_bucket() -> None:
    """Whatever characters view and key hold."""
    for key in ('["a{b}"]', '["}{"]', "[1]", '["é"]'):
        tag = bucket_of(key)
        assert {slot_of_key(row_key(tag, view, key)) for view in ("v", "w")} == {slot_of(tag)}


def test_rows_are_spread_over_all_nodes(store: RedisOnlineStore, place: Place) -> None:
    """No node has all, and together they have all."""
    counts = []
    for server in place.redis.servers:
        with server.admin as client:
            counts.append(len(client.keys("tecton:f:*")))
    assert sum(counts) == len(KEYS)
    assert min(counts) > 50


def test_batch_moves_the_watermark_of_every_bucket(store: RedisOnlineStore, place: Place) -> None:
    """Of a bucket without a row in the batch too, so the next batch finds no gap there."""
    assert store.apply("log", 2, 3, [row(KEYS[0], 2)])
    assert store.apply("log", 3, 4, [])
    assert store.applied_batch("log") == 4
    assert len(place.keys("tecton:w:*")) == 64


def test_emptied_node_is_noticed(store: RedisOnlineStore, place: Place) -> None:
    """By the next write and by whoever asks how far the log is applied; never a missing row."""
    with place.redis.servers[1].admin as client:
        client.flushall()
    assert not store.apply("log", 2, 3, [])
    assert store.applied_batch("log") == 0
    assert store.unloaded(["v"]) == ["v"]
    refused = sum(not _is_served(store, key) for key in KEYS)
    assert 50 < refused < 150


def _is_served(store: RedisOnlineStore, key: str) -> bool:
    """Is the row there? It is refused or right."""
    try:
        assert store.read([("v", key)]) == [stored()]
    except ViewNotLoaded:
        return False
    return True


def test_emptied_node_is_filled_again(store: RedisOnlineStore, place: Place) -> None:
    """By a replay of the log and a load of the view."""
    with place.redis.servers[2].admin as client:
        client.flushall()
    load = store.begin_load("v")
    store.upsert([row(key) for key in KEYS])
    store.mark_loaded(["v"], load)
    for batch in range(3):
        assert store.apply("log", batch, batch + 1, [row(key, 2) for key in KEYS[:100]])
    assert store.applied_batch("log") == 3
    found = store.read([("v", key) for key in KEYS])
    assert found == [stored(2)] * 100 + [stored()] * 200


def test_node_that_is_emptied_during_a_load_is_noticed(
    store: RedisOnlineStore, place: Place
) -> None:
    """The other nodes' buckets are loaded, that node's are not."""
    load = store.begin_load("w")
    with place.redis.servers[0].admin as client:
        client.flushall()
    with pytest.raises(StoreUnavailable, match="lost data"):
        store.mark_loaded(["w"], load)
    assert store.unloaded(["w"]) == ["w"]
    marked = len(place.keys("tecton:l:*:w"))
    assert 0 < marked < 64
    store.mark_loaded(["w"], store.begin_load("w"))
    assert store.unloaded(["w"]) == []


def test_lost_tail_is_noticed(store: RedisOnlineStore, redis_cluster: RedisClusterServers) -> None:
    """A replica that takes over may lack the last writes of one node."""
    tag = CLUSTER_BUCKETS[40]
    with redis_cluster.home(slot_of(tag)).admin as client:
        client.set(watermark_key(tag, "log"), 1)
    assert store.applied_batch("log") == 1
    assert not store.apply("log", 2, 3, [])
    assert store.apply("log", 1, 2, [row(key) for key in KEYS[150:]])
    assert store.apply("log", 2, 3, [])


def test_slots_move_between_writes(
    store: RedisOnlineStore, redis_cluster: RedisClusterServers
) -> None:
    """A redirected command finds its node, and so does the next one."""
    for tag in CLUSTER_BUCKETS[::16]:
        redis_cluster.move(slot_of(tag))
    for batch in (2, 3):
        assert store.apply("log", batch, batch + 1, [row(key, batch) for key in KEYS])
    assert store.read([("v", key) for key in KEYS]) == [stored(3)] * len(KEYS)
    assert store.applied_batch("log") == 4


def test_reads_and_writes_go_on_while_a_slot_moves(
    store: RedisOnlineStore, redis_cluster: RedisClusterServers
) -> None:
    """Also when half of a bucket's keys are here and half there, and for new keys."""
    tag = CLUSTER_BUCKETS[21]
    old = [f"[{number}]" for number in range(1000) if bucket_of(f"[{number}]") == tag]
    new = [f"[{number}]" for number in range(1000, 2000) if bucket_of(f"[{number}]") == tag]
    store.upsert([row(key) for key in old])
    slot = slot_of(tag)
    target = redis_cluster.begin_move(slot)
    batch = 2
    while True:
        moved = redis_cluster.move_keys(slot, target, 6)
        keys = [*old, *new[: batch - 1]]
        assert store.apply("log", batch, batch + 1, [row(key, batch) for key in keys])
        batch += 1
        assert store.applied_batch("log") == batch
        assert store.read([("v", key) for key in [*keys, new[-1]]]) == [
            *[stored(batch - 1)] * len(keys),
            None,
        ]
        assert store.unloaded(["v", "w"]) == ["w"]
        if not moved:
            break
    redis_cluster.end_move(slot, target)
    assert store.read([("v", key) for key in old]) == [stored(batch - 1)] * len(old)
    assert store.apply("log", batch, batch + 1, [])


def test_lost_bucket_is_noticed_while_it_moves(
    store: RedisOnlineStore, redis_cluster: RedisClusterServers
) -> None:
    """Key by key no marker is taken for granted either."""
    tag = next(tag for tag in CLUSTER_BUCKETS if sum(bucket_of(key) == tag for key in KEYS) > 3)
    keys = [key for key in KEYS if bucket_of(key) == tag]
    slot = slot_of(tag)
    target = redis_cluster.begin_move(slot)
    redis_cluster.move_keys(slot, target, 2)
    for server in (redis_cluster.home(slot), target):
        with server.admin as client:
            for name in (loaded_key(tag, "v"), watermark_key(tag, "log")):
                if name in client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
                    client.execute_command("ASKING")
                    client.delete(name)
    with pytest.raises(ViewNotLoaded):
        store.read([("v", key) for key in keys])
    assert not store.apply("log", 2, 3, [row(key, 2) for key in keys])
    redis_cluster.move_keys(slot, target)
    redis_cluster.end_move(slot, target)


@pytest.fixture
def fragile() -> Iterator[RedisClusterServers]:
    """A cluster whose nodes may be lost."""
    cluster = RedisClusterServers()
    yield cluster
    cluster.remove()


def test_node_that_comes_back_is_used_again(fragile: RedisClusterServers) -> None:
    """503 while it is frozen or away; then as before, and its loss is noticed."""
    store = RedisOnlineStore.connect(f"{fragile.url}?socket_timeout=0.5")
    store.mark_loaded(["v"])
    assert store.apply("log", 0, 1, [row(key) for key in KEYS])
    node = fragile.servers[1]
    node.freeze()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.apply("log", 1, 2, [])
    assert time.monotonic() - began < 5
    node.thaw()
    _until_applied(store, 1, 2)
    node.stop()
    with pytest.raises(StoreUnavailable):
        store.applied_batch("log")
    node.start()
    # It has nothing on disk.
    with pytest.raises(AssertionError):
        _until_applied(store, 2, 3)
    assert store.applied_batch("log") == 0


def _until_applied(store: RedisOnlineStore, previous: int, batch_no: int) -> None:
    """Apply a batch as soon as the cluster takes one again."""
    applied: list[bool] = []

    def is_answered() -> bool:
        with suppress(StoreUnavailable):
            applied.append(store.apply("log", previous, batch_no, []))
        return bool(applied)

    wait_for(is_answered, "the cluster to answer")
    assert applied == [True]


def test_cluster_that_is_away_is_unavailable(redis_server: RedisServer) -> None:
    """No node answers, or it is no cluster: an error that says so, again and again."""
    away = RedisOnlineStore.connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    other = RedisOnlineStore.connect(redis_server.url.replace("redis", "redis+cluster"))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="cannot be connected"):
            away.reserve("w", 1, 1, 0)
        with pytest.raises(StoreUnavailable, match="not enabled"):
            other.reserve("w", 1, 1, 0)


def test_node_of_a_cluster_is_no_server(redis_cluster: RedisClusterServers) -> None:
    """Half of the keys would be refused; the message says which URL is meant."""
    home = redis_cluster.home(slot_of_key(sequence_key("w")))
    other = next(server for server in redis_cluster.servers if server is not home)
    store = RedisOnlineStore.connect(other.url)
    with pytest.raises(StoreUnavailable, match=r"must begin with redis\+cluster://"):
        store.reserve("w", 1, 1, 0)


def test_cluster_has_no_databases() -> None:
    """A number in the URL is a mistake."""
    with pytest.raises(SettingsError, match="names a database"):
        RedisOnlineStore.connect("redis+cluster://127.0.0.1:1/3")


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.parametrize(
    "option",
    [
        *("socket_timeout=swordfish", "swordfish=1", "ssl_ca_certs=x"),
        # The driver takes these, and fails in the middle of a request.
        *("socket_timeout=nan", "socket_timeout=-1", "socket_connect_timeout=1e99"),
        *("decode_responses=true", "encoding=utf-16"),
    ],
)
def test_wrong_option_of_the_url_is_named(scheme: str, option: str) -> None:
    """But neither its value nor the password."""
    with pytest.raises(SettingsError, match="option") as error:
        RedisOnlineStore.connect(f"{scheme}://:secret@127.0.0.1:1?{option}")
    assert option.split("=")[0] in str(error.value)
    assert "secret" not in str(error.value)
    assert "=" not in str(error.value)


def test_other_nodes_are_read_while_one_is_away(fragile: RedisClusterServers) -> None:
    """Where the cluster is told not to stop as a whole; the rest is 503, and so is every push."""
    for server in fragile.servers:
        with server.admin as client:
            client.config_set("cluster-require-full-coverage", "no")
    store = RedisOnlineStore.connect(fragile.url)
    store.mark_loaded(["v"])
    store.upsert([row(key) for key in KEYS[:30]])
    fragile.servers[2].stop()
    served = 0
    for key in KEYS[:30]:
        with suppress(StoreUnavailable):
            served += store.read([("v", key)]) == [stored()]
    assert 10 < served < 30
    with pytest.raises(StoreUnavailable):
        store.apply("log", 0, 1, [])
