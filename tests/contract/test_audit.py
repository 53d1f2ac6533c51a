"""The contract of `stores.AuditLog`, on every implementation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from deltalake import DeltaTable

from tecton.adapters.audit import DeltaAuditLog
from tecton.errors import StoreUnavailable
from tecton.stores import AuditEntry, AuditLog
from tecton.testing import NOW, InMemoryAudit

ENTRY = AuditEntry(NOW, "command line", "alice", "granted role", subject="a" * 16, details="editor")
SUM = AuditEntry(
    at=NOW + timedelta(minutes=1),
    actor_kind="service account",
    actor="b" * 16,
    action="ingested",
    workspace="prod",
    workspace_id="c" * 16,
    subject="clicks",
    since=NOW,
    requests=2,
    records=2**40,
)


@pytest.fixture(params=["memory", "delta"])
def audit(request: pytest.FixtureRequest, tmp_path: Path) -> AuditLog:
    """Every implementation, empty."""
    return InMemoryAudit() if request.param == "memory" else DeltaAuditLog(str(tmp_path))


def test_entries_come_back_as_they_were(audit: AuditLog) -> None:
    """Newest first, every field."""
    assert list(audit.newest(10)) == []
    audit.record([ENTRY, SUM], "s", 1)
    assert list(audit.newest(10)) == [SUM, ENTRY]


def test_newest_are_those_of_the_newest_days(audit: AuditLog) -> None:
    """Across days, up to the limit, of one workspace if asked."""
    days = [
        ENTRY._replace(at=NOW + timedelta(days=n), workspace=("a", "b")[n % 2]) for n in range(6)
    ]
    for number, entry in enumerate(days, 1):
        audit.record([entry], "s", number)
    assert list(audit.newest(2)) == [days[5], days[4]]
    assert list(audit.newest(2, "a")) == [days[4], days[2]]
    assert list(audit.newest(9, "b")) == [days[5], days[3], days[1]]


def test_number_that_is_there_is_not_added_again(audit: AuditLog) -> None:
    """Whoever does not know what became of a call repeats it."""
    for number in (3, 3, 2):
        audit.record([ENTRY], "s", number)
    audit.record([SUM], "t", 1)
    assert len(audit.newest(10)) == 2
    assert audit.last(["s", "t", "u"]) == {"s": 3, "t": 1, "u": 0}


def test_two_who_add_the_same_add_it_once(audit: AuditLog) -> None:
    """At once, each on a handle of its own, the first table included."""
    together = Barrier(4)

    def add(number: int) -> None:
        together.wait()
        audit.record([ENTRY], "same", 1)
        audit.record([SUM], f"own {number}", 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert sorted(entry.action for entry in audit.newest(10)) == ["granted role"] + ["ingested"] * 4


def test_entry_of_another_that_lands_between_look_and_write_is_not_doubled(tmp_path: Path) -> None:
    """The race, played out: this handle's snapshot is older than the other's commit."""

    class Slow(DeltaAuditLog):
        def _opened(self) -> DeltaTable:
            table = super()._opened()
            DeltaAuditLog(str(tmp_path)).record([ENTRY], "s", 1)
            return table

    Slow(str(tmp_path)).record([ENTRY], "s", 1)
    assert len(DeltaAuditLog(str(tmp_path)).newest(10)) == 1


def test_table_can_be_read_and_written_by_spark(tmp_path: Path) -> None:
    """Protocol (1,2), partitioned by date for its maintenance."""
    DeltaAuditLog(str(tmp_path)).record([ENTRY], "s", 1)
    table = DeltaTable(str(tmp_path / "audit"))
    assert table.protocol()[:2] == (1, 2)
    assert table.metadata().partition_columns == ["date"]


def test_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "audit").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="the audit in the store cannot be") as error:
        DeltaAuditLog(str(tmp_path)).record([ENTRY], "s", 1)
    assert "\n" not in str(error.value)
