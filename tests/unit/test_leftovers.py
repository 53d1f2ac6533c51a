"""What is gone, since when, and which former generations still serve (0038)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from tecton.applied import AppliedView, Replaced, WorkspaceState, offline_path, push_path
from tecton.catalog import Catalog
from tecton.errors import StoreUnavailable
from tecton.leftovers import LOOKED_BACK, Ledger
from tecton.sweep import PATIENCE, Sweep, obsolete_in, standing_in
from tecton.testing import (
    NOW,
    InMemoryAccess,
    InMemoryOnlineStore,
    InMemoryRegistry,
    build_source,
    build_state,
    build_view,
    next_version,
)

DAY = timedelta(days=1)
SOURCE = build_source()


def generation(view_id: str, **changes: Any) -> AppliedView:
    """The view under one of its ids."""
    return build_view(SOURCE, id=view_id, **changes)


def replacing(view_id: str, *former: str) -> WorkspaceState:
    """A workspace whose view has former generations, the newest first."""
    replaced = tuple(Replaced(view=generation(one), source=SOURCE) for one in former)
    return build_state([SOURCE], [generation(view_id)], [], replaced=replaced)


@pytest.mark.parametrize(
    ("loaded", "serving"),
    [
        (["c", "b", "a"], []),
        (["c"], []),
        (["b", "a"], ["b"]),
        (["a"], ["a"]),
        ([], []),
    ],
)
def test_newest_loaded_generation_stands_in(loaded: list[str], serving: list[str]) -> None:
    """Nothing stands in for what is loaded; then all that was before it is obsolete."""
    state = replacing("c", "b", "a")
    online = InMemoryOnlineStore()
    online.mark_loaded(loaded)
    found = standing_in(state, online.unloaded)
    assert [one.view.id for one in found] == serving
    assert obsolete_in(state, found) == ([] if serving else ["b", "a"])
    assert standing_in(msgspec.structs.replace(state, live=False), online.unloaded) == ()


def test_store_is_asked_only_while_something_is_replaced() -> None:
    """A workspace without former generations costs nothing."""

    def unloaded(views: Sequence[str]) -> Sequence[str]:
        raise AssertionError("nothing to ask")

    assert standing_in(replacing("c"), unloaded) == ()


def test_catalog_feeds_what_serves() -> None:
    """A service knows of the generation that stands in, and of none when that is over."""
    state = replacing("b", "a")
    online = InMemoryOnlineStore()
    online.mark_loaded(["a"])
    registry = InMemoryRegistry(state)
    catalog = Catalog(registry, InMemoryAccess(), DAY, unloaded=online.unloaded)
    catalog.refresh()
    known = catalog.workspace(state.name)
    assert known == state
    catalog.refresh()
    assert catalog.workspace(state.name) is known
    assert catalog.obsolete == ()
    online.mark_loaded(["b"])
    catalog.refresh()
    assert catalog.workspace(state.name) == msgspec.structs.replace(state, replaced=())
    assert catalog.obsolete == ("a",)


def test_catalog_feeds_all_while_nobody_can_tell() -> None:
    """Rows that are not needed do no harm; a lack of them would."""
    state = replacing("b", "a")
    online = InMemoryOnlineStore()
    online.is_down = True
    catalog = Catalog(InMemoryRegistry(state), InMemoryAccess(), DAY, unloaded=online.unloaded)
    with pytest.raises(StoreUnavailable):
        catalog.refresh()
    assert catalog.workspace(state.name) == state
    assert catalog.obsolete == ()


def test_sweep_is_patient_and_does_it_once() -> None:
    """Another service may write for some seconds; a failure is tried again."""
    asked: list[str] = []
    failures = ["once"]

    def forget(views: Sequence[str]) -> int:
        asked.extend(views)
        if failures:
            raise StoreUnavailable(failures.pop())
        return 3

    sweep = Sweep(forget, lambda views: [view for view in views if view == "b"])
    assert list(sweep.look(["a", "b"], NOW)) == []
    with pytest.raises(StoreUnavailable):
        list(sweep.look(["a", "b"], NOW + PATIENCE))
    assert list(sweep.look(["a", "b"], NOW + PATIENCE)) == [("a", 3)]
    assert list(sweep.look(["a", "b"], NOW + 2 * PATIENCE)) == []
    assert asked == ["a", "a"]


def versions(*states: WorkspaceState) -> InMemoryRegistry:
    """A registry with these versions."""
    registry = InMemoryRegistry()
    for state in states:
        registry.commit(state)
    return registry


def at(state: WorkspaceState, day: int, **changes: Any) -> WorkspaceState:
    """The next version, applied on a day."""
    return next_version(state, applied_at=NOW + day * DAY, **changes)


def test_ledger_knows_when_a_table_ceased_to_be_used() -> None:
    """By the first version without it; what is in use, or unknown, has no such time."""
    first = build_state([SOURCE], [generation("a")], [], applied_at=NOW)
    second = at(first, 1, views=(generation("b"),))
    third = at(second, 2, views=(generation("b", offline=False),))
    ledger = Ledger(versions(first, second, third))
    expected: dict[str, datetime | None] = {
        "a": NOW + DAY,
        "b": NOW + 2 * DAY,
        "unknown": None,
    }
    found = {one: ledger.since(offline_path(first, generation(one))) for one in expected}
    assert found == expected
    assert ledger.since(push_path(first)) is None
    assert Ledger(versions(first)).since(offline_path(first, first.views[0])) is None


def test_ledger_knows_when_a_view_left_the_online_store() -> None:
    """What says how far it was filled has the name of its rows there."""
    first = build_state([SOURCE], [generation("a")], [], applied_at=NOW)
    second = at(first, 1, views=(generation("a", online_life="c"),))
    third = at(second, 2, views=(generation("a", online_life="c", online=False),))
    ledger = Ledger(versions(first, second, third))
    found = {one: ledger.since(f"filled/{first.folder}/{one}") for one in ("a", "c", "unknown")}
    assert found == {"a": NOW + DAY, "c": NOW + 2 * DAY, "unknown": None}
    assert ledger.since(offline_path(first, first.views[0])) is None


def test_ledger_knows_when_a_workspace_was_deleted() -> None:
    """Its name may have another life; a folder of an unknown one is left alone."""
    first = build_state([SOURCE], [generation("a")], [], applied_at=NOW)
    deleted = at(first, 1, views=(), deleted=True)
    again = build_state([SOURCE], [generation("b")], [], version=3, applied_at=NOW + 2 * DAY)
    ledger = Ledger(versions(first, deleted, again))
    assert ledger.since(push_path(first)) == NOW + DAY
    assert ledger.since(f"offline/{first.folder}") == NOW + DAY
    assert ledger.since(push_path(again)) is None
    assert ledger.since("push/other.0123") is None


def test_rows_of_views_that_are_gone_are_found() -> None:
    """Those that were deleted or replaced lately, but none that serves."""
    online = InMemoryOnlineStore()
    first = build_state([SOURCE], [generation("a")], [], applied_at=NOW)
    second = at(first, 1, views=(generation("b"),), replaced=replacing("b", "a").replaced)
    ledger = Ledger(versions(first, second))
    online.mark_loaded(["a"])
    later = NOW + 2 * DAY
    assert ledger.gone_online(online.unloaded, later) == []
    online.mark_loaded(["b"])
    assert ledger.gone_online(online.unloaded, later) == ["a"]
    third = at(second, 2, views=(), replaced=())
    ledger = Ledger(versions(first, second, third))
    assert ledger.gone_online(online.unloaded, later) == ["a"]
    assert ledger.gone_online(online.unloaded, later + PATIENCE) == ["b", "a"]
    # `a` was no part of any version that is looked at.
    assert ledger.gone_online(online.unloaded, later + LOOKED_BACK) == ["b"]
    assert ledger.gone_online(online.unloaded, later + LOOKED_BACK + DAY) == []
