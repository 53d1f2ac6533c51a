"""
The port of who does what now.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol


class Lease(NamedTuple):
    """Until when an owner of claims is known to live.

    Args:
        owner: A random id.
        until: By the owner's clock; clocks have to agree within a few seconds.
        who: User, host and process, for people.
    """

    owner: str
    until: datetime
    who: str


class Claims(Protocol):
    """Who does what now, so that two never do the same, and who shall stop.

    All is by workspace, by its folder.
    """

    def keep(self, workspace: str, lease: Lease) -> None:
        """Say that an owner lives, again and again."""

    def lease(self, workspace: str, owner: str) -> Lease | None:
        """What an owner has said last, None if it never did."""

    def take(self, workspace: str, name: str, owner: str, now: datetime) -> str | None:
        """
        Claim *name*, unless somebody else who lives holds it.

        Args:
            workspace: The workspace's folder.
            name: Of what is claimed.
            owner: Who claims; has said before that it lives.
            now: UTC.

        Returns:
            None if it is the owner's now, or was before; else the owner who holds it.
        """

    def release(self, workspace: str, name: str, owner: str) -> None:
        """Give a claim up; does nothing if it is another's."""

    def cancel(self, workspace: str, run_id: str) -> None:
        """Ask for the end of a job."""

    def is_cancelled(self, workspace: str, run_id: str) -> bool:
        """Has anybody asked for the end of a job?"""

    def forget(self, workspace: str, before: datetime) -> int:
        """Drop what was last written before a time long past; answers how many documents."""
