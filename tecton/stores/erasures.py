"""
The port of tombstones, and of the deletion of what they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tecton.applied import AppliedView, WorkspaceState
from tecton.rows import FeatureRow
from tecton.tombstones import Tombstones


class Erasures(Protocol):
    """Tombstones of join keys (`tombstones`), and the deletion of what they stand for."""

    def add(
        self,
        state: WorkspaceState,
        view: AppliedView,
        keys: Sequence[Sequence[Any]],
        sequence: int,
        online: bool,
        offline: bool,
    ) -> None:
        """Put up a tombstone for keys of a view; durable when this returns."""

    def last_sequence(self, state: WorkspaceState) -> int:
        """The greatest sequence of a tombstone in a workspace, 0 for none."""

    def of(self, state: WorkspaceState, view: AppliedView) -> Tombstones:
        """The tombstones of a view, as they are now."""

    def served(self, state: WorkspaceState, rows: Sequence[FeatureRow]) -> list[FeatureRow]:
        """Those rows of any views that may be served."""

    def delete_offline(
        self, state: WorkspaceState, view: AppliedView, keys: Sequence[Sequence[Any]], sequence: int
    ) -> int:
        """Delete the rows of keys up to an erasure from an offline table; answers how many."""

    def delete_pushed(
        self, state: WorkspaceState, views: Sequence[AppliedView], keys: set[str], sequence: int
    ) -> tuple[int, list[FeatureRow]]:
        """
        Delete the records of keys up to an erasure from all push tables.

        A record of which a row of another key comes too stays.

        Args:
            state: The workspace.
            views: Views of one source, whose rows tell whose record it is.
            keys: As `rows.encode_key` spells them.
            sequence: Of the erasure.

        Returns:
            How many were deleted, and the rows of these keys in later records.
        """
