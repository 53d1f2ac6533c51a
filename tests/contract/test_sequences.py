"""Of two pushes the later one is the one that is sent after the other's answer, always."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tecton.access import AccessState, Grant, ServiceAccount
from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.erasures import DeltaErasures
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.push_tables import DeltaPushTables
from tecton.adapters.redis_keys import sequence_key, slot_of_key
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import WorkspaceState
from tecton.catalog import Catalog
from tecton.erase import erase
from tecton.errors import StoreUnavailable
from tecton.ingest import Ingest, IngestRequest
from tecton.rows import encode_key
from tecton.sequences import TRIES, take_sequences
from tecton.stores import LogEntry
from tecton.testing import (
    FixedClock,
    InMemoryAccess,
    InMemoryOnlineStore,
    InMemoryRegistry,
    build_source,
    build_state,
    build_view,
)
from tecton.timestamps import format_micros, micros_of
from tests.redis_places import Place
from tests.redis_servers import RedisClusterServers, RedisServer
from tests.running import wait_for

NOW = datetime.now(timezone.utc).replace(microsecond=0)
BEHIND = timedelta(minutes=10)
SOURCE = build_source(name="clicks")
STATE = build_state([SOURCE], [build_view(SOURCE)])
VIEW = STATE.views[0]
ACCOUNT = ServiceAccount(id="a" * 16, name="a", secret_sha256="", created_at=NOW)


def nothing() -> None:
    """What happens where a test wants nothing to happen."""


class Log(DeltaPushLog):
    """A push log before whose next append something happens."""

    before = staticmethod(nothing)

    def append(self, entries: Sequence[LogEntry], accepted_at: datetime) -> None:
        before, self.before = self.before, nothing
        before()
        super().append(entries, accepted_at)


class Tables(DeltaPushTables):
    """Push tables; after they have been looked into something happens."""

    after = staticmethod(nothing)

    def last_sequence(self, state: WorkspaceState) -> int:
        found = super().last_sequence(state)
        after, self.after = self.after, nothing
        after()
        return found


class Service:
    """One process of several on a store and a Redis, with a clock of its own."""

    def __init__(self, store: Path, redis_url: str, writer: int, now: datetime) -> None:
        self.online = RedisOnlineStore.connect(redis_url)
        self.checkpointer = Checkpointer()
        self.tables = Tables(str(store))
        self.erasures = DeltaErasures(str(store))
        self.clock = FixedClock(now)
        self.log: Log = Log.open(str(store), STATE, writer, self.checkpointer)
        access = AccessState(version=1, accounts=(ACCOUNT,), grants=(Grant(ACCOUNT.id, "editor"),))
        catalog = Catalog(InMemoryRegistry(STATE), InMemoryAccess(access), timedelta(minutes=30))
        catalog.refresh()
        self.ingest = Ingest(
            catalog,
            lambda _: self.log,
            self.online,
            self.clock,
            1000,
            erasures=self.erasures,
            tables=self.tables,
        )

    def push(self, clicked: int) -> None:
        """Send an event, always of the same time."""
        record = {"user_id": "u", "timestamp": format_micros(micros_of(NOW)), "clicked": clicked}
        self.ingest(IngestRequest("prod", False, {"clicks": [record]}), ACCOUNT)

    def erase(self) -> None:
        """Delete what was pushed."""
        stores = self.erasures, lambda: self.online, STATE, VIEW
        wait: Any = nothing
        list(erase(*stores, [["u"]], True, True, self.clock, lambda _: wait(), self.tables))

    def served(self) -> bytes | None:
        """What is served after everything was replayed."""
        self.online.mark_loaded([VIEW.id])
        self.ingest.recover()
        [stored] = self.online.read([(VIEW.id, encode_key(["u"]))])
        return None if stored is None else stored.body

    def logged(self) -> list[int]:
        """What all have pushed, in the order of sequences."""
        entries = [
            entry
            for writer in self.tables.writers(STATE)
            for batch in self.tables.read_after(STATE, writer, 0)
            for entry in batch
        ]
        entries.sort(key=lambda entry: entry.sequence)
        assert len({entry.sequence for entry in entries}) == len(entries)
        return [int(entry.record.rpartition(b":")[2][:-1]) for entry in entries]

    def close(self) -> None:
        """End its threads and processes."""
        self.ingest.close()
        self.checkpointer.close()


Start = Callable[[str], "tuple[Service, Service]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts two services; the clock of the second one is ten minutes behind."""
    started: list[Service] = []

    def start(redis_url: str) -> tuple[Service, Service]:
        for writer, behind in enumerate((timedelta(0), BEHIND)):
            started.append(Service(tmp_path, redis_url, writer, NOW - behind))
        return started[0], started[1]

    yield start
    for service in started:
        service.close()


@pytest.fixture
def services(place: Place, start: Start) -> tuple[Service, Service]:
    """Two on each kind of Redis, after each has pushed."""
    first, second = start(place.url)
    second.push(-1)
    first.push(0)
    return first, second


def test_clock_of_another_process_does_not_matter(services: tuple[Service, Service]) -> None:
    """As long as Redis counts."""
    first, second = services
    second.push(1)
    first.push(2)
    second.push(3)
    assert (first.served(), second.logged()) == (b"[3]", [-1, 0, 1, 2, 3])


def test_later_push_wins_after_redis_was_emptied(
    services: tuple[Service, Service], place: Place
) -> None:
    """By another process, whose clock is behind; online as in the push tables."""
    first, second = services
    place.flush()
    second.push(1)
    assert (first.served(), second.logged()) == (b"[1]", [-1, 0, 1])
    first.push(2)
    second.push(3)
    assert (first.served(), second.logged()) == (b"[3]", [-1, 0, 1, 2, 3])


def test_push_that_is_logged_after_redis_was_emptied_is_not_overtaken(
    services: tuple[Service, Service], place: Place
) -> None:
    """Another process has asked for sequences between its own and its log entry."""
    first, second = services

    def lose() -> None:
        place.flush()
        second.push(1)

    first.log.before = lose
    first.clock.advance(timedelta(seconds=9))
    first.push(2)
    second.push(3)
    assert (first.served(), second.logged()) == (b"[3]", [-1, 0, 1, 2, 3])


def test_two_that_meet_the_loss_at_once_go_on_together(
    services: tuple[Service, Service], place: Place
) -> None:
    """Both look into the logs; nobody gets what the other got."""
    first, second = services
    place.flush()
    second.tables.after = lambda: first.push(1)
    second.push(2)
    first.push(3)
    second.push(4)
    assert (first.served(), second.logged()) == (b"[4]", [-1, 0, 1, 2, 3, 4])


def test_redis_that_is_emptied_again_is_asked_again(
    services: tuple[Service, Service], place: Place
) -> None:
    """What was found in the logs does not hold for the next counter."""
    first, second = services
    first.log.before = place.flush

    def lose() -> None:
        first.push(1)
        place.flush()

    place.flush()
    second.tables.after = lose
    second.push(2)
    assert second.logged() == [-1, 0, 1, 2]


@pytest.fixture(params=["single", "cluster"])
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer | RedisClusterServers]:
    """A Redis that may be ended; it writes a snapshot when it is told to."""
    redis = RedisServer() if request.param == "single" else RedisClusterServers()
    yield redis
    redis.remove()


def _answers(online: RedisOnlineStore) -> bool:
    try:
        online.applied_batch("log")
    except StoreUnavailable:
        return False
    return True


def test_redis_that_was_set_back_is_noticed(
    redis: RedisServer | RedisClusterServers, start: Start
) -> None:
    """A restart on a snapshot of before, by a process that misses nothing of its own."""
    first, second = start(redis.url)
    second.push(-1)
    first.push(0)
    slot = slot_of_key(sequence_key(STATE.id))
    home = redis if isinstance(redis, RedisServer) else redis.home(slot)
    with home.admin as client:
        client.save()
    first.clock.advance(timedelta(seconds=9))
    first.push(1)
    home.stop()
    home.start()
    wait_for(lambda: _answers(second.online), "Redis")
    second.push(2)
    assert (second.logged(), first.served()) == ([-1, 0, 1, 2], b"[2]")


def test_later_push_counts_after_an_erasure(
    services: tuple[Service, Service], place: Place
) -> None:
    """Also if Redis was emptied, so that nothing but the tombstone has its sequence."""
    first, second = services
    first.erase()
    assert first.served() is None
    place.flush()
    second.push(1)
    assert (second.served(), second.logged()) == (b"[1]", [1])
    assert second.tables.last_sequence(STATE) > first.erasures.last_sequence(STATE)


def test_push_counts_after_an_erasure_during_which_redis_was_emptied(
    services: tuple[Service, Service], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process asks for sequences before the tombstone stands."""
    first, second = services
    add = first.erasures.add

    def late(*arguments: Any) -> None:
        place.flush()
        second.push(1)
        add(*arguments)

    monkeypatch.setattr(first.erasures, "add", late)
    first.erase()
    second.push(2)
    assert second.served() == b"[2]"


def test_store_that_forgets_all_the_time_is_unavailable() -> None:
    """Nobody waits for ever."""
    online = InMemoryOnlineStore()
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        online.flush()
        return 7

    with pytest.raises(StoreUnavailable, match="again and again"):
        take_sequences(online, "w", 1, 1, 0, look)
    assert looks == TRIES
