"""An emptied Redis is filled again: by the service without a JVM, or by the next job."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tecton.applied import WorkspaceState
from tecton.erase import erase, keys_of
from tecton.lapse import GRACE, Lapsed, mark_lapsed
from tecton.reload import Reloaded, reload_lost
from tests.spark.scene import DAY, Scene, utc


def _reload(scene: Scene, state: WorkspaceState) -> list[Reloaded]:
    backend = scene.backend
    return list(reload_lost(scene.online, backend.history, backend.runs, [state], scene.clock()))


def _lapsed(scene: Scene, state: WorkspaceState) -> list[Lapsed]:
    """What a service sees that looks now."""
    backend = scene.backend
    stores = (scene.online, backend.ledger, backend.erasures)
    return list(mark_lapsed(*stores, [state], scene.clock()))


def _gone_back(scene: Scene) -> WorkspaceState:
    """A loaded view, in a Redis that has lost what a frontfill has brought since."""
    scene.write_batch(("a", utc(2), 1))
    state = scene.example()
    scene.backfill(state)
    client = scene.online.client
    snapshot = {key: client.dump(key) for key in client.keys("*")}
    scene.write_batch(("a", utc(2), 1), ("b", utc(3, 1), 2))
    scene.clock.advance(DAY)
    scene.frontfill(state)
    assert [b"[1]", b"[2]"] == scene.served(state, "a", "b")
    client.flushall()
    for key, value in snapshot.items():
        client.restore(key, 0, value)
    return state


def test_lost_view_is_reloaded_from_offline_and_push_tables(scene: Scene) -> None:
    """Batch rows, pushed rows that a frontfill has taken, and those that none has taken yet."""
    scene.write_batch(("a", utc(2), 1), ("b", utc(2, 1), 2), ("old", utc(1) - 30 * DAY, 9))
    state = scene.example()
    scene.backfill(state)
    scene.push(state, ("a", utc(2, 5), 5), ("b", utc(2, 1), None))
    scene.frontfill(state)
    scene.push(state, ("c", utc(3, 1), 7), ("a", utc(2), 99), writer=1)
    scene.online.client.flushall()

    (report,) = _reload(scene, state)

    assert report.view == "click_events_fv"
    assert scene.online.unloaded([state.views[0].id]) == []
    assert [b"[5]", b"[null]", b"[7]", None] == scene.served(state, "a", "b", "c", "old")
    assert [] == _reload(scene, state)


def test_rank_of_rows_of_one_time_is_kept(scene: Scene) -> None:
    """Batch rows of one key and time, told apart by the event key: the greatest body is newest."""
    scene.write_batch(*[("a", utc(2), clicked) for clicked in (3, 20, 1)])
    state = scene.example(event_key=("clicked",))
    scene.backfill(state)
    before = scene.served(state, "a")
    scene.online.client.flushall()
    _reload(scene, state)
    assert [b"[3]"] == before == scene.served(state, "a")


def test_view_that_is_not_backfilled_is_left_to_its_backfill(scene: Scene) -> None:
    """Marking it as loaded now would serve nulls for what the backfill has not brought yet."""
    scene.write_batch(("a", utc(2), 1))
    state = scene.example()
    assert [] == _reload(scene, state)
    assert scene.online.unloaded([state.views[0].id]) == [state.views[0].id]


def test_view_without_offline_table_is_loaded_by_the_next_job(scene: Scene) -> None:
    """Only Spark can read a batch source: `run-due` does, the service says so."""
    scene.write_batch(("a", utc(2), 1))
    state = scene.example(offline=False)
    scene.backfill(state)
    scene.online.client.flushall()
    assert [Reloaded("click_events_fv", None)] == _reload(scene, state)
    scene.frontfill(state)
    assert [b"[1]"] == scene.served(state, "a")


def test_offline_table_that_was_turned_on_just_now_fills_nothing(scene: Scene) -> None:
    """It has no batch rows yet, and nulls would be served: the next job brings both stores all."""
    scene.write_batch(("a", utc(2), 1))
    state = scene.example(offline=False)
    scene.backfill(state)
    [view] = state.views
    state = msgspec.structs.replace(state, views=(msgspec.structs.replace(view, offline=True),))
    scene.online.client.flushall()
    assert [Reloaded("click_events_fv", None)] == _reload(scene, state)
    scene.frontfill(state)
    assert [b"[1]"] == scene.served(state, "a")
    assert [("batch", "a", utc(2), 1)] == scene.offline(state)


def test_batch_rows_that_an_old_state_of_redis_lacks_are_loaded_again(scene: Scene) -> None:
    """The frontfill after the snapshot left its number in the store, which Redis does not have."""
    state = _gone_back(scene)
    assert [b"[1]", None] == scene.served(state, "a", "b")

    assert [Lapsed("click_events_fv", erased=False)] == _lapsed(scene, state)
    assert 1 == len(_reload(scene, state))
    assert [b"[1]", b"[2]"] == scene.served(state, "a", "b")


@pytest.mark.parametrize("is_offline", [True, False])
def test_job_fills_a_view_as_far_as_erasures_have_come(is_offline: bool, scene: Scene) -> None:
    """Otherwise a service would take its rows away again for erased ones that are back (0043)."""
    scene.write_batch(("a", utc(2), 1), ("b", utc(2), 2))
    state = scene.example(offline=is_offline)
    scene.backfill(state)
    [view], erasures = state.views, scene.backend.erasures
    keys = keys_of(view, [{"user_id": "a"}])
    args = (erasures, lambda: scene.online, state, view, keys, True, is_offline)
    list(erase(*args, scene.clock, lambda _: None, scene.backend.push_tables))
    scene.write_batch(("b", utc(2), 2))
    scene.clock.advance(GRACE + timedelta(minutes=1))
    scene.online.client.flushall()

    scene.frontfill(state)

    assert [] == _lapsed(scene, state)
    assert [None, b"[2]"] == scene.served(state, "a", "b")


def test_job_does_not_hide_that_redis_went_back(scene: Scene) -> None:
    """Its own rows say nothing of those of the job before, which an old state of Redis lacks."""
    state = _gone_back(scene)
    scene.clock.advance(DAY)

    # Nobody has looked in between.
    scene.frontfill(state)

    assert scene.online.unloaded([state.views[0].online_id]) == [state.views[0].online_id]
    scene.frontfill(state)
    assert [b"[1]", b"[2]"] == scene.served(state, "a", "b")
