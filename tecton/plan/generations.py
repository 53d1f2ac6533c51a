"""
What becomes of an applied view when its definition changes: which of its rows stay, which are
filled anew, and which jobs do that (docs/decisions/0038, 0039).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

import msgspec

from tecton.applied import AppliedView, BatchRows, Replaced, WorkspaceState
from tecton.periods import Period, backfill_period, due_periods, floor_to, runs_of, seen_from
from tecton.plan.differences import differences, source_differences
from tecton.plan.functions import is_same_code
from tecton.plan.values import Backfill

DESCRIBING = frozenset(
    {
        "description",
        "owner",
        "tags",
        "prevent_destroy",
        "max_backfill_interval",
        "monitor_freshness",
        "expected_feature_freshness",
        "alert_email",
    }
)
"""What of a view has nothing to do with its rows."""

IN_PLACE = DESCRIBING | {
    "ttl",
    "online",
    "offline",
    "feature_start_time",
    "batch_schedule",
    "batch_trigger",
    "manual_trigger_backfill_end_time",
}
"""What says which rows there are and where, not what is in them; all else recreates the view."""

GIVEN_BY_PLANS = frozenset({"id", "online_life", "since_version", "applied_at"})

KEPT_GENERATIONS = 3
"""Of one view, so many are remembered after they were replaced: the last that was loaded serves."""


def recreating(
    applied: WorkspaceState, state: WorkspaceState, view: AppliedView
) -> tuple[str, ...]:
    """What makes the rows of a view other ones than the applied view's, if anything does."""
    old = applied.view_by_name.get(view.name)
    if old is None:
        return ()
    # A function that is only laid out in another way gives the same values.
    kept = {"function"} if is_same_code(old.function, view.function) else set()
    if not _starts_later(old, view):
        kept.add("feature_start_time")
    within = (IN_PLACE - {"feature_start_time"}) | GIVEN_BY_PLANS | kept
    details = list(differences(old, view, frozenset(within)))
    if old.source == view.source:
        before, after = applied.source_by_name[old.source], state.source_by_name[view.source]
        details += source_differences(before, after)
    return tuple(details)


def with_ids(
    old: AppliedView | None,
    view: AppliedView,
    state: WorkspaceState,
    is_recreated: bool,
    new_id: Callable[[], str],
) -> AppliedView:
    """
    A view with the ids that its rows have.

    Args:
        old: The view as it is applied; None: it is new.
        view: As it shall be.
        state: The version that is being planned.
        is_recreated: Are all of its rows other ones?
        new_id: Gives ids.
    """
    given: dict[str, object] = {"since_version": state.version, "applied_at": state.applied_at}
    if old is None or is_recreated:
        given |= {"id": new_id(), "online_life": ""}
    elif view.offline and not old.offline:
        # What is online stays; the offline table begins with everything.
        is_kept = view.online and not needs_refill(old, view)
        given |= {"id": new_id(), "online_life": old.online_id if is_kept else ""}
    elif needs_refill(old, view):
        given |= {"id": old.id, "online_life": new_id()}
    else:
        given = {name: getattr(old, name) for name in GIVEN_BY_PLANS}
    return msgspec.structs.replace(view, **given)


def needs_refill(old: AppliedView, view: AppliedView) -> bool:
    """Does a view's online store lack rows that a read now sees, with all rows as they were?"""
    if not view.online:
        return False
    return not old.online or _sees_further(old, view)


def replaced(applied: WorkspaceState, views: Iterable[AppliedView]) -> tuple[Replaced, ...]:
    """
    The former generations that are remembered, the newest first.

    Args:
        applied: The version before.
        views: With their ids, in the version that is being planned.
    """
    kept: list[Replaced] = []
    for view in views:
        former = [one for one in applied.replaced if one.view.name == view.name]
        old = applied.view_by_name.get(view.name)
        if old is not None and old.online and old.online_id != view.online_id:
            former.insert(0, Replaced(view=old, source=applied.source_by_name[old.source]))
        kept += former[:KEPT_GENERATIONS] if view.online else ()
    return tuple(kept)


def backfills(
    applied: WorkspaceState, state: WorkspaceState, view: AppliedView, now: datetime
) -> Iterator[Backfill]:
    """
    The jobs that filling a view's stores takes.

    Args:
        applied: The version before.
        state: The version that is being planned.
        view: With its ids.
        now: Decides which periods have ended.
    """
    old = applied.view_by_name.get(view.name)
    batch = state.source_by_name[view.source].batch
    whole = backfill_period(view, batch, now)
    is_kept = old is not None and old.online and old.online_id == view.online_id
    stores = stores_of(view)
    if old is None or old.id != view.id:
        filled = tuple(store for store in stores if store == "offline" or not is_kept)
        runs = () if whole is None else runs_of(view, whole)
        yield from _jobs(view, runs, filled, now) if runs else (Backfill(view.name, None, filled),)
        return
    if view.online and not is_kept:
        yield Backfill(view.name, _seen(view, whole, now), ("online",))
    if stores:
        yield from _jobs(view, _new_runs(applied, old, view, batch, now), stores, now)


def stores_of(view: AppliedView) -> tuple[str, ...]:
    """The stores that a view is materialised to."""
    stores = {"online": view.online, "offline": view.offline}
    return tuple(name for name, is_used in stores.items() if is_used)


def _jobs(
    view: AppliedView, runs: Sequence[Period], stores: Sequence[str], now: datetime
) -> Iterator[Backfill]:
    """Runs in groups that write to the same stores: the online store gets what can be seen."""
    seen = seen_from(view, now)

    def written(run: Period) -> tuple[str, ...]:
        is_seen = seen is None or run.end > seen
        return tuple(store for store in stores if store == "offline" or is_seen)

    for to, group in groupby(runs, key=written):
        several = list(group)
        if to:
            period = Period(several[0].start, several[-1].end)
            yield Backfill(view.name, period, to, len(several))


def _new_runs(
    applied: WorkspaceState,
    old: AppliedView,
    view: AppliedView,
    batch: BatchRows | None,
    now: datetime,
) -> Sequence[Period]:
    """Of the periods that have ended those that the old definition did not ask for.

    What comes after them is due anyway, as time goes on.
    """
    before = backfill_period(old, applied.source_by_name[old.source].batch, now)
    if before is None:
        return due_periods(view, batch, (), now)
    due = due_periods(view, batch, (before,), now)
    return [run for run in due if run.start < before.start]


def _seen(view: AppliedView, whole: Period | None, now: datetime) -> Period | None:
    """The part of a backfill that a read could see."""
    seen = seen_from(view, now)
    if whole is None or seen is None:
        return whole
    start = max(whole.start, floor_to(view.batch_schedule, seen))
    return Period(start, whole.end) if start < whole.end else None


def _starts_later(old: AppliedView, view: AppliedView) -> bool:
    """Do rows leave because `feature_start_time` has moved forwards?"""
    if not stores_of(old) or old.feature_start_time is None:
        return False
    return view.feature_start_time is not None and view.start_micros > old.start_micros


def _sees_further(old: AppliedView, view: AppliedView) -> bool:
    if old.ttl is None:
        return False
    return view.ttl is None or view.ttl > old.ttl


def is_fresh(old: AppliedView | None, view: AppliedView) -> bool:
    """Is one of a view's stores filled anew?"""
    return old is None or (old.id, old.online_id) != (view.id, view.online_id)
