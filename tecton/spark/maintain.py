"""
The maintenance of a workspace's tables: push tables without Spark, offline tables by it.

On S3 the two engines commit in ways that do not see each other, so each table has one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from tecton.applied import AppliedView, WorkspaceState, offline_path
from tecton.errors import StoreUnavailable
from tecton.leftovers import KEPT, Ledger
from tecton.maintain import leftovers, maintain_push_tables, maintain_store
from tecton.names import sql_name
from tecton.spark.failures import attempt_all
from tecton.spark.offline_table import OfflineTable
from tecton.spark.tables import JobStores
from tecton.stores import TableCare, Tidied

FEW_FILES = 8
"""A partition with more small files than these is written anew; fewer cost readers little."""

VACUUM_HOURS = 7 * 24


def maintain(
    stores: JobStores,
    care: TableCare,
    state: WorkspaceState,
    states: Sequence[WorkspaceState],
    ledger: Ledger | None = None,
) -> Iterator[object]:
    """
    Keep a workspace's tables, and those that all share, small and fast.

    Can be killed anywhere and run again; two at once do each other no harm.

    Args:
        stores: What the job works on.
        care: Keeps the tables that delta-rs writes.
        state: The workspace.
        states: All workspaces that there are.
        ledger: Says since when what is left over is; None: nothing of that is removed.

    Yields:
        A report for each table, and one for each folder that belongs to nothing any more.

    Raises:
        JobFailed: Some of it failed; the rest was done.
    """
    now = stores.clock()
    work: list[tuple[str, Iterator[object]]] = [
        ("push tables", maintain_push_tables(stores.logs, care, state, now)),
        *(
            (view.name, _offline_table(stores, care, state, view))
            for view in state.views
            if view.offline
        ),
        ("the store's tables", maintain_store(care, now)),
        ("what is left over", _left_over(stores, care, states, ledger, now)),
    ]
    return attempt_all(work)


def _offline_table(
    stores: JobStores, care: TableCare, state: WorkspaceState, view: AppliedView
) -> Iterator[Tidied]:
    path = offline_path(state, view)
    table = stores.offline_table(state, view)
    scattered = care.scattered(path, FEW_FILES)
    joined = sum(
        _compact(table, origin, [day for _, day in days])
        for origin, days in groupby(scattered, key=lambda partition: partition[0])
    )
    removed = care.unused(path)
    if removed:
        stores.spark.sql(f"VACUUM {_name(table)} RETAIN {VACUUM_HOURS} HOURS")
    if table.version() is not None:
        yield Tidied(path, joined, 0, removed)


def _compact(table: OfflineTable, origin: str, days: Sequence[str]) -> int:
    named = ", ".join(f"DATE'{day}'" for day in days)
    done = table.spark.sql(
        f"OPTIMIZE {_name(table)} WHERE _origin = '{origin}' AND _date IN ({named})"
    )
    return sum(
        row["removed"] for row in done.selectExpr("metrics.numFilesRemoved removed").collect()
    )


def _name(table: OfflineTable) -> str:
    return f"delta.{sql_name(table.url)}"


def _left_over(
    stores: JobStores,
    care: TableCare,
    states: Sequence[WorkspaceState],
    ledger: Ledger | None,
    now: datetime,
) -> Iterator[str]:
    for path in leftovers(stores.logs, states):
        since = None if ledger is None else ledger.since(path)
        if since is None:
            yield f"{path}: belongs to no workspace or view any more; nothing reads it"
        elif now < since + KEPT:
            yield f"{path}: not used any more; it is removed after {since + KEPT:%Y-%m-%d}"
        else:
            yield f"{path}: not used any more; {care.remove(path):,} files removed"
    # A workspace without online views must not need Redis.
    if ledger is not None and any(view.online for state in states for view in state.views):
        yield from _forget(stores, ledger, now)


def _forget(stores: JobStores, ledger: Ledger, now: datetime) -> Iterator[str]:
    online = stores.open_online()
    try:
        gone = ledger.gone_online(online.unloaded, now)
        count = online.forget(gone) if gone else 0
    except StoreUnavailable as exc:
        # Redis's user may not list keys; what has a ttl goes by itself.
        yield f"rows of views that are gone stay in Redis: {exc}"
        return
    if count:
        yield f"Redis: {count:,} keys of views that are gone removed"
