"""
The events of aggregating views in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock

import numpy as np

from tecton.applied import AppliedView
from tecton.errors import StoreUnavailable
from tecton.rows import FeatureRow
from tecton.stores import WINDOWED_MICROS, Aggregated
from tecton.windows import algebra_of, unpack


class InMemoryWindows:
    """`stores.WindowStore` in memory; it takes every view as loaded.

    `events` is what it holds, by (view, key) and by (timestamp, identity).
    """

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[tuple[int, bytes], FeatureRow]] = {}
        self.is_down = False
        self._lock = Lock()

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer events."""
        self._check()
        for row in rows:
            if row.event is not None and row.timestamp in WINDOWED_MICROS:
                with self._lock:
                    events = self.events.setdefault((row.view, row.key), {})
                    stored = events.setdefault((row.timestamp, row.event.identity), row)
                    if _window_order(row) > _window_order(stored):
                        events[row.timestamp, row.event.identity] = row

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """The aggregates of each (view, key), from all of its events."""
        self._check()
        with self._lock:
            found = [dict(self.events.get((view.online_id, key), {})) for view, key in keys]
        return [
            _aggregated(view, events, now) for (view, _), events in zip(keys, found, strict=True)
        ]

    def tidy(self) -> int:
        """Nothing makes reads cheaper here."""
        return 0

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the online store is down")


def _window_order(row: FeatureRow) -> tuple[int, int, bytes]:
    return (row.sequence, row.event.tie if row.event else 0, row.body)


def _aggregated(
    view: AppliedView, events: Mapping[tuple[int, bytes], FeatureRow], now: int
) -> Aggregated | None:
    if not events:
        return None
    places, rows = zip(*events.items(), strict=True)
    algebra = algebra_of(view)
    at = max(now, *(timestamp for timestamp, _ in places))
    unpacked = unpack(
        algebra.layout,
        np.array([timestamp for timestamp, _ in places], np.int64),
        [row.body for row in rows],
        np.array([row.sequence for row in rows], np.int64),
        np.array([row.event.tie if row.event else 0 for row in rows], np.int64),
        np.array([int.from_bytes(identity, "big") for _, identity in places], np.uint64),
    )
    values = algebra.answer(at, unpacked.ordered())
    return None if values is None else Aggregated(at, values)
