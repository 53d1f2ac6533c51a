"""
What other writers have logged and not offered to the online store → offered in their place.

A writer that dies between its log and the online store leaves acknowledged-or-not records that
nobody serves. Whoever sees a log ahead of a watermark that has not moved since the last look
replays it: no heartbeat is needed, since doing it for a writer that lives is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from tecton.applied import WorkspaceState, push_log_name
from tecton.rows import FeatureRow
from tecton.stores import LogEntry, OnlineStore, PushTables
from tecton.tail import replay_tail


class Rescued(NamedTuple):
    """The batches of a writer that were offered for it."""

    workspace: str
    writer: str
    first: int
    last: int


class Rescue:
    """Looks at the push tables of all writers, again and again.

    Args:
        tables: The push tables.
        online: The online store.
        rows_of: The feature rows of records in a workspace.
    """

    def __init__(
        self,
        tables: PushTables,
        online: OnlineStore,
        rows_of: Callable[[WorkspaceState, Sequence[LogEntry]], Sequence[FeatureRow]],
    ) -> None:
        self._tables = tables
        self._online = online
        self._rows_of = rows_of
        self._seen: dict[str, int] = {}

    def look(self, states: Sequence[WorkspaceState]) -> Iterator[Rescued]:
        """
        Replay what nobody else seems to.

        Args:
            states: The workspaces.

        Yields:
            What was replayed.

        Raises:
            StoreUnavailable: A store does not answer, or the online store has lost data.
        """
        for state in states:
            if state.live and state.views:
                for writer in self._tables.writers(state):
                    yield from self._look_at(state, writer)

    def _look_at(self, state: WorkspaceState, writer: str) -> Iterator[Rescued]:
        name = push_log_name(state, writer)
        applied = self._online.applied_batch(name)
        if self._seen.get(name) != applied:
            # Somebody is at work, or this is the first look.
            self._seen[name] = applied
            return
        last = self._tables.last_batch(state, writer, applied)
        if last <= applied:
            return
        batches = self._tables.read_after(state, writer, applied)
        replay_tail(self._online, name, applied, last, batches, partial(self._rows_of, state))
        self._seen[name] = last
        yield Rescued(state.name, writer, applied + 1, last)
