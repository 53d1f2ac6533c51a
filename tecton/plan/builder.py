"""
The difference between what is applied in a workspace and what shall be, as a frozen value.

Pure: the clock and new ids are arguments, nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tecton.applied import AppliedService, AppliedSource, AppliedView, WorkspaceState
from tecton.checks import check
from tecton.errors import DefinitionError, Problem
from tecton.periods import backfill_period
from tecton.plan.differences import differences, source_differences
from tecton.plan.functions import is_same_code
from tecton.plan.values import Action, Backfill, Change, Incremental, Plan
from tecton.resolve import Desired, resolve, with_referenced

if TYPE_CHECKING:
    from tecton.repo import LoadedRepo

UPDATED_IN_PLACE = frozenset(
    {
        "description",
        "owner",
        "tags",
        "prevent_destroy",
        "batch_schedule",
        "max_backfill_interval",
        "monitor_freshness",
        "expected_feature_freshness",
        "alert_email",
    }
)
"""What of a view can change without changing its values; all else makes a new generation."""

GIVEN_BY_PLANS = frozenset({"id", "since_version", "applied_at"})


def desired_of(
    repo: LoadedRepo, batch_roots: Sequence[str] = (), are_functions_on: bool = True
) -> Desired:
    """
    What a feature repo says that a workspace shall hold.

    Args:
        repo: The repo.
        batch_roots: Where batch data must be; none: anywhere.
        are_functions_on: May views have functions?

    Raises:
        DefinitionError: Something in it is wrong; lists everything.
    """
    problems = (*repo.problems, *check(repo.definitions, repo.root, batch_roots, are_functions_on))
    if problems:
        raise DefinitionError(problems)
    return resolve(with_referenced(repo.definitions), repo.root)


def make_plan(
    applied: WorkspaceState, desired: Desired, *, now: datetime, new_id: Callable[[], str]
) -> Plan:
    """
    Compare what is applied with what shall be.

    Args:
        applied: The newest version of the workspace.
        desired: What the next version shall hold.
        now: Decides which periods have ended.
        new_id: Gives the ids of new sources and generations.

    Raises:
        DefinitionError: An object with `prevent_destroy` would be deleted or recreated.
    """
    sources = tuple(_source(applied, source, new_id) for source in desired.sources)
    state = msgspec.structs.replace(
        applied,
        version=applied.version + 1,
        applied_at=now,
        applied_by="",
        comment="",
        entities=desired.entities,
        sources=sources,
        views=(),
        services=desired.services,
    )
    recreated = {view.name: _new_values(applied, state, view) for view in desired.views}
    views = tuple(
        _view(applied, state, view, bool(recreated[view.name]), new_id) for view in desired.views
    )
    state = msgspec.structs.replace(state, views=views)
    changes = tuple(_changes(applied, state, recreated))
    _refuse_destruction(applied, state, changes, desired.places)
    started = [view for view in views if view.since_version == state.version]
    started = [view for view in started if state.live and (view.online or view.offline)]
    return Plan(
        changes=changes,
        backfills=tuple(_backfill(state, view, now) for view in started),
        incrementals=tuple(
            Incremental(view.name, view.batch_schedule, stores_of(view)) for view in started
        ),
        state=state,
    )


def stores_of(view: AppliedView) -> tuple[str, ...]:
    """The stores that a view is materialised to."""
    stores = {"online": view.online, "offline": view.offline}
    return tuple(name for name, is_used in stores.items() if is_used)


def _source(
    applied: WorkspaceState, source: AppliedSource, new_id: Callable[[], str]
) -> AppliedSource:
    old = applied.source_by_name.get(source.name)
    return msgspec.structs.replace(source, id=new_id() if old is None else old.id)


def _view(
    applied: WorkspaceState,
    state: WorkspaceState,
    view: AppliedView,
    is_recreated: bool,
    new_id: Callable[[], str],
) -> AppliedView:
    old = applied.view_by_name.get(view.name)
    if old is None or is_recreated:
        given = {"id": new_id(), "since_version": state.version, "applied_at": state.applied_at}
    else:
        given = {name: getattr(old, name) for name in GIVEN_BY_PLANS}
    return msgspec.structs.replace(view, **given)


def _new_values(
    applied: WorkspaceState, state: WorkspaceState, view: AppliedView
) -> tuple[str, ...]:
    """What makes the values of a view differ from the applied ones, if anything does."""
    old = applied.view_by_name.get(view.name)
    if old is None:
        return ()
    # A function that is only laid out in another way gives the same values.
    kept = {"function"} if is_same_code(old.function, view.function) else set()
    details = list(differences(old, view, UPDATED_IN_PLACE | GIVEN_BY_PLANS | kept))
    if old.source == view.source:
        before, after = applied.source_by_name[old.source], state.source_by_name[view.source]
        details += source_differences(before, after)
    return tuple(details)


def _changes(
    applied: WorkspaceState, state: WorkspaceState, recreated: Mapping[str, tuple[str, ...]]
) -> Iterator[Change]:
    before = {(kind, value.name): value for kind, value in applied.objects()}
    after = {(kind, value.name): value for kind, value in state.objects()}
    order = [key for group in _kinds(applied, state) for key in group]
    for kind, name in order:
        old, new = before.get((kind, name)), after.get((kind, name))
        if new is None:
            yield Change(Action.DELETE, kind, name)
        elif old is None:
            yield Change(Action.CREATE, kind, name, new.description)
        else:
            details = tuple(differences(old, new, GIVEN_BY_PLANS))
            if kind == "StreamFeatureView" and recreated[name]:
                details = tuple(dict.fromkeys((*recreated[name], *details)))
                yield Change(Action.RECREATE, kind, name, new.description, details)
            elif details:
                yield Change(Action.UPDATE, kind, name, new.description, details)


def _kinds(applied: WorkspaceState, state: WorkspaceState) -> Sequence[Sequence[tuple[str, str]]]:
    """The keys of all objects, by kind in the order of `objects`, sorted by name."""
    groups: dict[str, set[tuple[str, str]]] = {
        kind: set() for kind in ("Entity", "StreamSource", "StreamFeatureView", "FeatureService")
    }
    for one in (applied, state):
        for kind, value in one.objects():
            groups[kind].add((kind, value.name))
    return [sorted(group) for group in groups.values()]


def _refuse_destruction(
    applied: WorkspaceState,
    state: WorkspaceState,
    changes: Sequence[Change],
    places: Mapping[tuple[str, str], str],
) -> None:
    """An object is protected until a version says `prevent_destroy=False`, or the new one does.

    A protected feature service protects the views in it too.
    """
    still = {(kind, value.name): value.prevent_destroy for kind, value in state.objects()}
    guards: dict[tuple[str, str], str] = {}
    for kind, value in applied.objects():
        if value.prevent_destroy and still.get((kind, value.name), True):
            guards[kind, value.name] = "it has prevent_destroy=True"
            if isinstance(value, AppliedService):
                for taken in value.views:
                    reason = f"FeatureService {value.name} has prevent_destroy=True"
                    guards.setdefault(("StreamFeatureView", taken.view), reason)
    problems = [
        _refusal(change, guards[change.kind, change.name], places, applied)
        for change in changes
        if change.action in (Action.DELETE, Action.RECREATE)
        and (change.kind, change.name) in guards
    ]
    if problems:
        raise DefinitionError(problems)


def _refusal(
    change: Change,
    reason: str,
    places: Mapping[tuple[str, str], str],
    applied: WorkspaceState,
) -> Problem:
    doing = "recreate" if change.action is Action.RECREATE else "delete"
    reasons = [detail.partition("\n")[0] for detail in change.details]
    because = f" ({'; '.join(reasons)})" if reasons else ""
    return Problem(
        where=places.get((change.kind, change.name), f"workspace {applied.name}"),
        what=f"{change.kind} {change.name}",
        field="prevent_destroy",
        message=f"the plan would {doing} it{because}, but {reason}; apply prevent_destroy=False "
        "first if that is meant",
    )


def _backfill(state: WorkspaceState, view: AppliedView, now: datetime) -> Backfill:
    batch = state.source_by_name[view.source].batch
    return Backfill(view.name, backfill_period(view, batch, now), stores_of(view))
