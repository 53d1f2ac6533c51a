"""
The push table of one writer in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from tecton.errors import StoreUnavailable
from tecton.stores import LogEntry, StagedBatch


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
