"""
The ports of what fills the online store again: rows of views, and up to which job it had them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tecton.applied import AppliedView, WorkspaceState
from tecton.rows import FeatureRow


class History(Protocol):
    """What is kept of views outside the online store, to fill that again."""

    def rows(
        self, state: WorkspaceState, view: AppliedView, since: int | None
    ) -> Iterator[Sequence[FeatureRow]]:
        """
        All rows of a view that a read could need, in chunks.

        Of an aggregating view these are its events, else those that could be the newest of a key.

        Args:
            state: The workspace.
            view: The view; batch rows are kept only of one with `offline=True`.
            since: The oldest event timestamp of use, µs since the epoch; None: all.
        """


class BatchLedger(Protocol):
    """Outside the online store: up to which job's rows it was filled, view by view.

    Jobs of one view follow each other (`Claims`), so the numbers of a view rise.
    """

    def enter(self, state: WorkspaceState, view: AppliedView, number: int) -> None:
        """Write down that the rows of a job are in the online store; durable when this returns."""

    def of(self, state: WorkspaceState) -> Mapping[str, int]:
        """The greatest number of each view, by `online_id`."""
