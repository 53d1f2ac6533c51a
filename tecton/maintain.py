"""
What keeps the tables of a store small and fast: which records may go, which tables are whose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from tecton.applied import AppliedView, WorkspaceState, offline_path, push_path
from tecton.names import path_of
from tecton.stores import DeltaLogs, Kept, TableCare, Tidied
from tecton.timestamps import MICROSECOND

MARGIN = timedelta(days=2)
"""For records from ahead of the clock, days that are cut off whole, and clocks that differ."""

APPENDED = ("runs", "audit")
"""Tables of the store that every process appends to."""

_EVERYTHING = 2**63 - 1


def kept_since(state: WorkspaceState, now: datetime) -> date | None:
    """
    The first day whose pushed records must be kept; None: all of them, for ever.

    Args:
        state: The workspace. Its push tables hold the records of all sources together, so the
            view that sees furthest back decides, and one source with `log_offline=True`.
        now: The time.
    """
    if not state.views or any(source.log_offline for source in state.sources):
        return None
    reaches = [view.reach_micros for view in state.views]
    furthest = 0
    for reach in reaches:
        if reach is None:
            return None
        furthest = max(furthest, reach)
    try:
        return (now - furthest * MICROSECOND - MARGIN).date()
    except OverflowError:
        return None


def taken_by_all(logs: DeltaLogs, state: WorkspaceState, writer: str) -> int:
    """
    The newest batch of a writer that every offline table of a workspace has taken.

    Args:
        logs: Says what the tables have taken.
        state: The workspace.
        writer: The slot.
    """
    taken = [_taken(logs, state, view, writer) for view in state.views if view.offline]
    return min(taken, default=_EVERYTHING)


def maintain_push_tables(
    logs: DeltaLogs, care: TableCare, state: WorkspaceState, now: datetime
) -> Iterator[Tidied]:
    """
    Tidy the push tables of a workspace beside the services that write them.

    Args:
        logs: Says what has been taken.
        care: Does it.
        state: The workspace.
        now: The time.

    Yields:
        What was done, for each table.

    Raises:
        StoreUnavailable: A table cannot be read, or somebody else maintains it.
    """
    since = kept_since(state, now)
    for writer in logs.folders(push_path(state)):
        kept = Kept(since, taken_by_all(logs, state, writer))
        yield care.push_table(f"{push_path(state)}/{path_of(writer)}", now, kept)


def maintain_store(care: TableCare, now: datetime) -> Iterator[Tidied]:
    """Tidy the tables that all workspaces share; arguments and answers as above."""
    for path in APPENDED:
        tidied = care.appended_table(path, now)
        if tidied is not None:
            yield tidied


def leftovers(logs: DeltaLogs, states: Sequence[WorkspaceState]) -> Iterator[str]:
    """
    Folders whose workspace is deleted or whose view was recreated or deleted.

    Args:
        logs: Lists folders.
        states: All workspaces that there are.
    """
    for top in ("push", "offline", "checkpoints", "erased", "filled"):
        known = {state.folder for state in states}
        for folder in logs.folders(top):
            if folder not in known:
                yield f"{top}/{folder}"
    for state in states:
        tables = {offline_path(state, view) for view in state.views if view.offline}
        base = f"offline/{state.folder}"
        for view in logs.folders(base):
            for generation in logs.folders(f"{base}/{view}"):
                path = f"{base}/{view}/{generation}"
                if path not in tables:
                    yield path
        online = {view.online_id for view in state.views if view.online}
        base = f"filled/{state.folder}"
        yield from (f"{base}/{one}" for one in logs.folders(base) if one not in online)


def _taken(logs: DeltaLogs, state: WorkspaceState, view: AppliedView, writer: str) -> int:
    path = offline_path(state, view)
    version = logs.version(path)
    return 0 if version is None else logs.transaction(path, version, f"push/{writer}")
