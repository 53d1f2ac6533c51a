"""
Which push-table slot a process of this host writes: the first free one from `TECTON_WRITER` on.

A lock on a file holds a slot; the kernel lets it go when the process ends, however it ends.
Between hosts the slots are set apart by configuration, and the push log's epoch fences mistakes.
"""

from __future__ import annotations

import fcntl
from typing import TextIO

from tecton.adapters.embedded_redis import folder_beside
from tecton.errors import SettingsError

MAX_SLOTS = 64


class WriterSlot:
    """A slot that this process holds until `release` or its end."""

    def __init__(self, number: int, lock: TextIO) -> None:
        self.number = number
        self._lock = lock

    @classmethod
    def take(cls, store: str, first: int) -> WriterSlot:
        """
        The first free slot.

        Args:
            store: The store's path or URI.
            first: Where to begin.

        Raises:
            SettingsError: None of the next 64 is free.
        """
        folder = folder_beside(store, "locks")
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + MAX_SLOTS):
            lock = (folder / f"writer-{number}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            return cls(number, lock)
        raise SettingsError(f"slots {first} to {first + MAX_SLOTS - 1} are all taken on this host")

    def release(self) -> None:
        """Let others have the slot."""
        self._lock.close()
