"""
Delta tables, opened while others write them.

A folder is listed piece by piece: of two log entries that are put meanwhile the list may have the
later one alone, and delta-rs takes that for a hole. Looked at again it is gone; a real hole stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow import fs

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


def dataset_of(table: DeltaTable) -> ds.Dataset:
    """
    The files of a table, for Arrow to read.

    In a folder Arrow opens them itself. Through delta-rs its threads would call Python, and one
    that does so while the process ends takes it down with "terminate called" (in Python 3.11).
    """
    filesystem = None
    if table.table_uri.startswith("file://"):
        found, path = fs.FileSystem.from_uri(table.table_uri)
        filesystem = fs.SubTreeFileSystem(path, found)
    return table.to_pyarrow_dataset(filesystem=filesystem)


def listed_whole(act: Callable[[], _Result], tries: int = TRIES) -> _Result:
    """What *act* answers, which lists the log of a table, once it has seen no hole in it."""
    try:
        return act()
    except DeltaError as exc:
        if tries == 1 or _HOLE not in str(exc):
            raise
    return listed_whole(act, tries - 1)
