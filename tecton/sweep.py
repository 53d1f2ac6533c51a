"""
What replaced generations have left in the online store → nothing, when nobody uses it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

PATIENCE = timedelta(seconds=10)
"""So long another service may not know yet that a generation is not written any more."""


class Sweep:
    """Forgets each generation once in the life of a process.

    Args:
        forget: `OnlineStore.forget`.
    """

    def __init__(self, forget: Callable[[Sequence[str]], int]) -> None:
        self._forget = forget
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
        for view in sorted(views - self._done):
            if now >= self._seen[view] + PATIENCE:
                count = self._forget([view])
                self._done.add(view)
                yield view, count
