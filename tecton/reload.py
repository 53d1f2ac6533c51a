"""
An online store that has lost a view → filled again from offline and push tables, without a JVM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tecton.applied import AppliedView, WorkspaceState
from tecton.stores import History, OnlineStore, RunLog, is_backfilled
from tecton.timestamps import micros_of


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
) -> Iterator[Reloaded]:
    """
    Fill the online store again with the views that it holds no more.

    Views whose backfill has not ended yet are left to it. Safe beside anything that writes: rows
    are offered, and the more recent one stays.

    Args:
        online: The online store.
        history: What is kept of views elsewhere.
        runs: Tells whose backfill has ended.
        states: The workspaces.
        now: Rows that no read at this time or later sees are passed over.

    Yields:
        A report for each view that was lost.

    Raises:
        StoreUnavailable: A store does not answer, or the online store lost data again.
    """
    for state in states:
        views = {view.id: view for view in state.views if state.live and view.online}
        lost = online.unloaded(list(views))
        ended = runs.of(state.folder) if lost else ()
        for view in (views[view_id] for view_id in lost):
            if is_backfilled(ended, view):
                yield Reloaded(view.name, _reload(online, history, state, view, now))


def _reload(
    online: OnlineStore, history: History, state: WorkspaceState, view: AppliedView, now: datetime
) -> int | None:
    source = state.source_by_name[view.source]
    if source.batch is not None and not view.offline:
        return None
    load = online.begin_load(view.id)
    count = 0
    for rows in history.rows(state, view, view.oldest_seen(micros_of(now))):
        online.upsert(rows)
        count += len(rows)
        while online.tidy():
            pass
    online.mark_loaded([view.id], load)
    return count
