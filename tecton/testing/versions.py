"""
The registry and access control in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from tecton.access import AccessState
from tecton.applied import WorkspaceState
from tecton.errors import Conflict


class InMemoryRegistry:
    """`stores.Registry` in memory."""

    def __init__(self, *states: WorkspaceState) -> None:
        self._versions: dict[tuple[str, int], WorkspaceState] = {}
        for state in states:
            self._versions[state.name, state.version] = state

    def workspaces(self) -> Sequence[str]:
        """Names of the workspaces that ever were, sorted."""
        return sorted({name for name, _ in self._versions})

    def latest(self, workspace: str) -> WorkspaceState | None:
        """The newest version; None if there never was one."""
        versions = [version for name, version in self._versions if name == workspace]
        return self._versions[workspace, max(versions)] if versions else None

    def at(self, workspace: str, version: int) -> WorkspaceState | None:
        """One version."""
        return self._versions.get((workspace, version))

    def commit(self, state: WorkspaceState) -> None:
        """Store the next version."""
        latest = self.latest(state.name)
        if self.at(state.name, state.version) == state:
            return
        if state.version != (latest.version if latest else 0) + 1:
            raise Conflict(f"version {state.version} of workspace {state.name} is not the next")
        self._versions[state.name, state.version] = state


class InMemoryAccess:
    """`stores.AccessStore` in memory."""

    def __init__(self, state: AccessState | None = None) -> None:
        self._state = state or AccessState()
        self._versions = {self._state.version: self._state} if state else {}

    def latest(self) -> AccessState:
        """The newest version; version 0 is empty."""
        return self._state

    def at(self, version: int) -> AccessState | None:
        """One version; None if there is none."""
        return self._versions.get(version)

    def commit(self, state: AccessState) -> None:
        """Store the next version."""
        if state == self._state:
            return
        if state.version != self._state.version + 1:
            raise Conflict(f"version {state.version} of access control is not the next")
        self._state = self._versions[state.version] = state
