"""
What is sent after an answer is later than what was answered, however writers, losses of the online
store and clocks meet: random interleavings of real committers, one call of a store at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from queue import Queue
from threading import Semaphore
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import push_log_name
from tecton.committer import Committer
from tecton.errors import StoreUnavailable
from tecton.rows import Record
from tecton.stores import OnlineStore
from tecton.testing import NOW, InMemoryOnlineStore, InMemoryPushLog, build_state
from tests.redis_servers import RedisServer

STATE = build_state()
RECORD = Record(STATE.sources[0], {"user_id": "u"}, ())
BEHIND = [timedelta(0), timedelta(minutes=10), timedelta(minutes=5)]
PATIENCE = 20.0
ANSWER = "answer"

Action = tuple[str, "int | None"]


class Stepwise:
    """A store whose every call waits until it is let go on."""

    def __init__(self, store: Any, wait: Callable[[str], None]) -> None:
        self._store = store
        self._wait = wait

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name == "close" or not callable(found):
            return found

        def called(*args: Any) -> Any:
            self._wait(name)
            return found(*args)

        return called


class Writer:
    """A process with a clock of its own, which does one call of a store at a time."""

    def __init__(self, world: World, number: int) -> None:
        self.log = InMemoryPushLog(push_log_name(STATE, number))
        self._world = world
        self._may_go, self._stops = Semaphore(0), Queue[str]()
        self._stands_at = ANSWER
        self._answer: Future[None] | None = None
        self._above = 0
        self._committer = Committer(
            open_log=lambda: Stepwise(self.log, self._wait),  # type: ignore[return-value]  # it does
            state=lambda: STATE,
            online=Stepwise(world.online, self._wait),  # type: ignore[arg-type]  # as above
            clock=lambda: world.now - BEHIND[number],
            max_queued=10,
            logged=lambda: self._look(),
        )
        self._pool = ThreadPoolExecutor(1)

    def go(self) -> None:
        """Send a record, or go on with what is sent to the next call of a store."""
        if self._answer is None:
            self._above = self._world.answered
            self._world.now += timedelta(seconds=1)
            self._answer = self._pool.submit(self._committer.take, [RECORD], STATE.version)
            self._answer.add_done_callback(lambda _: self._stops.put(ANSWER))
        else:
            self._may_go.release()
        self._stands_at = self._stops.get(timeout=PATIENCE)
        if self._stands_at == ANSWER:
            answer, self._answer = self._answer, None
            self._check(answer)

    def finish(self) -> None:
        """Go on until what is sent is answered."""
        while self._answer is not None:
            self.go()

    def look(self) -> None:
        """Go on until the logs have been looked into, and what was found is to be used."""
        self._go_to("looked")

    def append(self) -> None:
        """Go on until there are sequences, and nothing is logged."""
        self._go_to("append")

    def push(self) -> None:
        """Finish, or send a record and wait for the answer."""
        self.go()
        self.finish()

    def close(self) -> None:
        """End its threads."""
        while self._answer is not None:
            with suppress(AssertionError):
                self.go()
        self._committer.close()
        self._pool.shutdown()

    def _check(self, answer: Future[None]) -> None:
        if answer.exception() is None:
            sequence = self.log.entries[-1].sequence
            assert sequence > self._above
            self._world.answered = max(self._world.answered, sequence)
        else:
            # Lost twice in one breath; the client sends it again.
            assert isinstance(answer.exception(), StoreUnavailable)

    def _go_to(self, call: str) -> None:
        self.go()
        while self._stands_at not in (call, ANSWER):
            self.go()

    def _wait(self, call: str) -> None:
        self._stops.put(call)
        assert self._may_go.acquire(timeout=PATIENCE)

    def _look(self) -> int:
        self._wait("look")
        found = self._world.logged
        # What is found may be old when it is used.
        self._wait("looked")
        return found


class World:
    """Writers on one online store, which may lose what it has at any time."""

    def __init__(self, online: OnlineStore) -> None:
        self.online = online
        self.answered = 0
        self.now = NOW
        self.writers = [Writer(self, number) for number in range(len(BEHIND))]
        self._saved: Any = None

    @property
    def logged(self) -> int:
        """The greatest sequence in all logs."""
        entries = [entry for writer in self.writers for entry in writer.log.entries]
        return max((entry.sequence for entry in entries), default=0)

    def lose(self) -> None:
        """Empty the online store."""
        raise NotImplementedError

    def save(self) -> None:
        """Keep a snapshot of the online store."""
        raise NotImplementedError

    def restore(self) -> None:
        """Let the online store start again from the snapshot, if there is one."""
        raise NotImplementedError

    def act(self, actions: Sequence[Action]) -> None:
        """Do something between a record from each at the beginning and at the end."""
        try:
            for writer in self.writers:
                writer.push()
            for name, number in actions:
                if number is None:
                    getattr(self, name)()
                else:
                    getattr(self.writers[number], name)()
            for writer in self.writers:
                writer.finish()
            # Those that are behind know least of the others.
            for writer in reversed(self.writers):
                writer.push()
        finally:
            for writer in self.writers:
                writer.close()


class MemoryWorld(World):
    """In memory."""

    online: InMemoryOnlineStore

    def lose(self) -> None:
        """Empty it."""
        self.online.flush()

    def save(self) -> None:
        """Keep a snapshot."""
        self._saved = self.online.saved()

    def restore(self) -> None:
        """Go back to the snapshot."""
        if self._saved is not None:
            self.online.restore(self._saved)


class RedisWorld(World):
    """On a Redis server."""

    def __init__(self, server: RedisServer) -> None:
        self._admin: Any = server.admin
        self._admin.flushall()
        super().__init__(RedisOnlineStore.connect(server.url))

    def lose(self) -> None:
        """Empty it."""
        self._admin.flushall()

    def save(self) -> None:
        """Keep a snapshot."""
        self._saved = {key: self._admin.dump(key) for key in self._admin.keys("*")}

    def restore(self) -> None:
        """Let another server have the snapshot: what follows nobody any more is a new one."""
        saved: Mapping[bytes, bytes] | None = self._saved
        if saved is not None:
            self._admin.flushall()
            for key, value in saved.items():
                self._admin.restore(key, 0, value)
            self._admin.replicaof("127.0.0.1", 1)
            self._admin.replicaof("NO", "ONE")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own."""
    server = RedisServer()
    yield server
    server.remove()


LOSE, SAVE, RESTORE = (("lose", None),), (("save", None),), (("restore", None),)
PUSH, APPEND, LOOK, GO = (
    [((name, number),) for number in range(len(BEHIND))]
    for name in ("push", "append", "look", "go")
)
RACES: dict[str, Sequence[Action]] = {
    "lost between two": [*PUSH[0], *LOSE, *PUSH[1]],
    "set back between two": [*SAVE, *PUSH[0], *RESTORE, *PUSH[1]],
    "lost, logged after others have looked": [*APPEND[0], *LOSE, *PUSH[1], *PUSH[0], *PUSH[1]],
    "set back, logged after others have looked": [
        *(*SAVE, *PUSH[0], *APPEND[0], *RESTORE, *PUSH[1], *PUSH[0], *PUSH[1]),
    ],
    "two meet the loss": [*LOSE, *LOOK[1], *LOOK[2], *PUSH[0], *PUSH[2], *PUSH[1], *PUSH[2]],
    "lost again after one has looked": [
        *(*APPEND[0], *LOSE, *LOOK[1], *PUSH[0], *LOSE, *PUSH[1], *PUSH[2]),
    ],
    "lost again after one has looked, and met by another": [
        *(*APPEND[0], *LOSE, *LOOK[1], *PUSH[0], *LOSE, *LOOK[2], *PUSH[1], *PUSH[1]),
    ],
    "lost before one has asked": [
        *(*APPEND[0], *LOSE, *GO[1], *GO[1], *GO[1], *PUSH[0], *LOSE, *PUSH[1], *PUSH[2]),
    ],
}


@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_known_race(server: RedisServer, kind: str, race: str) -> None:
    """Those that the proof in docs/decisions/0033 speaks of."""
    world = RedisWorld(server) if kind == "redis" else MemoryWorld(InMemoryOnlineStore())
    world.act(RACES[race])


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("go"), st.integers(0, len(BEHIND) - 1)),
        st.tuples(st.sampled_from(["append", "look", "push"]), st.integers(0, len(BEHIND) - 1)),
        st.tuples(st.sampled_from(["lose", "save", "restore"]), st.none()),
    ),
    min_size=10,
    max_size=50,
)


@settings(max_examples=150)
@given(ACTIONS)
def test_later_is_greater(actions: list[Action]) -> None:
    """Whatever comes between, in memory."""
    MemoryWorld(InMemoryOnlineStore()).act(actions)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_later_is_greater_on_redis(server: RedisServer, actions: list[Action]) -> None:
    """Whatever comes between, on Redis."""
    RedisWorld(server).act(actions)
