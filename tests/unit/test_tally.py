"""What is ingested, summed up for the audit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

import ingest_api.tally
from ingest_api.tally import Tally
from tecton.errors import StoreUnavailable
from tecton.stores import AuditEntry
from tecton.testing import NOW, FixedClock, InMemoryAudit

MINUTE = timedelta(minutes=1)


@pytest.fixture
def audit() -> InMemoryAudit:
    return InMemoryAudit()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def tally(audit: InMemoryAudit, clock: FixedClock) -> Tally:
    return Tally(audit, clock)


def sums(audit: InMemoryAudit) -> list[tuple[object, ...]]:
    return [(e.actor, e.workspace, e.subject, e.requests, e.records) for e in audit.entries]


def test_requests_of_one_account_to_one_source_are_one_entry(
    audit: InMemoryAudit, clock: FixedClock, tally: Tally
) -> None:
    """Never a row per request; from the first one until the flush."""
    for number in range(100):
        tally.add("a", "prod", "id", {"clicks": 2, "views": number})
        clock.advance(timedelta(milliseconds=10))
    tally.add("b", "prod", "id", {"clicks": 1})
    tally.flush()
    assert sums(audit) == [
        ("a", "prod", "clicks", 100, 200),
        ("a", "prod", "views", 100, 4950),
        ("b", "prod", "clicks", 1, 1),
    ]
    assert (audit.entries[0].since, audit.entries[0].at) == (NOW, NOW + timedelta(seconds=1))
    assert audit.entries[0].action == "ingested"


def test_nothing_ingested_is_no_entry(audit: InMemoryAudit, tally: Tally) -> None:
    """A service without traffic writes no files."""
    tally.flush()
    tally.add("a", "prod", "id", {"clicks": 1})
    tally.flush()
    tally.flush()
    assert len(audit.entries) == 1


def test_audit_that_fails_loses_nothing(audit: InMemoryAudit, tally: Tally) -> None:
    """Counting goes on, and all of it is entered when the audit is back."""
    tally.add("a", "prod", "id", {"clicks": 1})
    audit.is_down = True
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            tally.flush()
        tally.add("a", "prod", "id", {"clicks": 1})
    audit.is_down = False
    tally.flush()
    assert sum(entry.records or 0 for entry in audit.entries) == 4
    assert len(audit.entries) == 2


def test_lost_answer_counts_once(clock: FixedClock) -> None:
    """What was written although the call failed stays single, and what came later is kept."""

    class Lossy(InMemoryAudit):
        fails = True

        def record(self, entries: Sequence[AuditEntry], stream: str, number: int) -> None:
            super().record(entries, stream, number)
            if self.fails:
                self.fails = False
                raise StoreUnavailable("no answer")

    audit = Lossy()
    tally = Tally(audit, clock)
    tally.add("a", "prod", "id", {"clicks": 1})
    with pytest.raises(StoreUnavailable):
        tally.flush()
    tally.add("a", "prod", "id", {"clicks": 10})
    tally.flush()
    assert [entry.records for entry in audit.entries] == [1, 10]


def test_processes_never_lose_the_sums_of_one_another(
    audit: InMemoryAudit, clock: FixedClock
) -> None:
    """One after the other or side by side, in one writer slot too."""
    tallies = [Tally(audit, clock) for _ in range(2)]
    for number in range(6):
        tallies[number % 2].add("a", "prod", "id", {"clicks": 10**number})
        tallies[number % 2].flush()
    assert sum(entry.records or 0 for entry in audit.entries) == 111_111


def test_sums_are_bounded(
    audit: InMemoryAudit,
    tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Beyond the bound the log says how many records are in no sum."""
    monkeypatch.setattr(ingest_api.tally, "MAX_SUMS", 2)
    tally.add("a", "prod", "id", {"one": 1, "two": 1, "three": 5})
    tally.add("a", "prod", "id", {"one": 1})
    with caplog.at_level(logging.WARNING):
        tally.flush()
    assert [entry.records for entry in audit.entries] == [2, 1]
    assert "5 records are in no sum of the audit" in caplog.text


def test_threads_count_exactly(audit: InMemoryAudit, tally: Tally) -> None:
    """Flushes in between included."""

    def work(number: int) -> None:
        for turn in range(200):
            tally.add(f"account {number % 2}", "prod", "id", {"clicks": 1})
            if turn % 50 == 0:
                tally.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    tally.flush()
    assert sum(entry.records or 0 for entry in audit.entries) == 800
