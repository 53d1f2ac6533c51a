"""
The part of a state whose size depends on its events: one summary of one column, as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tecton.windows.events import Events
from tecton.windows.layout import Feature


class Summary(Protocol):
    """
    How the values of a column are summarised; a *partial* is the summary of some events.

    Partials may be merged in any order and partition, but not with themselves. A partial of no
    values is no bytes.
    """

    def lift(self, events: Events) -> bytes:
        """The partial of some events."""

    def merge(self, partials: Sequence[bytes]) -> bytes:
        """The partial of all their events; of none if there are none."""

    def gather(self, partials: Sequence[bytes], loose: Sequence[Events]) -> bytes:
        """The partial of all, for `value` and `gather` alone: it need not be small."""
        return self.merge([*partials, *map(self.lift, loose)])

    def value(self, partial: bytes, feature: Feature) -> Any:
        """The value of a feature that is made of this summary; None for null."""


class TextExtreme(Summary):
    """
    The least or the greatest string, by its UTF-8.

    Args:
        column: Position of the column.
        is_least: Whether it is the least.
    """

    def __init__(self, column: int, is_least: bool) -> None:
        self._column = column
        self._choose = min if is_least else max

    def lift(self, events: Events) -> bytes:
        """The string after a byte that tells an empty one from none."""
        values, valid = events.columns[self._column]
        texts = values[valid].tolist()
        # Code points are in the order of their UTF-8.
        return b"\1" + self._choose(texts).encode() if texts else b""

    def merge(self, partials: Sequence[bytes]) -> bytes:
        """The least or greatest."""
        return self._choose(filter(None, partials), default=b"")

    def value(self, partial: bytes, feature: Feature) -> Any:
        """The string."""
        return partial[1:].decode() if partial else None
