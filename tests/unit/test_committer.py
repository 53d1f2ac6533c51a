"""Commits that overlap: the file of a batch is put while the entry of the one before is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event

import pytest

from tecton.committer import Committer
from tecton.errors import StoreUnavailable, WriterFenced
from tecton.rows import Record
from tecton.schema import RecordChecker, RecordLimits
from tecton.stores import LogEntry, StagedBatch
from tecton.testing import NOW, FixedClock, InMemoryOnlineStore, InMemoryPushLog, build_state
from tecton.timestamps import micros_of
from tests.running import wait_for

STATE = build_state()
(SOURCE,) = STATE.sources


class Far(InMemoryPushLog):
    """A log in which what is appended waits until it is let through; staging does not wait."""

    def __init__(self, name: str = "far") -> None:
        super().__init__(name)
        self.is_far = True
        self.staged: list[int] = []
        self.used: list[bool] = []
        self.gate = Event()
        self.gate.set()
        self.fails_with: Exception | None = None
        self.late: list[LogEntry] | None = None

    def stage(self, entries: Sequence[LogEntry], accepted_at: datetime) -> StagedBatch:
        self.staged.append(entries[0].batch_no)
        return super().stage(entries, accepted_at)

    def append(
        self,
        entries: Sequence[LogEntry],
        accepted_at: datetime,
        staged: StagedBatch | None = None,
    ) -> None:
        assert self.gate.wait(30)
        if self.fails_with is not None:
            failure, self.fails_with = self.fails_with, None
            raise failure
        super().append(entries, accepted_at)
        self.used.append(staged is not None)

    def settle(self, now: datetime) -> int:
        if self.late is not None:
            self.batches.append(self.late)
            self.late = None
        return self.last_batch


class Scene:
    """A committer on a log that is far away, and clients that wait for it."""

    def __init__(self) -> None:
        self.logs = [Far(), Far("second")]
        self.opened = 0
        self.moves = False
        self.online = InMemoryOnlineStore()
        self.committer = Committer(
            self._open, lambda: STATE, self.online, FixedClock(), 1000, change_slot=self._move
        )
        self.clients = ThreadPoolExecutor(8)
        self.checker = RecordChecker(SOURCE, STATE.views, timedelta(minutes=10), RecordLimits())

    @property
    def log(self) -> Far:
        return self.logs[0]

    def push(self, user: str) -> Future[None]:
        return self.clients.submit(self.committer.take, [self.record(user)], STATE.version)

    def record(self, user: str) -> Record:
        raw = {"user_id": user, "timestamp": "2023-01-03T11:00:00Z", "clicked": 1}
        checked = self.checker.check(raw, 0, micros_of(NOW))
        assert isinstance(checked, Record)
        return checked

    def numbers(self, log: int = 0) -> list[list[int]]:
        """The batch numbers of each batch's entries."""
        return [[entry.batch_no for entry in batch] for batch in self.logs[log].batches]

    def _open(self) -> Far:
        self.opened += 1
        return self.logs[self.opened - 1]

    def _move(self) -> bool:
        return self.moves


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    scene.push("first").result(30)
    yield scene
    scene.log.gate.set()
    scene.committer.close()
    scene.clients.shutdown()


def while_appending(scene: Scene, failure: Exception | None = None) -> list[Future[None]]:
    """Three requests, each staged while the one before waits for its log entry."""
    scene.log.gate.clear()
    futures = []
    for number, user in enumerate(("a", "b"), start=1):
        futures.append(scene.push(user))
        wait_for(lambda staged=number: len(scene.log.staged) == staged, "the file to be put")
    # There is no turn for a third: it shares the commit of all that come until there is.
    futures += [scene.push("c"), scene.push("d")]
    wait_for(lambda: scene.committer._queue.qsize() >= 1, "the third to wait")
    scene.log.fails_with = failure
    scene.log.gate.set()
    return futures


def served(scene: Scene) -> set[str]:
    return {key for _, key in scene.online.rows}


def test_next_file_is_put_while_an_entry_is(scene: Scene) -> None:
    """Batches stay in order, without gaps, and each entry is that of what was staged."""
    for future in while_appending(scene):
        future.result(30)
    assert scene.numbers() == [[1], [2], [3], [4, 4]]
    assert scene.log.staged == [2, 3, 4]
    assert scene.log.used == [False, True, True, True]
    sequences = [entry.sequence for entry in scene.log.entries]
    assert sequences == sorted(set(sequences))
    assert scene.online.applied_batch("far") == 4
    assert len(served(scene)) == 5


def test_batch_after_one_that_failed_is_done_again(scene: Scene) -> None:
    """What was staged for the number after it is put anew, with the number that is free."""
    first, *others = while_appending(scene, StoreUnavailable("nothing was put"))
    with pytest.raises(StoreUnavailable):
        first.result(30)
    for future in others:
        future.result(30)
    assert scene.numbers() == [[1], [2], [3, 3]]
    assert scene.log.used[-2:] == [False, True]
    assert scene.online.applied_batch("far") == 3
    assert len(served(scene)) == 4


def test_batch_after_one_of_unknown_outcome_has_its_number(scene: Scene) -> None:
    """It is settled first; what was staged fits if the one before had come through."""

    class Unknown(StoreUnavailable):
        pass

    def late() -> None:
        scene.log.late = [LogEntry(SOURCE.id, 1, 2, 1, scene.record("a").encode())]

    scene.log.settle, settle = _once(late, scene.log.settle), scene.log.settle
    first, *others = while_appending(scene, Unknown("no answer in time"))
    with pytest.raises(Unknown):
        first.result(30)
    for future in others:
        future.result(30)
    scene.log.settle = settle
    assert [batch[0] for batch in scene.numbers()] == [1, 2, 3, 4]
    assert len(served(scene)) == 5


def _once(act: Callable[[], None], settle: Callable[[datetime], int]) -> Callable[..., int]:
    """Settling that does something the third time: after the append that failed."""
    times = []

    def settled(now: datetime) -> int:
        times.append(now)
        if len(times) == 2:
            act()
        return settle(now)

    return settled


def test_what_was_staged_for_a_log_that_is_taken_over_goes_to_the_next(scene: Scene) -> None:
    """No request fails, and none is in two logs."""
    scene.moves = True
    for future in while_appending(scene, WriterFenced("somebody else has it")):
        future.result(30)
    assert scene.numbers() == [[1]]
    assert [batch[0] for batch in scene.numbers(log=1)] == [1, 2, 3]
    assert scene.log.used == [False]
    assert scene.logs[1].used == [False, False, True]
    assert len(served(scene)) == 5


def test_online_store_down_fails_what_is_staged_and_nothing_after(scene: Scene) -> None:
    """And all goes on when it is back."""
    scene.online.is_down = True
    with pytest.raises(StoreUnavailable):
        scene.push("a").result(30)
    scene.online.is_down = False
    scene.push("b").result(30)
    scene.committer.catch_up()
    assert [batch[0] for batch in scene.numbers()] == [1, 2]


def test_closing_waits_for_what_is_staged(scene: Scene) -> None:
    """Everything that was accepted is logged."""
    futures = while_appending(scene)
    scene.committer.close()
    assert len(scene.log.entries) == 5
    for future in futures:
        future.result(30)
