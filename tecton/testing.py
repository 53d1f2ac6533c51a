"""
What tests need of a feature store: stores in memory, builders of applied values, a fixed clock.

Public, for the tests of users too. The stores keep the contracts of `tecton.stores`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta, timezone
from threading import Lock
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tecton.access import AccessState
from tecton.applied import (
    AppliedEntity,
    AppliedFunction,
    AppliedService,
    AppliedSource,
    AppliedView,
    Column,
    ServiceFeatures,
    WorkspaceState,
    new_id,
    workspace_of_log,
)
from tecton.attempts import fold
from tecton.errors import Conflict, JobFailed, StoreUnavailable, ViewNotLoaded
from tecton.names import EVENT_COLUMN
from tecton.rows import FeatureRow
from tecton.stores import (
    NOTHING_REACHED,
    SUCCESS,
    WINDOWED_MICROS,
    Aggregated,
    AuditEntry,
    Doubt,
    Job,
    LogEntry,
    Reached,
    Run,
    StagedBatch,
    Stored,
)
from tecton.tombstones import accepted_micros
from tecton.types import Field, Int64, String, Timestamp
from tecton.windows import algebra_of, unpack

NOW = datetime(2023, 1, 3, 12, 0, tzinfo=timezone.utc)
"""Noon on the day after the documentation's newest record."""

AD_FIELDS = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("clicked", Int64),
)
"""The schema of the documentation's example."""


class FixedClock:
    """A clock that stands until it is told to move on."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self.at += by


class InMemoryRegistry:
    """`stores.Registry` in memory."""

    def __init__(self, *states: WorkspaceState) -> None:
        self._versions: dict[tuple[str, int], WorkspaceState] = {}
        for state in states:
            self._versions[state.name, state.version] = state

    def workspaces(self) -> Sequence[str]:
        """Names of the workspaces that ever were, sorted."""
        return sorted({name for name, _ in self._versions})

    def latest(self, workspace: str) -> WorkspaceState | None:
        """The newest version; None if there never was one."""
        versions = [version for name, version in self._versions if name == workspace]
        return self._versions[workspace, max(versions)] if versions else None

    def at(self, workspace: str, version: int) -> WorkspaceState | None:
        """One version."""
        return self._versions.get((workspace, version))

    def commit(self, state: WorkspaceState) -> None:
        """Store the next version."""
        latest = self.latest(state.name)
        if self.at(state.name, state.version) == state:
            return
        if state.version != (latest.version if latest else 0) + 1:
            raise Conflict(f"version {state.version} of workspace {state.name} is not the next")
        self._versions[state.name, state.version] = state


class InMemoryAccess:
    """`stores.AccessStore` in memory."""

    def __init__(self, state: AccessState | None = None) -> None:
        self._state = state or AccessState()
        self._versions = {self._state.version: self._state} if state else {}

    def latest(self) -> AccessState:
        """The newest version; version 0 is empty."""
        return self._state

    def at(self, version: int) -> AccessState | None:
        """One version; None if there is none."""
        return self._versions.get(version)

    def commit(self, state: AccessState) -> None:
        """Store the next version."""
        if state == self._state:
            return
        if state.version != self._state.version + 1:
            raise Conflict(f"version {state.version} of access control is not the next")
        self._state = self._versions[state.version] = state


class InMemoryAudit:
    """`stores.AuditLog` in memory. `entries` is what it holds, in the order of their coming."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.is_down = False
        self._last: dict[str, int] = {}

    def last(self, streams: Sequence[str]) -> Mapping[str, int]:
        """The greatest number that each stream has."""
        self._check()
        return {stream: self._last.get(stream, 0) for stream in streams}

    def record(self, entries: Sequence[AuditEntry], stream: str, number: int) -> None:
        """Add entries, once."""
        self._check()
        if self._last.get(stream, 0) < number:
            self._last[stream] = number
            self.entries.extend(entries)

    def newest(self, limit: int, workspace: str | None = None) -> Sequence[AuditEntry]:
        """The newest entries, newest first."""
        self._check()
        chosen = [e for e in self.entries if workspace in (None, e.workspace)]
        return sorted(chosen, key=lambda entry: entry.at, reverse=True)[:limit]

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the audit is down")


class _Counter(NamedTuple):
    """The sequences of a workspace: `adapters/reserve.lua` tells what each field is for."""

    last: int = 0
    server: str = ""
    life: str = ""
    sure: str | None = None


class InMemoryOnlineStore:
    """`stores.OnlineStore` in memory. `rows` is what it holds, by (view, key)."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], FeatureRow] = {}
        self.windows = InMemoryWindows()
        self.is_down = False
        self._loaded: set[str] = set()
        self._loads: set[tuple[str, str]] = set()
        self._reached: dict[str, Reached] = {}
        self._applied: dict[str, int] = {}
        self._counters: dict[str, _Counter] = {}
        self._server = new_id()

    def reserve(
        self, workspace: str, count: int, now: int, given: int, life: str = ""
    ) -> int | Doubt:
        """Take *count* new sequences."""
        self._check()
        counter = self._counters.get(workspace, _Counter())
        is_sure = counter.life == counter.sure
        if counter.server != self._server or (is_sure and counter.last < given):
            counter = _Counter(counter.last, self._server, new_id())
            is_sure = False
        if not is_sure and counter.life != life:
            self._counters[workspace] = counter
            return Doubt(counter.life)
        first = max(counter.last + 1, now, given + 1)
        self._counters[workspace] = counter._replace(last=first + count - 1, sure=counter.life)
        return first

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer rows."""
        self._check()
        for row in rows:
            stored = self.rows.get((row.view, row.key))
            if row.event is not None:
                self.windows.upsert([row])
            elif stored is None or row.order > stored.order:
                self.rows[row.view, row.key] = row

    def apply(
        self,
        log: str,
        previous: int,
        batch_no: int,
        rows: Sequence[FeatureRow],
        sequence: int = 0,
    ) -> bool:
        """Offer the rows of one batch, if all before it were offered."""
        self._check()
        counter = self._counters.get(workspace := workspace_of_log(log), _Counter())
        self._counters[workspace] = counter._replace(last=max(counter.last, sequence))
        applied = self._applied.get(log, 0)
        if applied < previous:
            return False
        self.upsert(rows)
        self._applied[log] = max(applied, batch_no)
        return True

    def applied_batch(self, log: str) -> int:
        """The newest batch of *log* up to which all are applied."""
        self._check()
        return self._applied.get(log, 0)

    def read(self, keys: Sequence[tuple[str, str]]) -> Sequence[Stored | None]:
        """The newest row for each (view, key)."""
        self._check_loaded(view for view, _ in keys)
        found = [self.rows.get(key) for key in keys]
        return [row and Stored(row.timestamp, row.sequence, row.body) for row in found]

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """The aggregates of each (view, key)."""
        self._check_loaded(view.online_id for view, _ in keys)
        return self.windows.aggregate(keys, now)

    def tidy(self) -> int:
        """Nothing is ever untidy here."""
        return self.windows.tidy()

    def erase(self, view: AppliedView, keys: Sequence[str], sequence: int) -> None:
        """Delete what was accepted of some join keys up to *sequence*."""
        self._check()
        for key in keys:
            row = self.rows.get((view.online_id, key))
            if row is not None and accepted_micros(row.sequence) <= sequence:
                del self.rows[view.online_id, key]
            events = self.windows.events.get((view.online_id, key), {})
            for place in [p for p, e in events.items() if accepted_micros(e.sequence) <= sequence]:
                del events[place]

    def keys(self, view: str) -> Iterator[str]:
        """The join keys of which there is something in a view."""
        self._check()
        yield from [key for name, key in [*self.rows, *self.windows.events] if name == view]

    def begin_load(self, view: str) -> str:
        """Say that all rows of a view are going to be offered."""
        self._check()
        self._loads.add((view, load := new_id()))
        return load

    def mark_loaded(
        self, views: Sequence[str], load: str | None = None, reached: Reached = NOTHING_REACHED
    ) -> None:
        """Say that all rows of these views are there."""
        self._check()
        if load is not None and not {(view, load) for view in views} <= self._loads:
            raise StoreUnavailable("the online store has lost data since the load began")
        for view in views:
            self.advance(view, reached)
        self._loaded.update(views)

    def unmark(self, views: Sequence[str]) -> None:
        """Take the marks of loaded views away."""
        self._check()
        self._loaded -= set(views)

    def advance(self, view: str, reached: Reached, load: str | None = None) -> None:
        """Say how far a view has come."""
        self._check()
        if load is not None and (view, load) not in self._loads:
            raise StoreUnavailable("the online store has lost data since the load began")
        self._loads.discard((view, load or ""))
        known = self._reached.get(view, Reached())
        self._reached[view] = Reached(*map(max, known, reached))

    def reached(self, views: Sequence[str]) -> Sequence[Reached]:
        """How far views have come."""
        self._check()
        return [self._reached.get(view, Reached()) for view in views]

    def unloaded(self, views: Sequence[str]) -> Sequence[str]:
        """Those of *views* that are not marked as loaded."""
        self._check()
        return [view for view in views if view not in self._loaded]

    def forget(self, views: Sequence[str]) -> int:
        """Delete all that there is of views."""
        self._check()
        self.unmark(views)
        self._reached = {view: far for view, far in self._reached.items() if view not in views}
        self._loads = {load for load in self._loads if load[0] not in views}
        gone = [key for key in [*self.rows, *self.windows.events] if key[0] in views]
        for key in gone:
            self.rows.pop(key, None)
            self.windows.events.pop(key, None)
        return len(gone)

    def flush(self) -> None:
        """Lose everything, as an emptied Redis does."""
        self.__init__()  # type: ignore[misc]  # exactly a new one

    def saved(self) -> Mapping[str, Any]:
        """What it holds now, for `restore`; like a snapshot on a disk."""
        kept = ("rows", "_loaded", "_applied", "_counters", "_reached")
        return {name: copy(getattr(self, name)) for name in kept} | {
            "windows": {place: dict(events) for place, events in self.windows.events.items()}
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Hold what it held once, as a Redis that starts from an old snapshot."""
        self.flush()
        for name, value in saved.items():
            if name != "windows":
                setattr(self, name, copy(value))
        self.windows.events = {place: dict(one) for place, one in saved["windows"].items()}

    def _check_loaded(self, views: Iterable[str]) -> None:
        self._check()
        if not set(views) <= self._loaded:
            raise ViewNotLoaded("a view is not loaded")

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the online store is down")


class InMemoryWindows:
    """`stores.WindowStore` in memory; it takes every view as loaded.

    `events` is what it holds, by (view, key) and by (timestamp, identity).
    """

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[tuple[int, bytes], FeatureRow]] = {}
        self.is_down = False
        self._lock = Lock()

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer events."""
        self._check()
        for row in rows:
            if row.event is not None and row.timestamp in WINDOWED_MICROS:
                with self._lock:
                    events = self.events.setdefault((row.view, row.key), {})
                    stored = events.setdefault((row.timestamp, row.event.identity), row)
                    if _window_order(row) > _window_order(stored):
                        events[row.timestamp, row.event.identity] = row

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """The aggregates of each (view, key), from all of its events."""
        self._check()
        with self._lock:
            found = [dict(self.events.get((view.online_id, key), {})) for view, key in keys]
        return [
            _aggregated(view, events, now) for (view, _), events in zip(keys, found, strict=True)
        ]

    def tidy(self) -> int:
        """Nothing makes reads cheaper here."""
        return 0

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the online store is down")


def _window_order(row: FeatureRow) -> tuple[int, int, bytes]:
    return (row.sequence, row.event.tie if row.event else 0, row.body)


def _aggregated(
    view: AppliedView, events: Mapping[tuple[int, bytes], FeatureRow], now: int
) -> Aggregated | None:
    if not events:
        return None
    places, rows = zip(*events.items(), strict=True)
    algebra = algebra_of(view)
    at = max(now, *(timestamp for timestamp, _ in places))
    unpacked = unpack(
        algebra.layout,
        np.array([timestamp for timestamp, _ in places], np.int64),
        [row.body for row in rows],
        np.array([row.sequence for row in rows], np.int64),
        np.array([row.event.tie if row.event else 0 for row in rows], np.int64),
        np.array([int.from_bytes(identity, "big") for _, identity in places], np.uint64),
    )
    values = algebra.answer(at, unpacked.ordered())
    return None if values is None else Aggregated(at, values)


class InMemoryPushLog:
    """`stores.PushLog` in memory. `batches` is what it holds."""

    def __init__(self, name: str = "log") -> None:
        self.name = name
        self.batches: list[list[LogEntry]] = []
        self.is_down = False
        self.is_far = False

    @property
    def last_batch(self) -> int:
        """The number of the newest batch, 0 for none."""
        return len(self.batches)

    @property
    def entries(self) -> list[LogEntry]:
        """All that was accepted, in order."""
        return [entry for batch in self.batches for entry in batch]

    def settle(self, now: datetime) -> int:
        """Nothing is ever unknown here."""
        return self.last_batch

    def stage(self, entries: Sequence[LogEntry], accepted_at: datetime) -> StagedBatch:
        """Nothing is kept."""
        return StagedBatch(entries[0].batch_no, b"")

    def append(
        self,
        entries: Sequence[LogEntry],
        accepted_at: datetime,
        staged: StagedBatch | None = None,
    ) -> None:
        """Keep one batch."""
        if self.is_down:
            raise StoreUnavailable("the push log is down")
        if {entry.batch_no for entry in entries} != {self.last_batch + 1}:
            raise ValueError(f"the entries must be those of batch {self.last_batch + 1}")
        self.batches.append(list(entries))

    def read_after(self, batch_no: int) -> Iterator[Sequence[LogEntry]]:
        """The batches above *batch_no*."""
        yield from self.batches[batch_no:]

    def close(self) -> None:
        """Nothing is held open."""


class InMemoryRuns:
    """`stores.RunLog` in a list."""

    def __init__(self) -> None:
        self.rows: list[Run] = []

    def record(self, *runs: Run) -> None:
        """Add rows."""
        self.rows.extend(runs)

    def of(self, workspace: str) -> Sequence[Run]:
        """The attempts that ended well."""
        done = [run for run in self.attempts(workspace) if run.state == SUCCESS]
        return sorted(done, key=lambda run: run.ended)

    def attempts(self, workspace: str) -> Sequence[Run]:
        """All attempts, each as far as it has come."""
        return fold(run for run in self.rows if run.workspace == workspace)

    def merged(self, workspace: str) -> Sequence[Run]:
        """The same."""
        return self.attempts(workspace)


class RecordingLauncher:
    """`stores.JobLauncher` that runs nothing and remembers what it was asked to run.

    Args:
        lines: What each job reports.
        failure: If given, each job fails with this message after its lines.
    """

    def __init__(self, lines: Sequence[str] = (), failure: str | None = None) -> None:
        self.lines = tuple(lines)
        self.failure = failure
        self.jobs: list[Job] = []
        self.started: list[Job] = []
        self.environ: dict[str, str] = {}

    def run(self, job: Job, environ: Mapping[str, str]) -> Iterator[str]:
        """Remember *job*, report the lines."""
        self.jobs.append(job)
        self.environ = dict(environ)
        yield from self.lines
        if self.failure is not None:
            raise JobFailed(self.failure)

    def start(self, job: Job, environ: Mapping[str, str]) -> str:
        """Remember *job* as started; returns where its log would be."""
        self.started.append(job)
        self.environ = dict(environ)
        return "no log"


def build_source(
    name: str = "impressions_event_source", fields: Sequence[Field] = AD_FIELDS, **changes: Any
) -> AppliedSource:
    """An applied stream source, by default the documentation's.

    Args:
        name: Its name.
        fields: The schema.
        changes: Other attributes of `AppliedSource`.
    """
    columns = tuple(Column.of(field) for field in fields)
    return AppliedSource(**{"name": name, "id": new_id(), "columns": columns, **changes})


def build_view(
    source: AppliedSource | None = None,
    name: str = "click_events_fv",
    join_keys: Sequence[str] = ("user_id",),
    timestamp_field: str = "timestamp",
    **changes: Any,
) -> AppliedView:
    """An applied view, by default the documentation's: online and offline, a ttl of 7 days.

    Args:
        source: Where its records come from; default: `build_source()`.
        name: Its name.
        join_keys: Columns of the source.
        timestamp_field: A column of the source.
        changes: Other attributes of `AppliedView`; `columns` are all others of the source.
    """
    source = source or build_source()
    by_name = {column.name: column for column in source.columns}
    apart = {*join_keys, timestamp_field}
    attributes = {
        "name": name,
        "id": new_id(),
        "since_version": 1,
        "applied_at": NOW - timedelta(days=1),
        "source": source.name,
        "entities": ("user",),
        "join_keys": tuple(by_name[key] for key in join_keys),
        "timestamp_field": timestamp_field,
        "columns": tuple(column for column in source.columns if column.name not in apart),
        "event_key": source.event_key,
        "online": True,
        "offline": True,
        "feature_start_time": datetime(2022, 1, 1, tzinfo=timezone.utc),
        "ttl": timedelta(days=7),
    }
    return AppliedView(**{**attributes, **changes})


def build_function_view(
    source: AppliedSource,
    function: str,
    fields: Sequence[Field],
    mode: str = "python",
    join_keys: Sequence[str] = ("user_id",),
    timestamp_field: str = "timestamp",
    **changes: Any,
) -> AppliedView:
    """An applied view with a transformation.

    Args:
        source: Where its records come from.
        function: Its text, with a function `fv` in it.
        fields: The schema of the rows that it returns.
        mode: "python" or "pandas".
        join_keys: Columns of *fields*.
        timestamp_field: A column of *fields*.
        changes: Other attributes of `AppliedView`.
    """
    by_name = {field.name: field for field in fields}
    types = {column.name: column.type for column in source.columns}
    apart = {*join_keys, timestamp_field}
    names = {name: EVENT_COLUMN.format(name=name) for name in source.event_key}
    attributes = {
        "join_keys": (),
        "columns": tuple(Column.of(field) for field in fields if field.name not in apart),
        "event_key": tuple(names.values()),
        "event_columns": tuple(Column(column, types[name]) for name, column in names.items()),
        "function": AppliedFunction(name="fv", mode=mode, source=function),
    }
    keys = tuple(Column.of(by_name[key]) for key in join_keys)
    view = build_view(source, **{**attributes, "timestamp_field": timestamp_field, **changes})
    return msgspec.structs.replace(view, join_keys=keys)


def build_service(*views: AppliedView, name: str = "ad_ctr_feature_service") -> AppliedService:
    """An applied feature service of all features of *views*."""
    return AppliedService(
        name=name,
        views=tuple(
            ServiceFeatures(
                view=view.name,
                namespace=view.name,
                features=tuple(feature.name for feature in view.features),
            )
            for view in sorted(views, key=lambda view: view.name)
        ),
    )


def build_state(
    sources: Sequence[AppliedSource] | None = None,
    views: Sequence[AppliedView] | None = None,
    services: Sequence[AppliedService] | None = None,
    **changes: Any,
) -> WorkspaceState:
    """A live workspace `prod` at version 1, by default with the documentation's example.

    Args:
        sources: Default: `build_source()`.
        views: Default: one view of each source.
        services: Default: one service of all views.
        changes: Other attributes of `WorkspaceState`.
    """
    if sources is None:
        sources = [build_source()]
    if views is None:
        views = [build_view(source) for source in sources]
    if services is None:
        services = [build_service(*views)]
    attributes = {
        "name": "prod",
        "id": new_id(),
        "live": True,
        "version": 1,
        "applied_at": NOW - timedelta(days=1),
        "entities": (AppliedEntity(name="user", join_keys=("user_id",)),),
        "sources": tuple(sources),
        "views": tuple(views),
        "services": tuple(services),
    }
    return WorkspaceState(**{**attributes, **changes})


def next_version(state: WorkspaceState, **changes: Any) -> WorkspaceState:
    """*state* as the version after it, with changes."""
    return msgspec.structs.replace(state, version=state.version + 1, **changes)
