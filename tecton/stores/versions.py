"""
The ports of what is kept version by version: what is applied, and who may do what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tecton.access import AccessState
from tecton.applied import WorkspaceState


class Registry(Protocol):
    """Versions of what is applied, per workspace. Versions are kept for ever."""

    def workspaces(self) -> Sequence[str]:
        """Names of the workspaces that ever were, sorted."""

    def latest(self, workspace: str) -> WorkspaceState | None:
        """The newest version, also of a deleted workspace; None if there never was one."""

    def at(self, workspace: str, version: int) -> WorkspaceState | None:
        """One version."""

    def commit(self, state: WorkspaceState) -> None:
        """
        Store `state.version`, which must be the newest one's plus 1.

        Committing the very state that is the newest one again does nothing: an answer was lost.

        Raises:
            Conflict: That version exists: somebody applied in between. Nothing was changed.
        """


class AccessStore(Protocol):
    """Versions of who may do what."""

    def latest(self) -> AccessState:
        """The newest version; version 0 is empty."""

    def at(self, version: int) -> AccessState | None:
        """One version; None if there is none."""

    def commit(self, state: AccessState) -> None:
        """Store `state.version`; raises `Conflict` if it exists."""
