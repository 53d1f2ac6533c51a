"""
An online store that has gone back to an older state → the views that this concerns, marked as lost.

Pushed records have their own watermarks (`tail`). Here it is about what jobs and erasures did: what
is kept outside of the online store says how far it had come (docs/decisions/0043).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tecton.applied import AppliedView, WorkspaceState
from tecton.stores import BatchLedger, Erasures, OnlineStore, Reached
from tecton.timestamps import micros_of
from tecton.tombstones import GRACE


class Lapsed(NamedTuple):
    """A view that lacks what the online store once had; *erased*: it has erased rows again."""

    view: str
    erased: bool


def mark_lapsed(
    online: OnlineStore,
    ledger: BatchLedger,
    erasures: Erasures,
    states: Sequence[WorkspaceState],
    now: datetime,
) -> Iterator[Lapsed]:
    """
    Take the marks of those views away that the online store holds as they once were.

    Whoever fills lost views does the rest. Where erased rows are back, all rows of the view go.

    Args:
        online: The online store.
        ledger: Up to which job's rows it was filled.
        erasures: Which join keys were erased.
        states: The workspaces.
        now: The time.

    Yields:
        Each view that was marked.

    Raises:
        StoreUnavailable: A store does not answer.
    """
    for state in states:
        views = [view for view in state.views if state.live and view.online]
        # Before the online store is asked: what a job enters in between is no loss.
        should_have = list(_told(state, views, ledger, erasures, now))
        lost = set(online.unloaded([view.online_id for view in views]))
        found = online.reached([view.online_id for view in views]) if views else ()
        for view, should, has in zip(views, should_have, found, strict=True):
            if view.online_id in lost:
                continue
            if has.erased < should.erased:
                online.forget([view.online_id])
                yield Lapsed(view.name, erased=True)
            elif has.batch < should.batch:
                online.unmark([view.online_id])
                yield Lapsed(view.name, erased=False)


def told(
    state: WorkspaceState,
    view: AppliedView,
    ledger: BatchLedger,
    erasures: Erasures,
    now: datetime,
) -> Reached:
    """
    How far a view in the online store should have come.

    Args:
        state: The workspace.
        view: One of its views.
        ledger: Up to which job's rows it was filled.
        erasures: Which join keys were erased.
        now: The time; an erasure of just now may be under way still.
    """
    return next(_told(state, [view], ledger, erasures, now))


def _told(
    state: WorkspaceState,
    views: Sequence[AppliedView],
    ledger: BatchLedger,
    erasures: Erasures,
    now: datetime,
) -> Iterator[Reached]:
    """How far each view in the online store should have come."""
    filled = ledger.of(state)
    settled = micros_of(now - GRACE)
    has_erasures = bool(views) and erasures.last_sequence(state) > 0
    for view in views:
        erased = erasures.of(state, view).online.values() if has_erasures else ()
        last = max((sequence for sequence in erased if sequence <= settled), default=0)
        yield Reached(filled.get(view.online_id, 0), last)
