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


class WriterSlots:
    """The slots of a process: one, and another for each workspace where somebody took that over.

    Between hosts nothing but configuration keeps slots apart. Where two processes meet all the
    same, the earlier one moves on to a slot above. Numbers only rise, so it ends.
    """

    def __init__(self, store: str, first: int) -> None:
        self._store = store
        self._held = [WriterSlot.take(store, first)]
        self._moved: dict[str, int] = {}

    @property
    def number(self) -> int:
        """The slot that was taken at the start."""
        return self._held[0].number

    def of(self, workspace: str) -> int:
        """The slot for a workspace, by its id."""
        return self._moved.get(workspace, self.number)

    def move(self, workspace: str) -> bool:
        """Take another slot for a workspace; False if there is none."""
        # A slot is let go with the process only: another of its workspaces may still need it.
        now = self.of(workspace)
        above = [slot.number for slot in self._held if slot.number > now]
        if not above:
            try:
                self._held.append(WriterSlot.take(self._store, now + 1))
            except SettingsError:
                return False
            above = [self._held[-1].number]
        self._moved[workspace] = min(above)
        return True

    def release(self) -> None:
        """Let others have the slots."""
        for slot in self._held:
            slot.release()
