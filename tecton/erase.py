"""
Erase join keys: tombstones first, then the online store, the offline tables and the push tables.

It can be killed anywhere and run again. What reads or loads meanwhile knows the tombstones; what
was offered to the online store in the moment before they stood is deleted at the end once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tecton.applied import AppliedView, WorkspaceState
from tecton.errors import InvalidKeys
from tecton.rows import encode_key
from tecton.sequences import last_logged, take_sequences
from tecton.stores import Erasures, OnlineStore, PushTables, Reached
from tecton.timestamps import from_micros, micros_of
from tecton.tombstones import GRACE
from tecton.types import Int64, ValueMismatch, show

SETTLE = timedelta(seconds=10)
"""How long what was read before the tombstones may take to reach the online store."""

STEP = timedelta(seconds=5)

RETURNS = (
    "what the batch source still holds of these join keys returns with its next run over their "
    "time; delete it there too"
)


def keys_of(view: AppliedView, given: Any) -> list[list[Any]]:
    """
    Join keys as a person gives them → their canonical values, each once.

    Args:
        view: The view.
        given: A pandas frame, or dicts; each with all join keys of the view and nothing else.

    Raises:
        InvalidKeys: One is not that.
    """
    records = given.to_dict("records") if hasattr(given, "to_dict") else list(given)
    found = {encode_key(values): values for values in (_key(view, each) for each in records)}
    if not found:
        raise InvalidKeys("no join keys are given, so there is nothing to delete")
    return list(found.values())


def erase(
    erasures: Erasures,
    online: Callable[[], OnlineStore],
    state: WorkspaceState,
    view: AppliedView,
    keys: Sequence[Sequence[Any]],
    is_online: bool,
    is_offline: bool,
    clock: Callable[[], datetime],
    wait_until: Callable[[datetime], None],
    tables: PushTables | None = None,
) -> Iterator[str]:
    """
    Erase what is known of join keys.

    A pushed record belongs to its source, so with *is_offline* the keys are erased from every view
    of the source that has the same join keys.

    Args:
        erasures: Tombstones and tables.
        online: Opens the online store.
        state: The workspace.
        view: The view.
        keys: Canonical values in the order of the view's join keys.
        is_online: From the online store.
        is_offline: From offline and push tables.
        clock: The time.
        wait_until: Returns when the clock shows at least that time.
        tables: The push tables; None: there are none.

    Yields:
        Lines for people.

    Raises:
        StoreUnavailable: A store does not answer; run it again.
    """
    views = _together(state, view) if is_offline else [view]
    logged = partial(last_logged, tables, erasures, state)
    store = online() if any(each.online for each in state.views) else None
    sequence = _take_sequence(store, state, micros_of(clock()), 0, logged)
    for each in views:
        erasures.add(state, each, _ordered(view, each, keys), sequence, is_online, is_offline)
    former = _former(state, views) if is_online else []
    for each in former:
        # The same tombstones as the view's, unless it was recreated.
        erasures.add(state, each, _ordered(view, each, keys), sequence, True, False)
    # The store may have forgotten it before the tombstones stood.
    _take_sequence(store, state, micros_of(clock()), sequence, logged)
    settled = clock() + SETTLE
    served = [*(each for each in views if each.online and is_online), *former]
    _erase_online(online, view, served, keys, sequence)
    if is_offline:
        for each in views:
            ordered = _ordered(view, each, keys)
            count = erasures.delete_offline(state, each, ordered, sequence) if each.offline else 0
            yield f"{each.name}: {count:,} rows deleted offline"
        encoded = {encode_key(key) for each in views for key in _ordered(view, each, keys)}
        count, later = erasures.delete_pushed(state, views, encoded, sequence)
        yield f"{view.source}: {count:,} pushed records deleted"
        if served:
            ids = {each.online_id for each in served}
            online().upsert([row for row in later if row.view in ids])
    if served:
        wait_until(settled)
        _erase_online(online, view, served, keys, sequence)
        _advance(online, erasures, state, served, sequence, clock, wait_until)
        names = ", ".join(dict.fromkeys(each.name for each in served))
        yield f"{names}: {len(keys):,} join keys deleted online"
    if state.source_by_name[view.source].batch is not None:
        yield RETURNS


def _take_sequence(
    online: OnlineStore | None,
    state: WorkspaceState,
    now: int,
    given: int,
    logged: Callable[[], int],
) -> int:
    if online is None:
        # Nothing is pushed to such a workspace, but something may have been.
        return max(now, 1 + logged())
    return take_sequences(online, state.id, 1, now, given, logged)


def _erase_online(
    online: Callable[[], OnlineStore],
    view: AppliedView,
    served: Sequence[AppliedView],
    keys: Sequence[Sequence[Any]],
    sequence: int,
) -> None:
    for each in served:
        encoded = [encode_key(key) for key in _ordered(view, each, keys)]
        online().erase(each, encoded, sequence)


def _advance(
    online: Callable[[], OnlineStore],
    erasures: Erasures,
    state: WorkspaceState,
    views: Sequence[AppliedView],
    sequence: int,
    clock: Callable[[], datetime],
    wait_until: Callable[[datetime], None],
) -> None:
    """Say how far views have come, each unless it lacks an erasure of other keys that was before.

    That one may be under way, and is waited for. Else the online store has gone back since, which
    `lapse` would not notice any more.
    """
    for view in views:
        _advance_one(online, erasures, state, view, sequence, clock, wait_until)


def _advance_one(
    online: Callable[[], OnlineStore],
    erasures: Erasures,
    state: WorkspaceState,
    view: AppliedView,
    sequence: int,
    clock: Callable[[], datetime],
    wait_until: Callable[[datetime], None],
) -> None:
    others = erasures.of(state, view).online.values()
    before = max((other for other in others if other < sequence), default=0)
    for _ in range(GRACE // STEP):
        store = online()
        [has] = store.reached([view.online_id])
        if has.erased >= before or store.unloaded([view.online_id]):
            store.advance(view.online_id, Reached(erased=sequence))
            return
        if clock() > from_micros(before) + GRACE:
            return
        wait_until(clock() + STEP)


def _together(state: WorkspaceState, view: AppliedView) -> list[AppliedView]:
    """The views of a source that have the same join keys, by name."""
    names = {field.name for field in view.key_fields}
    return [
        each
        for each in state.views_by_source[view.source]
        if {field.name for field in each.key_fields} == names
    ]


def _former(state: WorkspaceState, views: Sequence[AppliedView]) -> list[AppliedView]:
    """The generations before some views that may be served still, by the same join keys."""
    return [
        former
        for view in views
        for former in state.replaced_by(view)
        if {field.name for field in former.key_fields} == {field.name for field in view.key_fields}
    ]


def _ordered(
    view: AppliedView, other: AppliedView, keys: Sequence[Sequence[Any]]
) -> list[list[Any]]:
    """Keys of one view in the order of another's join keys."""
    places = {field.name: place for place, field in enumerate(view.key_fields)}
    return [[key[places[field.name]] for field in other.key_fields] for key in keys]


def _key(view: AppliedView, given: Mapping[str, Any]) -> list[Any]:
    names = [field.name for field in view.key_fields]
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise InvalidKeys(f"{show(given)} must have the join keys {', '.join(names)}, no other")
    values = []
    for field in view.key_fields:
        value = given[field.name]
        if field.dtype == Int64 and hasattr(value, "item"):
            value = value.item()
        try:
            values.append(field.dtype.accept(value))
        except ValueMismatch as exc:
            raise InvalidKeys(f"join key `{field.name}`: {exc}") from None
    return values
