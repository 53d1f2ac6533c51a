"""
Which push-table slot a process writes: the first from `TECTON_WRITER` on that no other has.

On one host a lock on a file holds a slot; the kernel lets it go when the process ends, however it
ends. Between hosts, whose kernels know nothing of each other, a claim on each push log does, which
ends by itself (docs/decisions/0035-many-writers.md). Both only spare trouble: should two
processes meet in one slot after all, the push log's epoch fences the earlier one off.
"""

from __future__ import annotations

import fcntl
import platform
import secrets
from contextlib import suppress
from threading import Lock
from typing import Protocol, TextIO

from tecton.adapters.embedded_redis import folder_beside
from tecton.applied import WorkspaceState, push_log_name
from tecton.errors import SettingsError, StoreUnavailable

MAX_SLOTS = 64


class SlotClaims(Protocol):
    """Which process of any host writes which push log. A claim ends some time after its renewal."""

    def hold(self, log: str, owner: str) -> bool:
        """Claim a push log, or renew the claim; False if another holds it."""

    def let_go(self, log: str, owner: str) -> None:
        """Give a claim up; does nothing if it is another's."""


class WriterSlot:
    """A slot that this process holds on its host until `release` or its end.

    Args:
        number: The slot.
        lock: The locked file.
        owner: Who holds it: the same for every process that this host gives the slot to, so that
            one that is started again need not wait for the claims of the one before.
    """

    def __init__(self, number: int, lock: TextIO, owner: str) -> None:
        self.number = number
        self.owner = owner
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
            lock = (folder / f"writer-{number}.lock").open("a+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            return cls(number, lock, _owner(lock))
        raise SettingsError(f"slots {first} to {first + MAX_SLOTS - 1} are all taken on this host")

    def release(self) -> None:
        """Let others have the slot."""
        self._lock.close()


def _owner(lock: TextIO) -> str:
    """What a lock's file says, with the host's name: files may be shared, hosts are not."""
    lock.seek(0)
    mark = lock.read()
    if not mark:
        mark = secrets.token_hex(8)
        lock.write(mark)
        lock.flush()
    return f"{platform.node()}:{mark}"


class WriterSlots:
    """The slots of a process: one, and another for each workspace where that is somebody else's.

    Numbers only rise, so that processes that meet all the same come apart in the end.

    Args:
        store: The store's path or URI.
        first: The first slot to try.
        claims: What hosts know of each other.
    """

    def __init__(self, store: str, first: int, claims: SlotClaims) -> None:
        self._store = store
        self._claims = claims
        self._held = [WriterSlot.take(store, first)]
        self._chosen: dict[str, WriterSlot] = {}
        self._claimed: dict[str, WriterSlot] = {}
        self._lock = Lock()

    @property
    def number(self) -> int:
        """The slot that was taken at the start."""
        return self._held[0].number

    def of(self, state: WorkspaceState) -> int:
        """
        The slot for a workspace, claimed.

        Raises:
            StoreUnavailable: Nobody knows what others have claimed, or every slot is claimed.
        """
        with self._lock:
            slot = self._chosen.get(state.id, self._held[0])
            while not self._claims.hold(push_log_name(state, slot.number), slot.owner):
                above = self._above(slot.number)
                if above is None:
                    raise StoreUnavailable("other processes write all slots of push tables")
                slot = above
            self._chosen[state.id] = slot
            self._claimed[push_log_name(state, slot.number)] = slot
            return slot.number

    def move(self, state: WorkspaceState) -> bool:
        """Take another slot for a workspace, whose slot another process writes; False: none is."""
        with self._lock:
            # A slot is let go with the process only: another of its workspaces may still need it.
            slot = self._chosen.get(state.id, self._held[0])
            above = self._above(slot.number)
            if above is None:
                return False
            self._claimed.pop(push_log_name(state, slot.number), None)
            self._chosen[state.id] = above
            return True

    def renew(self) -> None:
        """Say that this process still writes what it has claimed."""
        for log, slot in self._claims_now():
            # If another has the claim now, the log's epoch tells at the next append.
            self._claims.hold(log, slot.owner)

    def release(self) -> None:
        """Let others have the slots."""
        # Where it fails they end by themselves.
        with suppress(StoreUnavailable):
            for log, slot in self._claims_now():
                self._claims.let_go(log, slot.owner)
        for slot in self._held:
            slot.release()

    def _claims_now(self) -> list[tuple[str, WriterSlot]]:
        with self._lock:
            return list(self._claimed.items())

    def _above(self, number: int) -> WriterSlot | None:
        """A slot of this process above another; None if there is none."""
        above = [slot for slot in self._held if slot.number > number]
        if not above:
            try:
                above = [WriterSlot.take(self._store, number + 1)]
            except SettingsError:
                return None
            self._held += above
        return min(above, key=lambda slot: slot.number)
