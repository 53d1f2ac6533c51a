"""
The write path: check everything, log it, offer it to the online store, answer.

Requests that wait together share one commit. One committer thread per workspace owns the push
log, so batches reach the online store in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple

import msgspec

from tecton.access import Role, ServiceAccount
from tecton.applied import AppliedSource, AppliedView, WorkspaceState
from tecton.catalog import Catalog
from tecton.errors import (
    InvalidRecords,
    NotFound,
    RateLimited,
    RecordProblem,
    RequestError,
    StoreUnavailable,
)
from tecton.rows import FeatureRow, Record, row_of
from tecton.stores import LogEntry, OnlineStore, PushLog
from tecton.timestamps import micros_of, parse_rfc3339

Clock = Callable[[], datetime]
"""Now, UTC-aware."""

MAX_RECORDS_PER_COMMIT = 10_000


class IngestRequest(NamedTuple):
    """A request whose envelope is right; records are decoded JSON, by source name."""

    workspace: str
    dry_run: bool
    records: Mapping[str, Sequence[Any]]


class ViewCount(NamedTuple):
    """How many feature rows of a request a view has taken."""

    view: str
    online: int
    offline: int


class Ingest:
    """The verb behind `POST /ingest`.

    Args:
        catalog: Definitions and roles.
        open_log: Opens the push log of a workspace for this process.
        online: The online store.
        clock: Now.
        max_queued: Records that may wait for a workspace's committer.
    """

    def __init__(
        self,
        catalog: Catalog,
        open_log: Callable[[WorkspaceState], PushLog],
        online: OnlineStore,
        clock: Clock,
        max_queued: int,
    ) -> None:
        self._catalog = catalog
        self._open_log = open_log
        self._online = online
        self._clock = clock
        self._max_queued = max_queued
        self._committers: dict[str, Committer] = {}
        self._lock = Lock()

    def __call__(self, request: IngestRequest, account: ServiceAccount) -> list[ViewCount]:
        """
        Take all records of a request, or none.

        Args:
            request: What was sent.
            account: Who sent it.

        Returns:
            A count for every view that subscribes to a source of the request, by name.

        Raises:
            RequestError: As contract §3 says, in its order; nothing was written.
            Unavailable: Try again; the request was taken as a whole or not at all.
        """
        state = self._catalog.workspace(request.workspace)
        if state is None:
            raise NotFound(f"workspace {request.workspace} not found")
        self._catalog.require(account, state, Role.VIEWER if request.dry_run else Role.EDITOR)
        if not request.dry_run and not state.live:
            raise RequestError(
                f"workspace {state.name} is not live: only a dry run can be sent to a development "
                "workspace"
            )
        sources = _sources(state, request)
        records = self._check(state, sources, request)
        if not request.dry_run and records:
            self._committer(state).take(records, state.version)
        return _counts(state, sources, request)

    def recover(self) -> None:
        """Bring the online store up to the push logs of all live workspaces (after a start)."""
        for state in self._catalog.workspaces():
            if state.live and state.views:
                self._committer(state).catch_up()

    def close(self) -> None:
        """Finish what was accepted, then stop."""
        with self._lock:
            for committer in self._committers.values():
                committer.close()
            self._committers.clear()

    def _check(
        self, state: WorkspaceState, sources: Sequence[AppliedSource], request: IngestRequest
    ) -> list[Record]:
        now = micros_of(self._clock())
        records: list[Record] = []
        problems: list[RecordProblem] = []
        for source in sources:
            checker = self._catalog.checker(state, source)
            for index, raw in enumerate(request.records[source.name]):
                result = checker.check(raw, index, now)
                if isinstance(result, Record):
                    records.append(result)
                else:
                    problems += result
        if problems:
            raise InvalidRecords(state.name, problems)
        return records

    def _committer(self, state: WorkspaceState) -> Committer:
        with self._lock:
            committer = self._committers.get(state.id)
            if committer is None:
                committer = self._committers[state.id] = Committer(
                    open_log=lambda: self._open_log(state),
                    state=lambda: self._catalog.workspace(state.name) or state,
                    online=self._online,
                    clock=self._clock,
                    max_queued=self._max_queued,
                )
            return committer


class _Waiting(NamedTuple):
    """A request's records on their way through the committer."""

    records: Sequence[Record]
    registry_version: int
    done: Future[None]


class Committer:
    """The one thread that writes a workspace's push log and then the online store.

    Args:
        open_log: Takes the log over.
        state: The newest state of the workspace.
        online: The online store.
        clock: Now.
        max_queued: Records that may wait.
    """

    def __init__(
        self,
        open_log: Callable[[], PushLog],
        state: Callable[[], WorkspaceState],
        online: OnlineStore,
        clock: Clock,
        max_queued: int,
    ) -> None:
        self._open_log = open_log
        self._state = state
        self._online = online
        self._clock = clock
        self._max_queued = max_queued
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._queued = 0
        self._lock = Lock()
        self._closed = False
        self._log: PushLog | None = None
        self._is_behind = True
        self._last_sequence = 0
        self._thread = Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def take(self, records: Sequence[Record], registry_version: int) -> None:
        """
        Wait until the records are durable and readable.

        Raises:
            RateLimited: Too many wait already; nothing was written.
            Unavailable: Try again; they were taken as a whole or not at all.
        """
        self._enqueue(records, registry_version).result()

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
        if self._log is not None:
            self._log.close()

    def _enqueue(self, records: Sequence[Record], registry_version: int) -> Future[None]:
        done: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the service is stopping")
            if self._queued and self._queued + len(records) > self._max_queued:
                raise RateLimited(f"{self._queued} records wait already; send again")
            self._queued += len(records)
            self._queue.put(_Waiting(records, registry_version, done))
        return done

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, is_last = self._gather(first)
            self._serve(group)
            if is_last:
                return

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

    def _serve(self, group: Sequence[_Waiting]) -> None:
        failure: BaseException | None = None
        try:
            self._commit(group)
        except Exception as exc:  # noqa: BLE001  # handed to every waiting request, which raises it
            failure = exc
        with self._lock:
            self._queued -= sum(len(waiting.records) for waiting in group)
        for waiting in group:
            if failure is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(failure)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        log = self._ready_log()
        count = sum(len(waiting.records) for waiting in group)
        if not count:
            return
        now = self._clock()
        floor = max(micros_of(now), self._last_sequence + 1)
        first = self._online.reserve(count, floor)
        self._last_sequence = first + count - 1
        previous = log.last_batch
        entries, rows = _numbered(group, first, previous + 1)
        # From here on the log may hold what the online store lacks, until proven otherwise.
        self._is_behind = True
        log.append(entries, now)
        if log.last_batch != previous + 1:
            # An append whose outcome was unknown has turned out to be there.
            self._replay(log)
        elif not self._online.apply(log.name, previous, log.last_batch, rows):
            self._replay(log)
        self._is_behind = False

    def _ready_log(self) -> PushLog:
        """The log, with nothing in it that the online store has not been offered."""
        if self._log is None:
            self._log = self._open_log()
            self._is_behind = True
        if self._is_behind:
            self._replay(self._log)
            self._is_behind = False
        return self._log

    def _replay(self, log: PushLog) -> None:
        applied = self._online.applied_batch(log.name)
        if applied >= log.last_batch:
            return
        state = self._state()
        for entries in log.read_after(applied):
            batch_no = entries[0].batch_no
            if not self._online.apply(log.name, applied, batch_no, rows_of(state, entries)):
                raise StoreUnavailable("the online store lost data while it was being filled")
            self._last_sequence = max(self._last_sequence, entries[-1].sequence)
            applied = batch_no


def rows_of(state: WorkspaceState, entries: Sequence[LogEntry]) -> list[FeatureRow]:
    """The online rows of logged records, for the views that are applied now."""
    views: dict[str, list[AppliedView]] = {}
    for source in state.sources:
        subscribed = state.views_by_source[source.name]
        views[source.id] = [view for view in subscribed if view.online]
    rows = []
    for entry in entries:
        subscribed = views.get(entry.source, [])
        values = msgspec.json.decode(entry.record) if subscribed else {}
        for view in subscribed:
            timestamp = parse_rfc3339(values[view.timestamp_field]) or 0
            rows.append(row_of(view, values, timestamp, entry.sequence))
    return rows


def _numbered(
    group: Sequence[_Waiting], first: int, batch_no: int
) -> tuple[list[LogEntry], list[FeatureRow]]:
    """Log entries and feature rows of a group, in the order of acceptance."""
    entries: list[LogEntry] = []
    rows: list[FeatureRow] = []
    sequence = first
    for waiting in group:
        for record in waiting.records:
            version = waiting.registry_version
            entries.append(LogEntry(record.source.id, sequence, batch_no, version, record.encode()))
            rows += [row._replace(sequence=sequence) for row in record.rows]
            sequence += 1
    return entries, rows


def _sources(state: WorkspaceState, request: IngestRequest) -> list[AppliedSource]:
    """The sources of a request, each able to take records."""
    for name in request.records:
        if name not in state.source_by_name:
            raise NotFound(f"Stream Source {name} not found in workspace {state.name}")
    for name in request.records:
        views = state.views_by_source[name]
        if not request.dry_run and not any(view.online for view in views):
            raise NotFound(
                f"no Feature View with online=True subscribes to Stream Source {name} in "
                f"workspace {state.name}"
            )
    return [state.source_by_name[name] for name in request.records]


def _counts(
    state: WorkspaceState, sources: Sequence[AppliedSource], request: IngestRequest
) -> list[ViewCount]:
    counts = []
    for source in sources:
        count = 0 if request.dry_run else len(request.records[source.name])
        for view in state.views_by_source[source.name]:
            online = count if view.online else 0
            counts.append(ViewCount(view.name, online, count if view.offline else 0))
    return sorted(counts)
