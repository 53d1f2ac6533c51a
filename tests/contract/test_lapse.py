"""A Redis that has gone back behind what jobs and erasures did: real stores, no JVM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tecton.adapters.batch_ledger import DocumentLedger
from tecton.adapters.documents import Documents
from tecton.adapters.erasures import DeltaErasures
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.erase import erase
from tecton.errors import StoreUnavailable
from tecton.lapse import Lapsed, mark_lapsed, told
from tecton.reload import replay
from tecton.rows import FeatureRow, batch_sequence, encode_key, row_of
from tecton.stores import OnlineStore, Reached
from tecton.testing import (
    NOW,
    FixedClock,
    InMemoryOnlineStore,
    build_source,
    build_state,
    build_view,
)
from tecton.timestamps import micros_of
from tecton.tombstones import GRACE
from tests.redis_servers import RedisServer
from tests.running import wait_for

SOURCE = build_source()
VIEW = build_view(SOURCE, ttl=None)
OTHER = build_view(SOURCE, name="other_fv", ttl=None)
STATE = build_state([SOURCE], [VIEW, OTHER])
AT = micros_of(NOW)


class Memory:
    """A store in memory, and its states of before."""

    def __init__(self) -> None:
        self.online: Any = InMemoryOnlineStore()
        self._saved: Mapping[str, Any] = {}

    def save(self) -> None:
        """Write a snapshot."""
        self._saved = self.online.saved()

    def go_back(self) -> None:
        """Start again on the snapshot."""
        self.online.restore(self._saved)


class Redis:
    """A server, and its snapshot."""

    def __init__(self, server: RedisServer) -> None:
        self.online: Any = RedisOnlineStore.connect(server.url)
        self._server = server

    def save(self) -> None:
        """Write a snapshot."""
        with self._server.admin as client:
            client.save()

    def go_back(self) -> None:
        """Start again on the snapshot."""
        self._server.stop()
        self._server.start()
        wait_for(self._answers, "Redis")

    def _answers(self) -> bool:
        try:
            self.online.applied_batch("log")
        except StoreUnavailable:
            return False
        return True


@pytest.fixture(params=["memory", "redis"])
def redis(request: pytest.FixtureRequest) -> Iterator[Memory | Redis]:
    """An online store of which snapshots are written."""
    if request.param == "memory":
        yield Memory()
        return
    server = RedisServer()
    yield Redis(server)
    server.remove()


class Play:
    """Jobs, erasures and looks, with both views loaded."""

    def __init__(self, redis: Memory | Redis, folder: Path) -> None:
        self.redis = redis
        self.clock = FixedClock(NOW)
        documents = Documents(str(folder / "store"))
        self.ledger = DocumentLedger(documents)
        self.erasures = DeltaErasures(str(folder / "store"))
        self.kept: list[FeatureRow] = []
        for view in STATE.views:
            self.online.mark_loaded([view.online_id])

    @property
    def online(self) -> OnlineStore:
        """The online store."""
        online: OnlineStore = self.redis.online
        return online

    def job(self, *users: str) -> None:
        """Bring a row for each user of the first view, as a frontfill does."""
        self.clock.advance(timedelta(hours=1))
        number = micros_of(self.clock())
        load = self.online.begin_load(VIEW.online_id)
        for user in users:
            values = {"user_id": user, "clicked": 1}
            self.kept.append(row_of(VIEW, values, AT, batch_sequence(self.clock())))
        self.online.upsert(self.kept[-len(users) :])
        self.online.advance(VIEW.online_id, Reached(batch=number), load)
        self.ledger.enter(STATE, VIEW, number)

    def erase(self, user: str, later: timedelta = timedelta(hours=1)) -> None:
        """Erase a user online."""
        self.clock.advance(later)
        lines = erase(
            self.erasures, lambda: self.online, STATE, VIEW, [[user]], True, False,
            self.clock, lambda _: None,
        )  # fmt: skip
        assert list(lines)

    def look(self, after: timedelta = GRACE) -> list[Lapsed]:
        """See what has gone back, and load it again as the service does."""
        self.clock.advance(after)
        now = self.clock()
        states = [STATE]
        found = list(mark_lapsed(self.online, self.ledger, self.erasures, states, now))
        for view in STATE.views:
            if view.online_id in self.online.unloaded([view.online_id]):
                should = partial(told, ledger=self.ledger, erasures=self.erasures, now=now)
                replay(self.online, self, STATE, view, now, should)
        return found

    def rows(self, *_: Any) -> Iterator[Sequence[FeatureRow]]:
        """`stores.History`: what the offline table has, less what was erased."""
        yield list(self.erasures.of(STATE, VIEW).kept(self.kept))

    def served(self) -> set[str]:
        """Whose rows are read."""
        users = [row.key for row in self.kept]
        found = self.online.read([(VIEW.online_id, user) for user in users])
        return {user for user, row in zip(users, found, strict=True) if row is not None}


def keys(*users: str) -> set[str]:
    """Join keys as rows have them."""
    return {encode_key([user]) for user in users}


@pytest.fixture
def play(redis: Memory | Redis, tmp_path: Path) -> Play:
    """Nothing has happened yet."""
    return Play(redis, tmp_path)


def test_what_goes_on_is_not_marked(play: Play) -> None:
    """Neither jobs, nor erasures that are under way or over, nor a restart that loses nothing."""
    play.job("a", "b")
    assert play.look() == []
    play.erase("a")
    assert play.look(timedelta(0)) == []
    assert play.look() == []
    play.redis.save()
    play.redis.go_back()
    assert play.look() == []
    assert play.served() == keys("b")


def test_batch_rows_that_are_lost_are_loaded_again(play: Play) -> None:
    """Pushed records have watermarks; of a job's rows only the ledger knows."""
    play.job("a")
    play.redis.save()
    play.job("b")
    play.redis.go_back()
    assert play.served() == keys("a")
    assert play.look() == [Lapsed(VIEW.name, erased=False)]
    assert play.served() == keys("a", "b")
    assert play.look() == []


def test_erased_rows_that_are_back_go_again(play: Play) -> None:
    """With all of the view: Redis keeps no list of what was erased."""
    play.job("a", "b")
    play.redis.save()
    play.erase("a")
    play.redis.go_back()
    assert play.served() == keys("a", "b")
    assert play.look() == [Lapsed(VIEW.name, erased=True)]
    assert play.served() == keys("b")
    assert play.look() == []


@pytest.mark.parametrize("later", [timedelta(0), GRACE])
def test_erasure_does_not_hide_that_the_store_went_back(play: Play, later: timedelta) -> None:
    """Nobody has looked yet when the next key is erased."""
    play.job("a", "b", "c")
    play.redis.save()
    play.erase("a")
    play.redis.go_back()
    play.erase("b", later)
    assert play.served() == keys("a", "c")
    assert play.look(2 * GRACE) == [Lapsed(VIEW.name, erased=True)]
    assert play.served() == keys("c")
    assert play.look() == []


def test_view_that_was_not_loaded_is_emptied_before_it_is_filled(play: Play) -> None:
    """Nobody looks at it before, and afterwards it would count as right."""
    play.job("a", "b")
    play.online.unmark([VIEW.online_id])
    play.redis.save()
    play.erase("a")
    play.redis.go_back()
    assert play.look() == []
    assert play.served() == keys("b")
    assert play.look() == []


def test_emptied_store_is_loaded_once(play: Play) -> None:
    """It is lost, not gone back; afterwards it has what it should have."""
    play.job("a", "b")
    play.erase("a")
    play.redis.save()
    play.online.forget([VIEW.online_id, OTHER.online_id])
    assert play.look() == []
    assert play.served() == keys("b")
    assert play.look() == []


@pytest.mark.parametrize("ends", [
    lambda online, load: online.advance(VIEW.online_id, Reached(batch=1), load),
    lambda online, load: online.mark_loaded([VIEW.online_id], load, Reached(batch=1)),
])  # fmt: skip
def test_job_during_which_the_store_went_back_fails(
    play: Play, ends: Callable[[OnlineStore, str], None]
) -> None:
    """The snapshot has the load, and may lack rows of it."""
    load = play.online.begin_load(VIEW.online_id)
    play.redis.save()
    play.redis.go_back()
    with pytest.raises(StoreUnavailable, match="lost data"):
        ends(play.online, load)
    assert play.online.reached([VIEW.online_id]) == [Reached()]


def test_ledger_keeps_the_last_number_of_each_view(tmp_path: Path) -> None:
    """Other processes read the same; nothing piles up."""
    first, second = (DocumentLedger(Documents(str(tmp_path / "store"))) for _ in range(2))
    assert first.of(STATE) == {}
    for number in (5, 7, 6):
        first.enter(STATE, VIEW, number)
    second.enter(STATE, OTHER, 1)
    assert first.of(STATE) == second.of(STATE) == {VIEW.online_id: 7, OTHER.online_id: 1}
    assert len(list((tmp_path / "store").rglob("*.json"))) == 3
    assert first.of(build_state([SOURCE], [])) == {}
