"""
What the demo says: numbered steps, facts, progress, and small tables.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from time import monotonic
from typing import Protocol, TypeVar

_Item = TypeVar("_Item", covariant=True)


class SizedIterable(Sized, Iterable[_Item], Protocol[_Item]):
    """What can be counted before it is gone through."""


class Console:
    """Writes to standard output; a terminal gets a moving progress line, a pipe plain lines."""

    def __init__(self) -> None:
        self._started = monotonic()
        self._steps = 0
        self._wrong = 0

    @property
    def wrong(self) -> int:
        """How many checks have failed."""
        return self._wrong

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._steps += 1
        self.say(f"\n== {self._steps}. {title} [{monotonic() - self._started:.0f} s]")

    def say(self, text: str) -> None:
        """One or more lines."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def check(self, claim: str, *, wrong: int = 0, total: int = 1) -> None:
        """Report a claim of which *wrong* of *total* cases failed."""
        self._wrong += wrong
        verdict = "ok   " if wrong == 0 else "WRONG"
        counted = f": {total - wrong:,} of {total:,} right" if total > 1 or wrong else ""
        self.say(f"{verdict} {claim}{counted}")

    def progress(self, items: SizedIterable[_Item], what: str) -> Iterator[_Item]:
        """Go through *items* and show how far it is."""
        total, is_terminal = len(items), sys.stdout.isatty()
        for done, item in enumerate(items, start=1):
            yield item
            if is_terminal and (done % 10 == 0 or done == total):
                sys.stdout.write(f"\r{what}: {done:,} of {total:,}")
                sys.stdout.flush()
        end = "\n" if is_terminal else f"{what}: {total:,}\n"
        sys.stdout.write(end)
        sys.stdout.flush()

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A small table in fixed columns."""
        lines = [[str(cell) for cell in row] for row in (heads, *rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.say("   " + "  ".join(cells).rstrip())
