"""
How much each service account ingests: counted request by request, entered in the audit as sums.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import NamedTuple

from tecton.audit import SERVICE_ACCOUNT
from tecton.committer import Clock
from tecton.stores import AuditEntry, AuditLog

MAX_SUMS = 10_000
"""How many sums are kept at once: a bound for as long as the audit cannot be written."""

INGESTED = "ingested"

_log = logging.getLogger(__name__)


class _Key(NamedTuple):
    """What is summed up apart."""

    account: str
    workspace: str
    workspace_id: str
    source: str


@dataclass
class _Sum:
    since: datetime
    requests: int = 0
    records: int = 0


class Tally:
    """Sums of what was ingested since the last `flush`; safe to use from many threads.

    Args:
        audit: Where the sums are entered.
        clock: Now.
    """

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self._audit = audit
        # Never the writer's slot: two processes may have one, and a number that is there already
        # counts as entered, so one of them would lose its sums.
        self._stream = f"ingest/{secrets.token_hex(8)}"
        self._clock = clock
        self._sums: dict[_Key, _Sum] = {}
        self._uncounted = 0
        self._lock = Lock()
        self._flushing = Lock()
        self._number = 1
        self._pending: Sequence[AuditEntry] = ()

    def add(
        self, account: str, workspace: str, workspace_id: str, records: Mapping[str, int]
    ) -> None:
        """
        Count a request that was taken.

        Args:
            account: Id of the service account.
            workspace: Its name.
            workspace_id: Its id.
            records: How many, by Stream Source.
        """
        now = self._clock()
        with self._lock:
            for source, count in records.items():
                key = _Key(account, workspace, workspace_id, source)
                if key not in self._sums and len(self._sums) >= MAX_SUMS:
                    self._uncounted += count
                    continue
                found = self._sums.setdefault(key, _Sum(now))
                found.requests += 1
                found.records += count

    def flush(self) -> None:
        """
        Enter the sums in the audit.

        Raises:
            StoreUnavailable: It could not be written. Nothing is forgotten: what was tried is
                tried again as it is, and counting goes on.
        """
        with self._flushing:
            self._enter()
            self._pending = self._take()
            self._enter()

    def _enter(self) -> None:
        """Enter what is pending; it keeps its number until it is there."""
        if not self._pending:
            return
        self._audit.record(self._pending, self._stream, self._number)
        self._pending = ()
        self._number += 1

    def _take(self) -> Sequence[AuditEntry]:
        now = self._clock()
        with self._lock:
            sums, self._sums = self._sums, {}
            uncounted, self._uncounted = self._uncounted, 0
        if uncounted:
            _log.warning(
                "%d records are in no sum of the audit: there were more than %d sums at once",
                uncounted,
                MAX_SUMS,
            )
        return [_entry(key, found, now) for key, found in sums.items()]


def _entry(key: _Key, found: _Sum, now: datetime) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor_kind=SERVICE_ACCOUNT,
        actor=key.account,
        action=INGESTED,
        workspace=key.workspace,
        workspace_id=key.workspace_id,
        subject=key.source,
        since=found.since,
        requests=found.requests,
        records=found.records,
    )
