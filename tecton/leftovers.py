"""
What is left of views and workspaces that are gone, and since when: the registry's versions tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from tecton.applied import WorkspaceState
from tecton.stores import Registry
from tecton.sweep import PATIENCE, obsolete_in, standing_in

KEPT = timedelta(days=7)
"""So long tables stay after they were replaced or deleted: a read may still be at them, and
people change their minds."""

LOOKED_BACK = timedelta(days=14)
"""So long rows of views that are gone are looked for in the online store."""


class Ledger:
    """When folders of the store ceased to be used.

    Args:
        registry: All versions of all workspaces.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def since(self, path: str) -> datetime | None:
        """
        When a folder ceased to be used.

        Args:
            path: Of a workspace (`push/NAME.ID`), an offline table (`offline/NAME.ID/VIEW/ID`) or
                a view's part of the batch ledger (`filled/NAME.ID/ID`).

        Returns:
            None: it is in use, or nobody knows.
        """
        top, folder, *rest = path.split("/")
        name, _, workspace_id = folder.rpartition(".")
        later: WorkspaceState | None = None
        for state in self.versions(name):
            if state.id == workspace_id:
                if not rest and not state.deleted and later is None:
                    return None
                if not rest:
                    return state.applied_at
                if _uses(state, top, rest[-1]):
                    return None if later is None else later.applied_at
            later = state
        return None

    def versions(self, name: str) -> Iterator[WorkspaceState]:
        """The versions of a workspace, the newest first."""
        state = self._registry.latest(name)
        while state is not None:
            yield state
            state = self._registry.at(name, state.version - 1) if state.version > 1 else None

    def gone_online(
        self, unloaded: Callable[[Sequence[str]], Sequence[str]], now: datetime
    ) -> list[str]:
        """
        The `online_id` of views that are gone, of which the online store may have something.

        Args:
            unloaded: `OnlineStore.unloaded`.
            now: The time.
        """
        gone: list[str] = []
        for name in self._registry.workspaces():
            states = self._looked_back(name, now)
            if not states:
                continue
            newest, older = states[0], states[1:]
            serving = standing_in(newest, unloaded)
            used = {view.online_id for view in newest.views if view.online}
            used |= {one.view.online_id for one in newest.replaced}
            if newest.applied_at >= now - LOOKED_BACK:
                gone += obsolete_in(newest, serving)
            gone += [
                view.online_id
                for state in older
                for view in state.views
                if view.online and view.online_id not in used
            ]
        return list(dict.fromkeys(gone))

    def _looked_back(self, name: str, now: datetime) -> list[WorkspaceState]:
        """The newest versions, and one more: what it had was there when the period began."""
        found: list[WorkspaceState] = []
        for state in self.versions(name):
            # A service may not know of a version that has just been applied.
            if found or state.applied_at <= now - PATIENCE:
                found.append(state)
            if state.applied_at < now - LOOKED_BACK:
                break
        return found


def _uses(state: WorkspaceState, top: str, generation: str) -> bool:
    if top == "filled":
        return any(view.online_id == generation and view.online for view in state.views)
    return any(view.id == generation and view.offline for view in state.views)
