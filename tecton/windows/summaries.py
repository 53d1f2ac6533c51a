"""
The part of a state whose size depends on its events: one summary of one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tecton.windows.events import Events


class Summary(Protocol):
    """
    How the values of a column are summarised; a *partial* is the summary of some events.

    Partials may be merged in any order and partition. Equal sets of events that are lifted as a
    whole have equal bytes.
    """

    def lift(self, events: Events) -> Any:
        """The partial of some events."""

    def merge(self, partials: Sequence[Any]) -> Any:
        """The partial of all their events."""

    def encode(self, partial: Any) -> bytes:
        """The partial as bytes."""

    def decode(self, data: bytes) -> Any:
        """The partial that was encoded."""
