"""
The ports of the store's Delta tables as such: what their logs say, and their care.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol


class DeltaLogs(Protocol):
    """What the transaction logs of the store's Delta tables say. Paths are relative to the store.

    Can be pickled.
    """

    def version(self, path: str) -> int | None:
        """The newest version of the table at *path*, None if there is no table."""

    def transaction(self, path: str, version: int, application: str) -> int:
        """How far *application* had written the table at *version*, 0 if it never did."""

    def files(self, path: str) -> int:
        """Of how many files the table at *path* consists, 0 if there is no table."""

    def folders(self, path: str) -> Sequence[str]:
        """The names of the folders that stand directly in the folder *path*, sorted."""


class Kept(NamedTuple):
    """What a push table must keep.

    Args:
        since: Records of earlier days may go; None: none may.
        taken: But never those of batches above this one, which some offline table lacks.
    """

    since: date | None
    taken: int


class Tidied(NamedTuple):
    """What maintenance has done to a table, in files.

    Args:
        path: The table's, relative to the store.
        joined: Small files that are one or a few now.
        forgotten: Files whose records nobody needs any more.
        removed: Files without a use that left the disk.
    """

    path: str
    joined: int
    forgotten: int
    removed: int

    def __str__(self) -> str:
        done = []
        if self.joined:
            done.append(f"{self.joined:,} files joined")
        if self.forgotten:
            done.append(f"{self.forgotten:,} files of old records dropped")
        if self.removed:
            done.append(f"{self.removed:,} unused files removed")
        return f"{self.path}: {', '.join(done) or 'nothing to do'}"


class TableCare(Protocol):
    """Keeps Delta tables small and fast beside whatever writes and reads them."""

    def push_table(self, path: str, now: datetime, kept: Kept) -> Tidied:
        """Join small files of days that are over, and many of today; drop what need not be kept."""

    def appended_table(self, path: str, now: datetime) -> Tidied | None:
        """Join the small files of a table that is kept for ever; None if there is no table."""

    def scattered(self, path: str, most: int) -> Sequence[tuple[str, str]]:
        """The partitions (origin, date) of an offline table with more than *most* small files."""

    def remove(self, path: str) -> int:
        """Delete a folder that nobody uses any more, and all in it; how many files there were."""

    def unused(self, path: str) -> int:
        """How many files of a table no read and no stream can need any more."""
