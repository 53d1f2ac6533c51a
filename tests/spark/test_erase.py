"""`delete_keys`: erased join keys are gone everywhere, and nothing that was on its way returns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable

from tecton import get_workspace
from tecton.applied import AppliedAggregation, AppliedView, WorkspaceState
from tecton.erase import erase, keys_of
from tecton.errors import InvalidKeys
from tecton.reload import reload_lost
from tecton.rows import row_of
from tecton.sequences import last_logged, take_sequences
from tecton.spark.online_load import load_online
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import micros_of
from tecton.tombstones import Tombstones, key_hash
from tests.spark.scene import NOW, Scene, events_of, utc

_KEYS = [{"user_id": "a"}]
_SUM = AppliedAggregation(
    name="clicks", column="clicked", function="sum", time_window=timedelta(days=9)
)


def _erase(
    scene: Scene,
    state: WorkspaceState,
    view: AppliedView | None = None,
    online: bool = True,
    offline: bool = True,
) -> list[str]:
    # The play's records are numbered by its clock.
    scene.clock.advance(timedelta(seconds=1))
    lines = list(_steps(scene, state, view, online, offline))
    scene.clock.advance(timedelta(seconds=1))
    return lines


def _steps(
    scene: Scene,
    state: WorkspaceState,
    view: AppliedView | None = None,
    online: bool = True,
    offline: bool = True,
) -> Iterator[str]:
    view = view or state.views[0]
    keys = keys_of(view, _KEYS)

    def wait(_: datetime) -> None:
        return None

    stores, redis, tables = scene.backend.erasures, scene.online, scene.backend.push_tables
    yield from erase(
        stores, lambda: redis, state, view, keys, online, offline, scene.clock, wait, tables
    )


def _trained(
    scene: Scene, state: WorkspaceState, *users: str, from_source: bool | None = None
) -> list[Any]:
    asked = events_of(*((user, utc(3, 11)) for user in users))
    frame = scene.train(state, asked, from_source=from_source).to_pandas()
    return [None if value is pd.NA else value for value in frame.iloc[:, -1]]


def _bytes_of(scene: Scene, folder: str, word: str) -> bool:
    """Is a word in the current rows of the Delta tables below a folder?"""
    store = scene.folder / "store"
    logs = (store / folder).rglob("_delta_log")
    return any(word in str(DeltaTable(str(log.parent)).to_pyarrow_table()) for log in logs)


def _reload(scene: Scene, state: WorkspaceState) -> None:
    backend = scene.backend
    scene.online.client.flushall()
    list(reload_lost(scene.online, backend.history, backend.runs, [state], scene.clock()))


def _play(scene: Scene) -> WorkspaceState:
    """Rows of two keys: batch, pushed and taken, pushed and not taken."""
    scene.write_batch(("a", utc(2), 1), ("b", utc(2), 2))
    state = scene.example()
    scene.backfill(state)
    scene.push(state, ("a", utc(3, 1), 3), ("b", utc(3, 1), 4))
    scene.frontfill(state)
    at, sequence = utc(3, 2), micros_of(scene.clock()) + 100
    values = {"a": 5, "b": 6}
    records = [(user, at, clicked) for user, clicked in values.items()]
    scene.push(state, *records, sequences=[sequence, sequence + 1])
    # As the service does.
    rows = [
        row_of(state.views[0], {"user_id": user, "clicked": clicked}, micros_of(at), sequence + n)
        for n, (user, clicked) in enumerate(values.items())
    ]
    scene.online.upsert(rows)
    return state


def test_key_is_gone_everywhere_and_nothing_returns_it(scene: Scene) -> None:
    """Reads, a replay of an emptied Redis, a frontfill of what it had not taken; twice is once."""
    state = _play(scene)
    assert [5, 6] == _trained(scene, state, "a", "b")
    others = [row for row in scene.offline(state) if row[1] == "b"]

    lines = _erase(scene, state)

    assert lines[:2] == [
        "click_events_fv: 2 rows deleted offline",
        "impressions_event_source: 2 pushed records deleted",
    ]
    assert "the batch source still holds" in lines[-1]
    for _ in range(2):
        assert [None, b"[6]"] == scene.served(state, "a", "b")
        assert others == scene.offline(state)
        for from_source in (None, True, False):
            assert [None] == _trained(scene, state, "a", from_source=from_source)
        assert not _bytes_of(scene, "push", '"a"')
        assert "0 rows" in _erase(scene, state)[0]
        _reload(scene, state)
        scene.push(state, ("c", utc(3, 3), 7))
        scene.frontfill(state)
        others = [row for row in scene.offline(state) if row[1] != "a"]
    documents = list((scene.folder / "store" / "erased").rglob("*.json"))
    logs = [*documents, *(scene.folder / "store").rglob("_delta_log/*.json")]
    assert documents
    assert not any("'a'" in log.read_text() or '["a"]' in log.read_text() for log in logs)

    # What comes later counts: a push older than what was erased, and the batch source's rows.
    scene.clock.advance(timedelta(seconds=1))
    logged = partial(last_logged, scene.backend.push_tables, scene.backend.erasures, state)
    now = micros_of(scene.clock())
    sequence = take_sequences(scene.online, state.id, 1, now, 0, logged)
    scene.push(state, ("a", utc(3), 8), sequences=[sequence])
    assert [8, 6] == _trained(scene, state, "a", "b")
    scene.frontfill(state)
    assert [8, 6] == _trained(scene, state, "a", "b", from_source=False)
    _reload(scene, state)
    assert [b"[8]", b"[6]"] == scene.served(state, "a", "b")
    scene.clock.advance(timedelta(seconds=1))
    scene.backfill(state)
    assert ("batch", "a", utc(2), 1) in scene.offline(state)


def test_tombstone_alone_hides_what_is_not_deleted_yet(scene: Scene) -> None:
    """Killed after the first step: reads, replay and frontfill know; run again it is done."""
    state = _play(scene)
    steps = _steps(scene, state)
    scene.backend.erasures.add(state, state.views[0], [["a"]], micros_of(NOW) + 10**9, True, True)

    for from_source in (None, True, False):
        assert [None] == _trained(scene, state, "a", from_source=from_source)
    _reload(scene, state)
    assert [None, b"[6]"] == scene.served(state, "a", "b")
    scene.frontfill(state)
    assert utc(3, 2) not in [row[2] for row in scene.offline(state) if row[1] == "a"]
    scene.online.client.flushall()
    scene.frontfill(state)
    assert [None, b"[6]"] == scene.served(state, "a", "b")

    scene.clock.advance(timedelta(days=1))
    assert "rows deleted offline" in next(steps)
    assert ["b", "b", "b"] == [row[1] for row in scene.offline(state) if row[1] in "ab"]


def test_erasure_between_two_frontfills_of_a_stream(scene: Scene) -> None:
    """The push table is rewritten under the stream's checkpoint: nothing is lost, nothing twice."""
    source = build_source()
    state = build_state([source], [build_view(source)])
    scene.backfill(state)
    scene.push(state, ("a", utc(3), 1), ("b", utc(3), 2))
    scene.frontfill(state)
    scene.push(state, ("a", utc(3, 1), 3), ("b", utc(3, 1), 4))
    scene.push(state, ("a", utc(3, 2), 5))
    _erase(scene, state)
    scene.push(state, ("b", utc(3, 3), 6))

    scene.frontfill(state)

    rows = [("push", "b", utc(3, hour), value) for hour, value in ((0, 2), (1, 4), (3, 6))]
    assert rows == scene.offline(state)
    assert 0 == scene.frontfill(state)[-1].offline


def test_windows_and_every_view_of_the_source(scene: Scene) -> None:
    """Views with the same join keys lose it together; online alone is one view's matter."""
    source = build_source()
    views = [
        build_view(source, "sums", ttl=None, aggregations=(_SUM,)),
        build_view(source, "newest"),
        build_view(source, "other", join_keys=("clicked",)),
    ]
    state = build_state([source], views)
    scene.push(state, ("a", utc(3), 1), ("a", utc(3, 1), 2), ("b", utc(3), 4))
    for view in views:
        scene.backfill(state, view)

    _erase(scene, state, views[1], offline=False)
    sums = [(views[0], key) for key in ('["a"]', '["b"]')]
    assert [3, 4] == [_sum(found) for found in scene.online.aggregate(sums, micros_of(NOW))]
    assert [3, 4] == _trained(scene, state, "a", "b")

    lines = _erase(scene, state, views[1])
    assert [line.split(":")[0] for line in lines] == [
        "newest", "sums", "impressions_event_source", "newest, sums",
    ]  # fmt: skip
    assert [None, 4] == [_sum(found) for found in scene.online.aggregate(sums, micros_of(NOW))]
    assert [None, 4] == _trained(scene, state, "a", "b")
    assert 3 == len(scene.offline(state, views[2]))


def _sum(found: Any) -> Any:
    return None if found is None else found.values["clicks"]


def test_notebook_deletes_keys(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame or dicts; wrong ones are refused before anything is done."""
    monkeypatch.setattr("tecton.erase.SETTLE", timedelta(0))
    source = build_source()
    state = build_state([source], [build_view(source)])
    scene.backend.registry.commit(state)
    row = row_of(state.views[0], {"user_id": "a", "clicked": 1}, micros_of(NOW), 1)
    scene.online.upsert([row])
    scene.online.mark_loaded([state.views[0].id])
    view = get_workspace("prod", scene.backend.settings).get_feature_view("click_events_fv")
    for wrong in ([], [{"user": "a"}], [{"user_id": 1}], pd.DataFrame({"user_id": [None]})):
        with pytest.raises(InvalidKeys):
            view.delete_keys(wrong)
    assert [b"[1]"] == scene.served(state, "a")
    lines = view.delete_keys(pd.DataFrame({"user_id": ["a", "a"]}))
    assert lines[-1] == "click_events_fv: 1 join keys deleted online"
    assert [None] == scene.served(state, "a")


def test_load_deletes_what_was_erased_meanwhile(scene: Scene) -> None:
    """It had read the rows before the tombstone stood."""
    source = build_source()
    state = build_state([source], [build_view(source)])
    view = state.views[0]
    scene.online.mark_loaded([view.id])
    schema = "user_id string, timestamp timestamp, clicked bigint, _sequence bigint, _tie int"
    rows = [(user, utc(3), 1, 7, 0) for user in ("a", "b")]
    frame = scene.spark.createDataFrame(rows, schema)
    erased = iter([Tombstones(), Tombstones("00", {key_hash("00", ["a"]): 7}, {})])

    assert 2 == load_online(frame, view, NOW, scene.stores.open_online, lambda: next(erased))

    assert [None, b"[1]"] == scene.served(state, "a", "b")
