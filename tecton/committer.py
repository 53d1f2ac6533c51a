"""
What writes a workspace's push log, and then the online store: one batch after the other.

Requests that wait together share one commit. Batches reach the online store in the order of
their numbers; what the log holds and the online store lacks is offered again before anything
else is done. Of a log that is far away the file of the next batch is put while the entry of the
one before is: a commit then takes as long as the longer of the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from queue import Queue, SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import NamedTuple

from tecton.applied import WorkspaceState, workspace_of_log
from tecton.errors import RateLimited, StoreUnavailable, WriterFenced
from tecton.failpoints import Point, reach
from tecton.functions.transformation import FunctionRunner, NoFunctions
from tecton.logged import replaced_rows, rows_of
from tecton.rows import FeatureRow, Record
from tecton.sequences import take_sequences
from tecton.stores import Erasures, LogEntry, OnlineStore, PushLog, StagedBatch
from tecton.tail import replay_tail
from tecton.timestamps import micros_of

Clock = Callable[[], datetime]
"""Now, UTC-aware."""

MAX_RECORDS_PER_COMMIT = 10_000


class _Waiting(NamedTuple):
    """A request's records on their way through the committer."""

    records: Sequence[Record]
    registry_version: int
    done: Future[None]


class _Batch(NamedTuple):
    """A group that has its sequences and its number in a log.

    Args:
        group: The requests.
        log: The log.
        number: Of the batch.
        entries: Of each request.
        last: The greatest sequence.
        at: When it was accepted, UTC.
    """

    group: Sequence[_Waiting]
    log: PushLog
    number: int
    entries: Sequence[Sequence[LogEntry]]
    last: int
    at: datetime

    @property
    def all(self) -> list[LogEntry]:
        """The entries of all requests."""
        return list(itertools.chain.from_iterable(self.entries))


class Committer:
    """Takes records from many threads and commits them one batch after the other.

    Args:
        open_log: Takes the log over.
        state: The newest state of the workspace.
        online: The online store.
        clock: Now.
        max_queued: Records that may wait, or be looked into.
        functions: Runs the functions of views on logged records.
        erasures: Which join keys were erased; None: none were.
        change_slot: Is called when somebody else has taken the log over; answers whether `open_log`
            will open another one.
        logged: The greatest sequence that any writer has logged, 0 for none.
    """

    def __init__(
        self,
        open_log: Callable[[], PushLog],
        state: Callable[[], WorkspaceState],
        online: OnlineStore,
        clock: Clock,
        max_queued: int,
        functions: FunctionRunner = NoFunctions(),  # noqa: B008  # immutable
        change_slot: Callable[[], bool] = lambda: False,
        erasures: Erasures | None = None,
        logged: Callable[[], int] = lambda: 0,
    ) -> None:
        self._open_log = open_log
        self._state = state
        self._online = online
        self._clock = clock
        self._max_queued = max_queued
        self._functions = functions
        self._erasures = erasures
        self._logged = logged
        self._change_slot = change_slot
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._queued = 0
        self._lock = Lock()
        self._closed = False
        self._log: PushLog | None = None
        self._last_sequence = 0
        self._number = 0
        self._staged: Queue[tuple[_Batch, StagedBatch] | None] = Queue()
        self._turn = Semaphore()
        self._is_turn_given = False
        self._appender: Thread | None = None
        self._thread = Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @contextmanager
    def room(self, count: int) -> Iterator[None]:
        """
        Hold room for so many records, from before they are looked into until they are taken.

        Refusing then costs little, so that overload leaves time for what is taken.

        Raises:
            RateLimited: Too many wait already.
        """
        with self._lock:
            if self._queued and self._queued + count > self._max_queued:
                raise RateLimited(f"{self._queued} records wait already; send again")
            self._queued += count
        try:
            yield
        finally:
            with self._lock:
                self._queued -= count

    def take(self, records: Sequence[Record], registry_version: int) -> None:
        """
        Wait until the records, for which room is held, are durable and readable.

        Raises:
            Unavailable: Try again; they were taken as a whole or not at all.
        """
        self._enqueue(records, registry_version).result()

    @property
    def queued(self) -> int:
        """How many records wait."""
        return self._queued

    def catch_up(self) -> None:
        """Offer the online store what the log holds above its watermark."""
        self._enqueue((), 0).result()

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        if self._appender is not None:
            self._staged.put(None)
            self._appender.join()
        if self._log is not None:
            self._log.close()

    def _enqueue(self, records: Sequence[Record], registry_version: int) -> Future[None]:
        done: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the service is stopping")
            self._queue.put(_Waiting(records, registry_version, done))
        return done

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            # A group is made up as late as can be, so that as many as can be share its commit.
            self._turn.acquire()
            group, is_last = self._gather(first)
            log = self._log
            if log is not None and log.is_far and any(waiting.records for waiting in group):
                self._stage(log, group)
            else:
                self._staged.join()
                self._answer(group, partial(self._commit, group))
                self._turn.release()
            if is_last:
                return

    def _stage(self, log: PushLog, group: Sequence[_Waiting]) -> None:
        """Put the file of the next batch; its entry is another thread's, which then gives turns."""
        try:
            batch = self._numbered(log, group, self._number)
            staged = log.stage(batch.all, batch.at)
        except Exception as exc:  # noqa: BLE001  # handed to every waiting request, which raises it
            _tell(group, exc)
            self._turn.release()
            return
        if self._appender is None:
            self._appender = Thread(target=self._append_staged, name="appender", daemon=True)
            self._appender.start()
        self._staged.put((batch, staged))

    def _append_staged(self) -> None:
        while (item := self._staged.get()) is not None:
            batch, staged = item
            self._is_turn_given = False
            self._answer(batch.group, partial(self._append, batch, staged))
            self._give_turn(self._log.last_batch + 1 if self._log is not None else 0)
            self._staged.task_done()

    def _append(self, batch: _Batch, staged: StagedBatch) -> None:
        """Append a batch that is staged, or do it all again if the log did not go on to it."""
        log = self._ready_log()
        if log is not batch.log or log.last_batch + 1 != batch.number:
            self._commit(batch.group)
            return
        self._give_turn(batch.number + 1)
        self._write(batch, staged)

    def _give_turn(self, number: int) -> None:
        """Let the next batch be staged, once for each that was, with this number."""
        if not self._is_turn_given:
            self._is_turn_given = True
            self._number = number
            self._turn.release()

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """All that wait now, up to a bound, and whether the end was among them."""
        group, count = [first], len(first.records)
        while count < MAX_RECORDS_PER_COMMIT and not self._queue.empty():
            waiting = self._queue.get()
            if waiting is None:
                return group, True
            group.append(waiting)
            count += len(waiting.records)
        return group, False

    def _answer(self, group: Sequence[_Waiting], commit: Callable[[], None]) -> None:
        """Commit, and tell those who wait what became of it."""
        failure: Exception | None = None
        try:
            self._do_somewhere(group, commit)
        except Exception as exc:  # noqa: BLE001  # handed to every waiting request, which raises it
            failure = exc
        _tell(group, failure)

    def _do_somewhere(self, group: Sequence[_Waiting], commit: Callable[[], None]) -> None:
        """Commit in this process's log, or in another one where that was taken over."""
        try:
            commit()
        except WriterFenced:
            # Then nothing of the group was written: the entry is the last thing that is put.
            if not self._change_slot():
                raise
            self._log = None
            self._do_somewhere(group, partial(self._commit, group))

    def _commit(self, group: Sequence[_Waiting]) -> None:
        log = self._ready_log()
        if any(waiting.records for waiting in group):
            self._write(self._numbered(log, group, log.last_batch + 1))
        self._number = log.last_batch + 1

    def _numbered(self, log: PushLog, group: Sequence[_Waiting], number: int) -> _Batch:
        """A group with new sequences."""
        reach(Point.QUEUED)
        now = self._clock()
        total = sum(len(waiting.records) for waiting in group)
        first = take_sequences(
            self._online,
            workspace_of_log(log.name),
            total,
            micros_of(now),
            self._last_sequence,
            self._logged,
        )
        last = first + total - 1
        self._saw(last)
        reach(Point.RESERVED)
        return _Batch(group, log, number, _entries(group, first, number), last, now)

    def _write(self, batch: _Batch, staged: StagedBatch | None = None) -> None:
        """Append a batch that is the log's next one, and offer its rows."""
        log = batch.log
        if staged is None:
            log.append(batch.all, batch.at)
        else:
            log.append(batch.all, batch.at, staged)
        reach(Point.BEFORE_SCRIPT)
        rows = self._rows(batch.group, batch.entries)
        if not self._online.apply(log.name, batch.number - 1, batch.number, rows, batch.last):
            self._replay(log)
        reach(Point.AFTER_SCRIPT)

    def _saw(self, sequence: int) -> None:
        with self._lock:
            self._last_sequence = max(self._last_sequence, sequence)

    def _rows(
        self, group: Sequence[_Waiting], entries: Sequence[Sequence[LogEntry]]
    ) -> list[FeatureRow]:
        """The feature rows of a group that is logged."""
        state = self._state()
        rows: list[FeatureRow] = []
        for waiting, logged in zip(group, entries, strict=True):
            if waiting.registry_version == state.version:
                for record, entry in zip(waiting.records, logged, strict=True):
                    rows += [row._replace(sequence=entry.sequence) for row in record.rows]
                rows += replaced_rows(state, logged, self._functions)
            else:
                # A view that was applied while these waited may be loaded already, without them.
                rows += rows_of(state, logged, self._functions)
        return rows

    def _ready_log(self) -> PushLog:
        """The log, with nothing in it that the online store has not been offered."""
        if self._log is None:
            self._log = self._open_log()
        self._log.settle(self._clock())
        self._replay(self._log)
        return self._log

    def _replay(self, log: PushLog) -> None:
        applied = self._online.applied_batch(log.name)
        if applied >= log.last_batch:
            return
        state = self._state()

        def served(entries: Sequence[LogEntry]) -> Sequence[FeatureRow]:
            rows = rows_of(state, entries, self._functions)
            return rows if self._erasures is None else self._erasures.served(state, rows)

        replayed = replay_tail(
            self._online,
            log.name,
            applied,
            log.last_batch,
            log.read_after(applied),
            served,
        )
        self._saw(replayed)


def _tell(group: Sequence[_Waiting], failure: Exception | None) -> None:
    """Let go of those who wait for a commit."""
    for waiting in group:
        if failure is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(failure)


def _entries(group: Sequence[_Waiting], first: int, batch_no: int) -> list[list[LogEntry]]:
    """The log entries of each request of a group, in the order of acceptance."""
    sequences = itertools.count(first)
    return [
        [
            LogEntry(
                record.source.id,
                next(sequences),
                batch_no,
                waiting.registry_version,
                record.encode(),
            )
            for record in waiting.records
        ]
        for waiting in group
    ]
