"""The services of the state machines, which can be made to fail, and what is applied there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tecton.adapters.documents import Documents
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import (
    AppliedAggregation,
    AppliedService,
    AppliedSource,
    AppliedView,
    WorkspaceState,
)
from tecton.errors import StoreUnavailable
from tecton.logged import rows_of
from tecton.rescue import Rescue
from tecton.stores import LogEntry, PushLog
from tecton.testing import build_service, build_view
from tecton.types import Field, Int64, String, Timestamp
from tests.api.conftest import World

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

USERS = ("u1", "u2", "ü3")
FIELDS = [
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("part", String),
    Field("amount", Int64),
]


def window(column: str, function: str, over: timedelta, **more: Any) -> AppliedAggregation:
    """An aggregation whose name says all of it."""
    name = "_".join(map(str, (column, function, *more.values(), over // MINUTE)))
    return AppliedAggregation(name=name, column=column, function=function, time_window=over, **more)


WINDOWS = (
    window("amount", "count", DAY),
    window("amount", "last", HOUR),
    window("amount", "sum", 3 * HOUR),
    window("part", "first_distinct", DAY, n=2),
    window("part", "last", DAY, n=3),
)


def views_of(clicks: AppliedSource, start: datetime) -> list[AppliedView]:
    """Views of one source, each kept in other places or by another rule."""

    def view(name: str, **changes: Any) -> AppliedView:
        attributes = {"feature_start_time": start, "ttl": 2 * DAY, **changes}
        return build_view(clicks, name, **attributes)

    return [
        view("newest"),
        view("sums", ttl=None, aggregations=WINDOWS),
        view("only_online", offline=False, ttl=DAY),
        view("only_offline", online=False, ttl=3 * DAY),
    ]


def services_of(views: Sequence[AppliedView]) -> tuple[AppliedService, ...]:
    """One for each view, and one of all that are online."""
    alone = (build_service(view, name=f"only_{view.name}") for view in views)
    return (build_service(*(view for view in views if view.online), name="all"), *alone)


class Shaky:
    """What fails once: `fault` says where, and whether before or after it was done.

    `interrupts` are called once, before anything is done there: "log", "redis".
    """

    def __init__(self) -> None:
        self.fault: tuple[str, str] | None = None
        self.interrupts: dict[str, Callable[[], None]] = {}

    def fails(self, place: str, moment: str) -> None:
        """Fail, if it is there."""
        if moment == "before" and place in self.interrupts:
            self.interrupts.pop(place)()
        if self.fault == (place, moment):
            self.fault = None
            raise StoreUnavailable(f"{place} has failed, {moment} it was done")


class ShakyOnline(RedisOnlineStore):
    """An online store that loses a batch, or the answer to it."""

    shaky: Shaky

    def apply(self, *arguments: Any, **options: Any) -> bool:
        """Offer a batch."""
        self.shaky.fails("redis", "before")
        done = super().apply(*arguments, **options)
        self.shaky.fails("redis", "after")
        return done


class ShakyDocuments(Documents):
    """A push table whose log entry is not put, or is and nobody hears of it."""

    shaky: Shaky

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Put a file."""
        is_entry = path.startswith("_delta_log/")
        if is_entry:
            self.shaky.fails("log", "before")
        done = super().put_if_absent(path, data)
        if is_entry:
            self.shaky.fails("log", "after")
        return done


class Host(World):
    """A service that writes a slot of its own."""

    def __init__(self, folder: Path, redis_url: str, writer: int) -> None:
        self.shaky = Shaky()
        online = ShakyOnline.connect(redis_url)
        online.shaky = self.shaky
        super().__init__(folder, online, redis_url, writer=writer)
        self.rescue = Rescue(self.backend.push_tables, online, self._rows)

    def open_log(self, state: WorkspaceState) -> PushLog:
        """The push log, on a store that can fail."""

        def connect(url: str) -> Documents:
            documents = ShakyDocuments(url)
            documents.shaky = self.shaky
            return documents

        backend, writer = self.backend, self.settings.writer
        return DeltaPushLog.open(self.settings.store, state, writer, backend.checkpointer, connect)

    def _rows(self, state: WorkspaceState, entries: Sequence[LogEntry]) -> Sequence[Any]:
        return self.backend.erasures.served(state, rows_of(state, entries, self.backend.functions))
