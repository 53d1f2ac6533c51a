"""
The difference between what is applied in a workspace and what shall be, as a frozen value.

Pure: the clock and new ids are arguments, nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tecton.applied import AppliedService, AppliedSource, WorkspaceState
from tecton.checks import check
from tecton.errors import DefinitionError, Problem
from tecton.plan.differences import differences
from tecton.plan.generations import (
    GIVEN_BY_PLANS,
    backfills,
    is_fresh,
    recreating,
    replaced,
    stores_of,
    with_ids,
)
from tecton.plan.values import Action, Change, Incremental, Plan
from tecton.resolve import Desired, resolve, with_referenced

if TYPE_CHECKING:
    from tecton.repo import LoadedRepo


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
        DefinitionError: An object with `prevent_destroy` would be deleted or recreated, or a
            source's column would change its type.
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
        replaced=(),
        services=desired.services,
    )
    _refuse_type_changes(applied, state, desired.places)
    recreated = {view.name: recreating(applied, state, view) for view in desired.views}
    views = tuple(
        with_ids(
            applied.view_by_name.get(view.name), view, state, bool(recreated[view.name]), new_id
        )
        for view in desired.views
    )
    state = msgspec.structs.replace(state, views=views, replaced=replaced(applied, views))
    changes = tuple(_changes(applied, state, recreated))
    _refuse_destruction(applied, state, changes, desired.places)
    started = [view for view in views if state.live and (view.online or view.offline)]
    fresh = [view for view in started if is_fresh(applied.view_by_name.get(view.name), view)]
    return Plan(
        changes=changes,
        backfills=tuple(job for view in started for job in backfills(applied, state, view, now)),
        incrementals=tuple(
            Incremental(view.name, view.batch_schedule, stores_of(view)) for view in fresh
        ),
        state=state,
    )


def _source(
    applied: WorkspaceState, source: AppliedSource, new_id: Callable[[], str]
) -> AppliedSource:
    old = applied.source_by_name.get(source.name)
    return msgspec.structs.replace(source, id=new_id() if old is None else old.id)


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


def _refuse_type_changes(
    applied: WorkspaceState, state: WorkspaceState, places: Mapping[tuple[str, str], str]
) -> None:
    """What was pushed stays as it was accepted, so a column of a source keeps its type."""
    problems = []
    for source in state.sources if state.live else ():
        old = applied.source_by_name.get(source.name)
        types = {} if old is None else {column.name: column.dtype for column in old.columns}
        for column in source.columns:
            was = types.get(column.name, column.dtype)
            if was != column.dtype:
                problems.append(
                    Problem(
                        where=places.get(("StreamSource", source.name), f"workspace {state.name}"),
                        what=f"StreamSource {source.name}",
                        field="schema",
                        message=f"column `{column.name}` would change from {was} to "
                        f"{column.dtype}, but pushed records keep what they have; give the new "
                        "column, or the new source, another name",
                    )
                )
    if problems:
        raise DefinitionError(problems)


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
