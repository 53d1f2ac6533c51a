"""
The audit in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tecton.errors import StoreUnavailable
from tecton.stores import AuditEntry


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
