"""
The port of events by key, and what the windows of aggregating views answer from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tecton.applied import AppliedView
from tecton.rows import FeatureRow


class Aggregated(NamedTuple):
    """What an aggregating view answers for a key; features without a value are null.

    Args:
        at: The effective time, µs since the epoch: windows end there, inclusive.
        values: Canonical values by feature.
    """

    at: int
    values: Mapping[str, Any]


WINDOWED_MICROS = range(2**53)
"""Timestamps that a `WindowStore` keeps, from 1970 to 2255."""


class WindowStore(Protocol):
    """The events of aggregating views online, by join key, and what their windows answer.

    Of the events of one identity (key, timestamp, event key) the one with the greatest
    (sequence, tie, body) counts, whatever the order of events or of calls. Batch rows may have
    timestamps outside `WINDOWED_MICROS`; they are left out.
    """

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer events; several may share a key, or an identity."""

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """
        The aggregates of each (view, key) over every event that was offered, in one round trip.

        Windows end at *now* (µs since the epoch) or, if later, at the newest event of the key in
        that view. None where no event is within the longest window.

        Raises:
            ViewNotLoaded: One of the views is not marked as loaded.
        """

    def tidy(self) -> int:
        """
        Do what makes reads of aggregates cheap, for keys that this object has met: whose events it
        has offered, or that were dear to read.

        Answers are right without. Answers how many keys are left for another call.
        """
