"""What changed definitions ask of jobs: only what is new is read and written (0039)."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyspark.sql import functions as F

from tecton.applied import AppliedView, Column, WorkspaceState, new_id
from tecton.errors import ViewNotLoaded
from tecton.leftovers import KEPT, Ledger
from tecton.plan import make_plan
from tecton.resolve import Desired
from tecton.spark.maintain import maintain
from tecton.testing import InMemoryRegistry
from tecton.timestamps import micros_of
from tecton.types import Field, Float64
from tests.spark.scene import DAY, Scene, events_of, utc


def changed(
    scene: Scene, state: WorkspaceState, columns: tuple[Column, ...] = (), **changes: Any
) -> WorkspaceState:
    """The next version: a changed view, or a source with more columns."""
    desired = Desired.of(state)
    [source], [view] = desired.sources, desired.views
    source = msgspec.structs.replace(source, columns=(*source.columns, *columns))
    values = (*view.columns, *columns)
    wanted = Desired(
        entities=desired.entities,
        sources=(source,),
        views=(msgspec.structs.replace(view, columns=values, **changes),),
        services=desired.services,
    )
    return make_plan(state, wanted, now=scene.clock(), new_id=new_id).state


def sequences(scene: Scene, state: WorkspaceState) -> dict[datetime, int]:
    """By the event's time, the sequence of each row offline."""
    table = scene.stores.offline_table(state, state.views[0])
    rows = table.read(table.version() or 0)
    found = rows.select(F.unix_micros("timestamp").alias("at"), "_sequence").collect()
    return {row["at"]: row["_sequence"] for row in found}


def test_earlier_start_reads_only_what_is_new(scene: Scene) -> None:
    """Rows of the periods that were there stay as they were written; reads wait for the others."""
    scene.write_batch(("old", utc(1) - 4 * DAY, 1), ("a", utc(2), 2))
    first = scene.example(feature_start_time=utc(1), max_backfill_interval=None)
    scene.backfill(first)
    before = sequences(scene, first)
    second = changed(scene, first, feature_start_time=utc(1) - 5 * DAY)
    assert second.views[0].id == first.views[0].id
    with pytest.raises(ViewNotLoaded):
        scene.train(second, events_of(("a", utc(3))))
    scene.clock.advance(timedelta(minutes=1))

    reports = scene.frontfill(second)

    after = sequences(scene, second)
    assert before == {at: after[at] for at in before}
    assert set(after) - set(before) == {micros_of(utc(1) - 4 * DAY)}
    assert scene.served(second, "old", "a") == [b"[1]", b"[2]"]
    assert [report.rows for report in reports[:5]] == [0, 1, 0, 0, 0]


def test_longer_ttl_is_filled_from_the_offline_table(scene: Scene) -> None:
    """The source, which is gone here, is not read again; what was pushed comes too."""
    scene.write_batch(("a", utc(1), 1), ("b", utc(1), 2))
    first = scene.example(ttl=DAY, feature_start_time=utc(1))
    scene.backfill(first)
    scene.push(first, ("b", utc(1, 1), 3), version=first.version)
    assert scene.served(first, "a") == [None]
    Path(scene.batch_uri).unlink()
    second = changed(scene, first, ttl=30 * DAY)
    with pytest.raises(ViewNotLoaded):
        scene.served(second, "a")

    reports = scene.frontfill(second)

    assert "refill" in str(reports[0])
    assert scene.served(second, "a", "b", "c") == [b"[1]", b"[3]", None]
    written = [one for one in scene.offline(second) if one[0] == "batch"]
    assert written == [("batch", "a", utc(1), 1), ("batch", "b", utc(1), 2)]


def test_larger_schema_reads_old_records_with_nulls(scene: Scene) -> None:
    """What a pushed record lacks is null, in both stores; a key that it lacks makes no row."""
    first = scene.example(feature_start_time=utc(1))
    source = msgspec.structs.replace(first.sources[0], batch=None)
    first = msgspec.structs.replace(first, sources=(source,))
    scene.push(first, ("a", utc(2), 1))
    price = Column.of(Field("price", Float64))
    second = changed(scene, first, (price,))
    scene.push(second, ("b", utc(2), 2, 1.5), source=second.sources[0], version=second.version)

    scene.backfill(second)

    assert scene.offline(second) == [("push", "a", utc(2), 1, None), ("push", "b", utc(2), 2, 1.5)]
    assert scene.served(second, "a") == [b"[1,null]"]
    by_price = _keyed_by_price(second)
    scene.backfill(by_price)
    assert [row[1:] for row in scene.offline(by_price)] == [(1.5, utc(2), 2)]


def _keyed_by_price(state: WorkspaceState) -> WorkspaceState:
    """The workspace with a view whose join key older records lack."""
    view: AppliedView = msgspec.structs.replace(
        state.views[0],
        id=new_id(),
        online=False,
        join_keys=state.views[0].columns[1:],
        columns=state.views[0].columns[:1],
    )
    return msgspec.structs.replace(state, views=(view,))


def test_tables_of_replaced_generations_go_after_a_week(scene: Scene) -> None:
    """Maintenance says when, and removes them then; Redis keeps nothing of what serves no more."""
    scene.write_batch(("a", utc(2), 1))
    first = scene.example(feature_start_time=utc(1))
    scene.backfill(first)
    second = changed(scene, first, (Column.of(Field("price", Float64)),))
    second = msgspec.structs.replace(second, applied_at=scene.clock())
    registry = InMemoryRegistry(first, second)
    old = scene.stores.offline_table(first, first.views[0])
    scene.online.mark_loaded([second.views[0].online_id])
    said = []
    for wait in (timedelta(minutes=1), KEPT):
        scene.clock.advance(wait)
        reports = maintain(scene.stores, scene.backend.care, second, [second], Ledger(registry))
        said.append([str(report) for report in reports if "not used" in str(report)])
        assert (old.version() is None) == (wait == KEPT)
        filled = scene.backend.ledger.of(first)
        assert (first.views[0].online_id not in filled) == (wait == KEPT)
    assert "it is removed after" in said[0][0]
    assert "files removed" in said[1][0]
    assert scene.online.unloaded([first.views[0].online_id]) == [first.views[0].online_id]
    assert list(scene.online.keys(first.views[0].online_id)) == []
