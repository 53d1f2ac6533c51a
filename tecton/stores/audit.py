"""
The port of what everybody did, and what is said of each deed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class AuditEntry(NamedTuple):
    """Something that somebody did. It holds no secret and nothing of a record.

    Args:
        at: When, UTC; of what was summed up: the end.
        actor_kind: "command line" or "service account".
        actor: Name of the user of the operating system, or id of the service account.
        action: What, as `applied version 3`, `granted role` or `ingested`.
        workspace: Its name; None where no single one is concerned.
        workspace_id: Its id, so that two lives of a name stay apart.
        subject: Id of the service account, or name of the Stream Source, that it was done to.
        details: More, in one line.
        since: Of what was summed up: when it began.
        requests: How many were summed up.
        records: How many were ingested.
    """

    at: datetime
    actor_kind: str
    actor: str
    action: str
    workspace: str | None = None
    workspace_id: str | None = None
    subject: str | None = None
    details: str = ""
    since: datetime | None = None
    requests: int | None = None
    records: int | None = None


class AuditLog(Protocol):
    """Who did what, for ever. Entries come in streams, each numbered by who writes it."""

    def last(self, streams: Sequence[str]) -> Mapping[str, int]:
        """The greatest number that each stream has, 0 for none."""

    def record(self, entries: Sequence[AuditEntry], stream: str, number: int) -> None:
        """
        Add entries, all or none; durable when this returns.

        Does nothing if the stream has this number, or a greater one, already: whoever does not
        know what became of a call may repeat it, and of two that add the same one does.
        """

    def newest(self, limit: int, workspace: str | None = None) -> Sequence[AuditEntry]:
        """The newest entries, newest first; of one workspace only, if its name is given."""
