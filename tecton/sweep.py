"""
Replaced generations in the online store: which serve, and the end of those that do not any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from tecton.applied import Replaced, WorkspaceState

PATIENCE = timedelta(seconds=10)
"""So long another service may not know yet that a generation is not written any more."""


def standing_in(
    state: WorkspaceState, unloaded: Callable[[Sequence[str]], Sequence[str]]
) -> tuple[Replaced, ...]:
    """
    The replaced generations that serve instead of views which are not loaded yet.

    Args:
        state: The workspace, as it was applied.
        unloaded: `OnlineStore.unloaded`; asked only while there are replaced generations.
    """
    views = {view.name: view for view in state.views if view.online}
    former = [one for one in state.replaced if one.view.name in views]
    if not former or not state.live:
        return ()
    asked = [views[one.view.name].online_id for one in former]
    missing = set(unloaded([*dict.fromkeys(asked), *(one.view.online_id for one in former)]))
    serving: dict[str, Replaced] = {}
    for one in former:
        # The newest that is loaded: one that was replaced before will never be.
        if views[one.view.name].online_id in missing and one.view.online_id not in missing:
            serving.setdefault(one.view.name, one)
    return tuple(serving.values())


def obsolete_in(state: WorkspaceState, serving: Sequence[Replaced]) -> list[str]:
    """
    The `online_id` of replaced generations that nobody reads or writes any more.

    Args:
        state: The workspace, as it was applied.
        serving: Those that stand in; while one does its view's others wait, which costs nothing.
    """
    kept = {one.view.name for one in serving}
    return [one.view.online_id for one in state.replaced if one.view.name not in kept]


class Sweep:
    """Forgets each generation that was loaded once; maintenance finds what else there is.

    Args:
        forget: `OnlineStore.forget`.
        unloaded: `OnlineStore.unloaded`.
    """

    def __init__(
        self,
        forget: Callable[[Sequence[str]], int],
        unloaded: Callable[[Sequence[str]], Sequence[str]],
    ) -> None:
        self._forget = forget
        self._unloaded = unloaded
        self._seen: dict[str, datetime] = {}
        self._done: set[str] = set()

    def look(self, obsolete: Iterable[str], now: datetime) -> Iterator[tuple[str, int]]:
        """
        Forget what has been obsolete for a while.

        Args:
            obsolete: The `online_id` of generations that nobody reads or writes.
            now: The time.

        Yields:
            A generation, and how many join keys were removed.

        Raises:
            StoreUnavailable: The next call tries again.
        """
        views = set(obsolete)
        self._seen = {view: self._seen.get(view, now) for view in views}
        self._done &= views
        due = [view for view in sorted(views - self._done) if now >= self._seen[view] + PATIENCE]
        # Each walk looks at every key of the store: none is made for what is gone already.
        self._done.update(self._unloaded(due) if due else ())
        for view in due:
            if view not in self._done:
                count = self._forget([view])
                self._done.add(view)
                yield view, count
