"""The write path on stores in memory: what happens when one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from tecton.access import AccessState, Grant, ServiceAccount
from tecton.catalog import Catalog
from tecton.errors import (
    AuthorizationFailed,
    NotFound,
    RateLimited,
    RequestError,
    StoreUnavailable,
    WriterFenced,
)
from tecton.ingest import Ingest, IngestRequest, ViewCount
from tecton.logged import rows_of
from tecton.rows import FeatureRow, decode_body, encode_key
from tecton.stores import LogEntry, PushLog
from tecton.testing import (
    AD_FIELDS,
    NOW,
    FixedClock,
    InMemoryAccess,
    InMemoryOnlineStore,
    InMemoryPushLog,
    InMemoryRegistry,
    build_source,
    build_state,
    build_view,
    next_version,
)
from tecton.timestamps import format_micros, micros_of
from tecton.types import Field, String

ACCOUNT = ServiceAccount(id="a" * 16, name="a", secret_sha256="", created_at=NOW)
STATE = build_state()


class Stores:
    """An ingest verb and all that it writes to."""

    def __init__(self, role: str = "editor", max_queued: int = 1000) -> None:
        access = AccessState(version=1, accounts=(ACCOUNT,), grants=(Grant(ACCOUNT.id, role),))
        dev = build_state(name="dev", live=False)
        registry = InMemoryRegistry(STATE, dev)
        catalog = Catalog(registry, InMemoryAccess(access), timedelta(minutes=10))
        catalog.refresh()
        self.registry, self.catalog = registry, catalog
        self.online = Faulty()
        self.log = InMemoryPushLog()
        self.opened = 0
        self.open: Callable[[], PushLog] = self._open
        self.change_slot: Callable[[], bool] = lambda: False
        self.ingest = Ingest(
            catalog,
            lambda _: self.open(),
            self.online,
            FixedClock(),
            max_queued,
            change_slot=lambda _: self.change_slot(),
        )

    def _open(self) -> PushLog:
        self.opened += 1
        return self.log

    def push(self, *users: str, **changes: Any) -> list[ViewCount]:
        stamp = format_micros(micros_of(NOW))
        records = [{"user_id": user, "timestamp": stamp, "clicked": 1} for user in users]
        asked = IngestRequest("prod", False, {"impressions_event_source": records})
        return self.ingest(asked._replace(**changes), ACCOUNT)

    @property
    def logged(self) -> int:
        return len(self.log.entries)

    @property
    def served(self) -> set[str]:
        return {key for _, key in self.online.rows}


class Faulty(InMemoryOnlineStore):
    """Dies between the log and the rows when it is told to."""

    dies_after_log = False

    def apply(
        self,
        log: str,
        previous: int,
        batch_no: int,
        rows: Sequence[FeatureRow],
        sequence: int = 0,
    ) -> bool:
        if self.dies_after_log:
            raise StoreUnavailable("the online store died")
        return super().apply(log, previous, batch_no, rows, sequence)


@pytest.fixture
def stores() -> Iterator[Stores]:
    stores = Stores()
    yield stores
    stores.ingest.close()


def key(user: str) -> str:
    return encode_key([user])


def test_acknowledged_record_is_logged_and_served(stores: Stores) -> None:
    """Both stores have it when the call returns."""
    assert stores.push("u", "v") == [ViewCount("click_events_fv", 2, 2)]
    assert stores.logged == 2
    assert stores.served == {key("u"), key("v")}


def test_online_store_down_refuses_before_anything_is_written(stores: Stores) -> None:
    """The reservation of sequences is the health check."""
    stores.online.is_down = True
    with pytest.raises(StoreUnavailable):
        stores.push("u")
    assert stores.logged == 0
    stores.online.is_down = False
    stores.push("v")
    assert stores.served == {key("v")}


def test_log_down_leaves_the_online_store_as_it_was(stores: Stores) -> None:
    """Nothing is served that is not logged."""
    stores.log.is_down = True
    with pytest.raises(StoreUnavailable):
        stores.push("u")
    assert stores.served == set()
    stores.log.is_down = False
    stores.push("u")
    assert stores.logged == 1


def test_record_logged_without_its_row_is_served_after_the_next_write(stores: Stores) -> None:
    """A store that dies between log and rows is made good before the next batch."""
    stores.online.dies_after_log = True
    with pytest.raises(StoreUnavailable):
        stores.push("lost")
    assert stores.logged == 1
    with pytest.raises(StoreUnavailable):
        stores.push("refused")
    assert stores.logged == 1
    stores.online.dies_after_log = False
    stores.push("next")
    assert stores.served == {key("lost"), key("next")}


def test_catching_up_needs_no_further_write(stores: Stores) -> None:
    """What the log holds and the online store lacks is offered by the next beat of the service."""
    stores.online.dies_after_log = True
    with pytest.raises(StoreUnavailable):
        stores.push("lost")
    stores.online.dies_after_log = False
    stores.ingest.recover()
    assert stores.served == {key("lost")}


def test_batch_of_unknown_outcome_is_served_and_the_next_one_numbered_after_it() -> None:
    """The number in the rows is the number of the batch, also after a failed append."""
    stores = Stores()

    class Late(InMemoryPushLog):
        """Its first append comes through without an answer; only `settle` sees it."""

        late: list[LogEntry] | None = None

        def append(self, entries: Sequence[LogEntry], accepted_at: Any) -> None:
            if self.late is None:
                self.late = list(entries)
                raise StoreUnavailable("no answer in time")
            super().append(entries, accepted_at)

        def settle(self, now: Any) -> int:
            if self.late:
                self.batches.append(self.late)
                self.late = []
            return self.last_batch

    stores.log = Late()
    with pytest.raises(StoreUnavailable):
        stores.push("late")
    stores.push("next")
    assert [entry.batch_no for entry in stores.log.entries] == [1, 2]
    assert stores.served == {key("late"), key("next")}
    stores.ingest.close()


def test_record_from_before_a_column_was_added_is_replayed_with_null() -> None:
    """A log that is older than the schema never stops the service."""
    source = build_source(fields=[*AD_FIELDS, Field("extra", String)])
    view = build_view(source)
    entry = LogEntry(source.id, 7, 1, 1, b'{"user_id":"u","timestamp":"2023-01-03T00:00:00Z"}')
    keyless = entry._replace(record=b'{"timestamp":"2023-01-03T00:00:00Z"}')
    timeless = entry._replace(record=b'{"user_id":"u","clicked":1}')
    (row,) = rows_of(build_state([source], [view]), [entry, keyless, timeless])
    assert (row.key, row.sequence, row.body) == (key("u"), 7, b"[null,null]")


def test_limit_that_was_lowered_drops_nothing_from_the_log() -> None:
    """What was taken under a greater limit is replayed whole."""
    source = build_source(fields=[*AD_FIELDS, Field("text", String)])
    view = build_view(source)
    long = "x" * 200_000
    logged = {"user_id": "u", "timestamp": "2023-01-03T00:00:00Z", "clicked": 1, "text": long}
    entry = LogEntry(source.id, 7, 1, 1, msgspec.json.encode(logged))
    (row,) = rows_of(build_state([source], [view]), [entry])
    assert decode_body(row.body) == [1, long]


def test_retry_after_a_lost_answer_counts_once(stores: Stores) -> None:
    """The same event again replaces itself: one row, the same value."""
    stores.push("u")
    stores.push("u")
    assert len(stores.online.rows) == 1


def test_queue_is_bounded() -> None:
    """Records beyond the bound are refused while others wait, and taken afterwards."""
    stores = Stores(max_queued=2)
    entered, release = Event(), Event()

    class Slow(InMemoryPushLog):
        def append(self, entries: Sequence[LogEntry], accepted_at: Any) -> None:
            entered.set()
            release.wait(10)
            super().append(entries, accepted_at)

    stores.log = Slow()
    first = Thread(target=stores.push, args=("a", "b"))
    first.start()
    assert entered.wait(10)
    with pytest.raises(RateLimited):
        stores.push("c")
    release.set()
    first.join()
    stores.push("c")
    assert stores.served == {key("a"), key("b"), key("c")}
    stores.ingest.close()


def test_view_that_is_applied_while_a_record_waits_has_it() -> None:
    """The view's backfill reads the log and may have ended by the time that the record is in it."""
    stores = Stores()
    later = build_view(STATE.sources[0], "later_fv")
    without = next_version(STATE, views=(later,), services=())

    class Slow(InMemoryPushLog):
        """Definitions change before its append has ended."""

        def append(self, entries: Sequence[LogEntry], accepted_at: Any) -> None:
            stores.registry.commit(without)
            stores.catalog.refresh()
            super().append(entries, accepted_at)

    stores.log = Slow()
    assert stores.push("u") == [ViewCount("click_events_fv", 1, 1)]
    assert set(stores.online.rows) == {(later.id, key("u"))}
    (sequence,) = (row.sequence for row in stores.online.rows.values())
    assert sequence == stores.log.entries[0].sequence
    stores.ingest.close()


def test_closed_service_has_finished_what_it_accepted(stores: Stores) -> None:
    """Closing waits for the committer; afterwards nothing is taken."""
    stores.push("u")
    stores.ingest.close()
    assert stores.logged == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"workspace": "nobody"}, NotFound),
        ({"workspace": "dev"}, RequestError),
        ({"records": {"x": [{}]}}, NotFound),
    ],
)
def test_refused_request_opens_no_log(
    stores: Stores, changes: dict[str, Any], error: type[Exception]
) -> None:
    """A 4xx touches no store."""
    with pytest.raises(error):
        stores.push("u", **changes)
    assert (stores.opened, stores.online.rows) == (0, {})


def test_role_is_checked_before_the_source() -> None:
    """A caller without a role learns nothing of what a workspace holds."""
    stores = Stores(role="viewer")
    with pytest.raises(AuthorizationFailed):
        stores.push("u", records={"x": [{}]})


class Taken(InMemoryPushLog):
    """A log that somebody else takes over before its next append."""

    def settle(self, now: Any) -> int:
        raise WriterFenced("somebody else has it")


def test_writer_that_is_fenced_off_goes_on_in_another_slot(stores: Stores) -> None:
    """The waiting request notices nothing; its records are logged once, by the new log."""
    slots = iter([True])
    stores.change_slot = lambda: next(slots)
    stores.log = Taken()

    def open_next() -> PushLog:
        stores.opened += 1
        return stores.log if stores.opened == 1 else second

    second = InMemoryPushLog("second")
    stores.open = open_next
    assert stores.push("u") == [ViewCount("click_events_fv", 1, 1)]
    assert (len(second.entries), stores.logged, stores.opened) == (1, 0, 2)
    assert stores.served == {key("u")}


def test_writer_without_another_slot_stays_fenced(stores: Stores) -> None:
    """Appending again would be a second writer."""
    stores.log = Taken()
    for _ in range(2):
        with pytest.raises(WriterFenced):
            stores.push("u")
    assert stores.opened == 1


def test_rows_that_were_deleted_from_the_log_leave_no_gap(stores: Stores) -> None:
    """The watermark goes on to the end, so that the same is not looked for again."""

    class Pruned(InMemoryPushLog):
        reads = 0

        def read_after(self, batch_no: int) -> Iterator[Sequence[LogEntry]]:
            self.reads += 1
            yield from self.batches[max(batch_no, 2) :]

    log = stores.log = Pruned()
    stores.push("a")
    stores.push("b")
    stores.online.flush()
    stores.ingest.recover()
    stores.ingest.recover()
    assert (log.reads, stores.served) == (1, set())
    stores.push("c")
    assert stores.online.applied_batch(log.name) == 3
