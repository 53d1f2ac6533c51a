"""
An online store that has lost a view → filled again from offline and push tables, without a JVM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

from tecton.applied import AppliedView, WorkspaceState
from tecton.due import is_offline_whole
from tecton.failpoints import Point, reach
from tecton.rows import FeatureRow
from tecton.stores import History, OnlineStore, Reached, Run, RunLog, is_backfilled
from tecton.sweep import PATIENCE
from tecton.timestamps import micros_of

Told = Callable[[WorkspaceState, AppliedView], Reached]


def nothing_told(_: WorkspaceState, __: AppliedView) -> Reached:
    """Of stores that keep no account of jobs and erasures."""
    return Reached()


class Reloaded(NamedTuple):
    """What became of a lost view; *rows* None: it cannot be reloaded here.

    Only Spark can read a batch source. A view with such a source whose rows are in no offline
    table is loaded by `jobs/backfill.py` or `tecton materialize run-due`.
    """

    view: str
    rows: int | None


def reload_lost(
    online: OnlineStore,
    history: History,
    runs: RunLog,
    states: Sequence[WorkspaceState],
    now: datetime,
    told: Told = nothing_told,
) -> Iterator[Reloaded]:
    """
    Fill the online store again with the views that it holds no more.

    Views whose backfill has not ended yet are left to it, as are those that shall be filled anew
    since just now. Safe beside anything that writes: rows
    are offered, and the more recent one stays.

    Args:
        online: The online store.
        history: What is kept of views elsewhere.
        runs: Tells whose backfill has ended.
        states: The workspaces.
        now: Rows that no read at this time or later sees are passed over.
        told: How far views should have come (`lapse.told`).

    Yields:
        A report for each view that was lost.

    Raises:
        StoreUnavailable: A store does not answer, or the online store lost data again.
    """
    for state in states:
        views = {view.online_id: view for view in state.views if state.live and view.online}
        lost = online.unloaded(list(views))
        ended = runs.of(state.folder) if lost else ()
        for view in (views[view_id] for view_id in lost):
            # Before, a service may still accept records without knowing whom they concern. The
            # backfill of a view that is new has waited for that.
            is_known = not view.online_life or now >= view.applied_at + PATIENCE
            if is_known and is_backfilled(ended, view):
                kept = is_kept(state, view, ended)
                rows = _reload(online, history, state, view, now, told) if kept else None
                yield Reloaded(view.name, rows)


def replay(
    online: OnlineStore,
    history: History,
    state: WorkspaceState,
    view: AppliedView,
    now: datetime,
    told: Told = nothing_told,
) -> Reloaded:
    """
    Offer the online store all rows that are kept of a view, whether it lacks any or not.

    Args:
        online: The online store.
        history: What is kept of the view elsewhere.
        state: The workspace.
        view: A view with `online=True` whose backfill has ended, and of which `is_kept`.
        now: Rows that no read at this time or later sees are passed over.
        told: How far views should have come (`lapse.told`).

    Raises:
        StoreUnavailable: A store does not answer, or the online store lost data meanwhile.
    """
    return Reloaded(view.name, _reload(online, history, state, view, now, told))


def _reload(
    online: OnlineStore,
    history: History,
    state: WorkspaceState,
    view: AppliedView,
    now: datetime,
    told: Told,
) -> int:
    # Before the rows are read, so that these have at least what is told.
    reached = told(state, view)
    load = online.begin_load(view.online_id, reached.erased)
    count = _offer(online, history.rows(state, view, view.oldest_seen(micros_of(now))))
    online.mark_loaded([view.online_id], load, reached)
    return count


def is_kept(state: WorkspaceState, view: AppliedView, ended: Iterable[Run]) -> bool:
    """Are all rows of a view in tables that can be read without Spark, as far as runs say?"""
    return state.source_by_name[view.source].batch is None or is_offline_whole(view, ended)


def _offer(online: OnlineStore, chunks: Iterable[Sequence[FeatureRow]]) -> int:
    """Offer rows, and read the next ones while the online store takes them."""
    count = 0
    pending: Future[None] | None = None
    with ThreadPoolExecutor(1) as pool:
        for rows in chunks:
            if pending is not None:
                pending.result()
            pending = pool.submit(online.upsert, rows)
            count += len(rows)
            reach(Point.RELOAD)
        if pending is not None:
            pending.result()
    return count
