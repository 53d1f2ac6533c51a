"""
Delta tables, opened while others write them.

A folder is listed piece by piece: of two log entries that are put meanwhile the list may have the
later one alone, and delta-rs takes that for a hole. Looked at again it is gone; a real hole stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

TRIES = 10
"""Of 10,000 entries beside 500 commits a second about one list in three is torn."""

_HOLE = "found gap"
_Result = TypeVar("_Result")


def open_table(url: str, version: int | None = None) -> DeltaTable:
    """
    Open a table at a version, by default at the newest.

    Raises:
        TableNotFoundError: There is none.
        DeltaError: It cannot be read.
    """
    return listed_whole(lambda: DeltaTable(url, version=version))


def listed_whole(act: Callable[[], _Result], tries: int = TRIES) -> _Result:
    """What *act* answers, which lists the log of a table, once it has seen no hole in it."""
    try:
        return act()
    except DeltaError as exc:
        if tries == 1 or _HOLE not in str(exc):
            raise
    return listed_whole(act, tries - 1)
