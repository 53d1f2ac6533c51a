"""
The write path: check everything, have it committed, answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

from tecton.access import Role, ServiceAccount
from tecton.applied import AppliedSource, WorkspaceState
from tecton.catalog import Catalog
from tecton.committer import Clock, Committer
from tecton.errors import InvalidRecords, NotFound, RecordProblem, RequestError, Unavailable
from tecton.failpoints import Point, reach
from tecton.functions.transformation import FunctionRunner, NoFunctions
from tecton.rows import Record
from tecton.schema import MAX_MESSAGES
from tecton.sequences import last_logged
from tecton.stores import Erasures, OnlineStore, PushLog, PushTables
from tecton.timestamps import micros_of
from tecton.transforming import with_returned
from tecton.types import cut

MAX_NAMED_PROBLEMS = 500
"""Above this only the first problem of each record is named, so that every record still is, and a
refusal costs no more than taking the request would have (benchmarks/rejections.py)."""


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
        functions: Runs the functions of views.
        change_slot: Is called when somebody else has taken a workspace's log over; answers whether
            `open_log` will open another one.
        erasures: Which join keys were erased; None: none were.
        tables: The push tables of all writers; None: there are no others.
    """

    def __init__(
        self,
        catalog: Catalog,
        open_log: Callable[[WorkspaceState], PushLog],
        online: OnlineStore,
        clock: Clock,
        max_queued: int,
        functions: FunctionRunner = NoFunctions(),  # noqa: B008  # immutable
        change_slot: Callable[[WorkspaceState], bool] = lambda _: False,
        erasures: Erasures | None = None,
        tables: PushTables | None = None,
    ) -> None:
        self._catalog = catalog
        self._open_log = open_log
        self._online = online
        self._clock = clock
        self._max_queued = max_queued
        self._functions = functions
        self._erasures = erasures
        self._tables = tables
        self._change_slot = change_slot
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
            raise NotFound(f"workspace {cut(request.workspace)} not found")
        self._catalog.require(account, state, Role.VIEWER if request.dry_run else Role.EDITOR)
        if not request.dry_run and not state.live:
            raise RequestError(
                f"workspace {state.name} is not live: only a dry run can be sent to a development "
                "workspace"
            )
        sources = _sources(state, request)
        if request.dry_run:
            _, returned = self._check(state, sources, request)
        else:
            committer = self._committer(state)
            with committer.room(sum(map(len, request.records.values()))):
                records, returned = self._check(state, sources, request)
                reach(Point.VALIDATED)
                committer.take(records, state.version)
        return _counts(state, sources, request, returned)

    def queued(self) -> Mapping[str, int]:
        """How many records wait for a commit, by workspace."""
        names = {state.id: state.name for state in self._catalog.workspaces()}
        with self._lock:
            committers = dict(self._committers)
        return {names[key]: one.queued for key, one in committers.items() if key in names}

    def recover(self) -> None:
        """
        Bring the online store up to this process's push logs, and let go of deleted workspaces.

        Costs little when there is nothing to do.

        Raises:
            Unavailable: Of one or more workspaces it could not be done; of the others it was.
        """
        states = {state.id: state for state in self._catalog.workspaces() if state.live}
        with self._lock:
            gone = [self._committers.pop(key) for key in self._committers.keys() - states.keys()]
        for committer in gone:
            committer.close()
        failures = [self._failure(state) for state in states.values() if state.views]
        for failure in filter(None, failures):
            raise failure

    def close(self) -> None:
        """Finish what was accepted, then stop."""
        with self._lock:
            committers = list(self._committers.values())
            self._committers.clear()
        for committer in committers:
            committer.close()

    def _failure(self, state: WorkspaceState) -> Unavailable | None:
        try:
            self._committer(state).catch_up()
        except Unavailable as exc:
            return exc
        return None

    def _check(
        self, state: WorkspaceState, sources: Sequence[AppliedSource], request: IngestRequest
    ) -> tuple[list[Record], Mapping[str, int]]:
        """The records, and how many rows each view with a function has of them."""
        now = micros_of(self._clock())
        records: list[Record] = []
        problems: list[RecordProblem] = []
        counts: dict[str, int] = {}
        for source in sources:
            checker = self._catalog.checker(state, source)
            taken: dict[int, Record] = {}
            for index, raw in enumerate(request.records[source.name]):
                most = MAX_MESSAGES if len(problems) <= MAX_NAMED_PROBLEMS else 1
                result = checker.check(raw, index, now, most)
                if isinstance(result, Record):
                    taken[index] = result
                else:
                    problems += result
            returned = with_returned(checker, self._functions, taken, now)
            records += returned.records
            problems += returned.problems
            counts.update(returned.counts)
        if problems:
            raise InvalidRecords(state.name, problems)
        return records, counts

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
                    functions=self._functions,
                    erasures=self._erasures,
                    change_slot=lambda: self._change_slot(state),
                    logged=lambda: last_logged(self._tables, self._erasures, state),
                )
            return committer


def _sources(state: WorkspaceState, request: IngestRequest) -> list[AppliedSource]:
    """The sources of a request, each able to take records."""
    for name in request.records:
        if name not in state.source_by_name:
            raise NotFound(f"Stream Source {cut(name)} not found in workspace {state.name}")
    for name in request.records:
        views = state.views_by_source[name]
        if not request.dry_run and not any(view.online for view in views):
            raise NotFound(
                f"no Feature View with online=True subscribes to Stream Source {name} in "
                f"workspace {state.name}"
            )
    return [state.source_by_name[name] for name in request.records]


def _counts(
    state: WorkspaceState,
    sources: Sequence[AppliedSource],
    request: IngestRequest,
    returned: Mapping[str, int],
) -> list[ViewCount]:
    counts = []
    for source in sources:
        records = len(request.records[source.name])
        for view in state.views_by_source[source.name]:
            count = 0 if request.dry_run else returned.get(view.name, records)
            online = count if view.online else 0
            counts.append(ViewCount(view.name, online, count if view.offline else 0))
    return sorted(counts)
