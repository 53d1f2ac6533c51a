"""Of two pushes the later one is the one that is sent after the other's answer, always."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tecton.access import AccessState, Grant, ServiceAccount
from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.erasures import DeltaErasures
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.push_tables import DeltaPushTables
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.catalog import Catalog
from tecton.ingest import Ingest, IngestRequest
from tecton.rows import encode_key
from tecton.testing import (
    FixedClock,
    InMemoryAccess,
    InMemoryRegistry,
    build_source,
    build_state,
    build_view,
)
from tecton.timestamps import format_micros, micros_of
from tests.redis_places import Place

NOW = datetime.now(timezone.utc).replace(microsecond=0)
BEHIND = timedelta(minutes=10)
SOURCE = build_source(name="clicks")
STATE = build_state([SOURCE], [build_view(SOURCE)])
VIEW = STATE.views[0].id
ACCOUNT = ServiceAccount(id="a" * 16, name="a", secret_sha256="", created_at=NOW)


class Service:
    """One process of several on a store and a Redis, with a clock of its own."""

    def __init__(self, store: Path, redis_url: str, writer: int, now: datetime) -> None:
        self.online = RedisOnlineStore.connect(redis_url)
        self.checkpointer = Checkpointer()
        self.tables = DeltaPushTables(str(store))
        access = AccessState(version=1, accounts=(ACCOUNT,), grants=(Grant(ACCOUNT.id, "editor"),))
        catalog = Catalog(InMemoryRegistry(STATE), InMemoryAccess(access), timedelta(minutes=30))
        catalog.refresh()
        self.ingest = Ingest(
            catalog,
            lambda state: DeltaPushLog.open(str(store), state, writer, self.checkpointer),
            self.online,
            FixedClock(now),
            1000,
            erasures=DeltaErasures(str(store)),
            tables=self.tables,
        )

    def push(self, clicked: int, user: str = "u") -> None:
        """Send one event, always of the same time."""
        stamp = format_micros(micros_of(NOW))
        records = [{"user_id": user, "timestamp": stamp, "clicked": clicked}]
        self.ingest(IngestRequest("prod", False, {"clicks": records}), ACCOUNT)

    def close(self) -> None:
        self.ingest.close()
        self.checkpointer.close()


@pytest.fixture
def services(place: Place, tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    """Two, the clock of the second one ten minutes behind."""
    first = Service(tmp_path, place.url, 0, NOW)
    second = Service(tmp_path, place.url, 1, NOW - BEHIND)
    first.online.mark_loaded([VIEW])
    yield first, second
    first.close()
    second.close()


def sequences(service: Service) -> dict[str, int]:
    found = {}
    for writer in service.tables.writers(STATE):
        for batch in service.tables.read_after(STATE, writer, 0):
            found.update({entry.record.decode(): entry.sequence for entry in batch})
    return found


def test_later_push_wins_after_redis_was_emptied(
    services: tuple[Service, Service], place: Place
) -> None:
    first, second = services
    first.push(1)
    place.flush()
    first.online.mark_loaded([VIEW])
    second.push(2)
    first.ingest.recover()
    [stored] = first.online.read([(VIEW, encode_key(["u"]))])
    assert stored is not None
    assert stored.body == b"[2]"
