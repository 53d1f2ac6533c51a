"""
The ports of accepted records: the push table of a writer, and all of them to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from tecton.applied import WorkspaceState


class LogEntry(NamedTuple):
    """One record as the push table keeps it.

    Args:
        source: Id of the stream source.
        sequence: Order of acceptance.
        batch_no: The commit of its writer that brought it, contiguous from 1.
        registry_version: The version that the accepting service knew.
        record: Canonical JSON.
    """

    source: str
    sequence: int
    batch_no: int
    registry_version: int
    record: bytes


class StagedBatch(NamedTuple):
    """A batch of which only the log's entry is still to be put.

    Args:
        batch_no: Its number.
        entry: The entry.
    """

    batch_no: int
    entry: bytes


class PushLog(Protocol):
    """The push table of one writer in one workspace; only its owner appends.

    Opening it takes the slot over: whoever held it before is fenced off.
    """

    @property
    def name(self) -> str:
        """Identifies this log among all: the workspace's id and the writer."""

    @property
    def last_batch(self) -> int:
        """The number of the newest batch, 0 for none."""

    @property
    def is_far(self) -> bool:
        """Does a commit wait for a network, so that it is worth while to stage the next one?"""

    def settle(self, now: datetime) -> int:
        """
        Find out what became of an `append` that failed; `last_batch` is true afterwards.

        Args:
            now: UTC.

        Returns:
            `last_batch`.

        Raises:
            WriterFenced: Another process has opened the log since.
        """

    def stage(self, entries: Sequence[LogEntry], accepted_at: datetime) -> StagedBatch:
        """
        Put all of a batch but what makes it one of the log.

        May be called while another thread appends the batch before. What is staged and never
        appended is missed by nobody.
        """

    def append(
        self,
        entries: Sequence[LogEntry],
        accepted_at: datetime,
        staged: StagedBatch | None = None,
    ) -> None:
        """
        Make one batch durable; when it returns, power may fail.

        Args:
            entries: All of the batch after the one that `settle` answered, and numbered so.
            accepted_at: UTC; decides the partition.
            staged: What `stage` gave for these very arguments.

        Raises:
            WriterFenced: Another process has opened the log since.
            StoreUnavailable: Nothing was written, or nobody can know yet; `settle` finds out.
            ValueError: The entries have another batch's number.
        """

    def read_after(self, batch_no: int) -> Iterator[Sequence[LogEntry]]:
        """The batches above *batch_no*, in order, each whole."""

    def close(self) -> None:
        """Give the log up; nothing is lost by not calling it."""


class PushTables(Protocol):
    """The push tables of all writers, to be read: what every `PushLog` has written."""

    def writers(self, state: WorkspaceState) -> Sequence[str]:
        """The slots of a workspace that were ever written."""

    def last_batch(self, state: WorkspaceState, writer: str, least: int = 0) -> int:
        """
        The number of the newest batch, 0 for none; costs little while it stays the same.

        Args:
            state: The workspace.
            writer: The slot.
            least: A batch that is known to be logged.
        """

    def last_sequence(self, state: WorkspaceState) -> int:
        """The greatest sequence that any writer has ever logged, 0 for none."""

    def read_after(
        self, state: WorkspaceState, writer: str, batch_no: int
    ) -> Iterator[Sequence[LogEntry]]:
        """The batches above *batch_no* that are still there, in order, each whole."""
