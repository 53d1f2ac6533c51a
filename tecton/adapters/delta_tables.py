"""
Delta tables, opened while others write them.

A folder is listed piece by piece: of two log entries that are put meanwhile the list may have the
later one alone, and delta-rs takes that for a hole. The longer the log and the busier its writer,
the more lists are torn, in the end nearly all. Entries that were there before are in every list,
so a version that was looked for one by one can always be opened; a real hole stays an error.
"""

from __future__ import annotations

import re

import msgspec
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from tecton.adapters.documents import Documents

_HOLE = re.compile("found gap|Gap between checkpoint")
_LOG = "_delta_log"
_ENTRY = re.compile(rf"{_LOG}/\d{{20}}\.json", re.ASCII)


def open_table(url: str, version: int | None = None) -> DeltaTable:
    """
    Open a table at a version, by default at the newest.

    Raises:
        TableNotFoundError: There is none.
        DeltaError: It cannot be read.
        StoreUnavailable: The store does not answer.
    """
    try:
        return DeltaTable(url, version=version)
    except DeltaError as exc:
        if version is not None or not _HOLE.search(str(exc)):
            raise
        newest = newest_version(url)
        if newest is None:
            raise
    return DeltaTable(url, version=newest)


def refresh(table: DeltaTable) -> None:
    """Bring a table to its newest version; raises as `open_table` does."""
    try:
        table.update_incremental()
    except DeltaError as exc:
        newest = newest_version(table.table_uri) if _HOLE.search(str(exc)) else None
        if newest is None:
            raise
        table.load_as_version(newest)


def newest_version(url: str) -> int | None:
    """
    The newest version of a table, looked for one by one; None: a hole follows the last one found.

    A hole that is passed by is met by whoever opens that version.
    """
    documents = Documents(url.rstrip("/"))
    pointer = documents.get(f"{_LOG}/_last_checkpoint")
    version = 0 if pointer is None else int(msgspec.json.decode(pointer)["version"])
    step = 1
    while documents.get(log_path(version + step)) is not None:
        version += step
        step *= 2
    while step > 1:
        step //= 2
        if documents.get(log_path(version + step)) is not None:
            version += step
    listed = documents.list(_LOG, log_path(version))
    is_last = not any(_ENTRY.fullmatch(path) for path in listed)
    # Entries are put in their order: if a later one is there, so is the next one by now.
    return version if is_last or documents.get(log_path(version + 1)) is not None else None


def log_path(version: int) -> str:
    """The log entry of a version, relative to its table."""
    return f"{_LOG}/{version:020d}.json"
