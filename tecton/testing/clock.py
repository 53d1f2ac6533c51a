"""
A clock for tests.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

NOW = datetime(2023, 1, 3, 12, 0, tzinfo=timezone.utc)
"""Noon on the day after the documentation's newest record."""


class FixedClock:
    """A clock that stands until it is told to move on."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self.at += by
