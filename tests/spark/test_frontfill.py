"""Frontfill: due periods of batch sources, and what was pushed since the last (contract §6)."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from typing import Any

import msgspec
import pandas as pd
import pytest
from deltalake import DeltaTable

from tecton.applied import WorkspaceState
from tecton.errors import JobFailed
from tecton.periods import Period
from tecton.spark.backfill import rerun
from tecton.spark.materialize import BatchReport
from tecton.testing import build_source, build_state, build_view
from tests.spark.scene import DAY, Scene, events_of, utc


def _periods(reports: list[Any]) -> list[int]:
    batch = [report for report in reports if isinstance(report, BatchReport)]
    return [(report.period.start - utc(1)).days + 1 for report in batch]


def _taken(scene: Scene, state: WorkspaceState, writer: int = 0, view: int = 0) -> int | None:
    table = scene.stores.offline_table(state, state.views[view])
    return DeltaTable(table.url).transaction_version(f"push/{writer}")


def test_each_period_runs_once_when_it_has_ended(scene: Scene) -> None:
    """A frontfill runs for each period when it ends, plus `data_delay`; its rows go online too."""
    scene.write_batch(("a", utc(2), 1), ("a", utc(3, 1), 3), ("b", utc(4, 1), 4))
    delayed = scene.source()
    batch = msgspec.structs.replace(delayed.batch, data_delay=timedelta(hours=2))
    delayed = msgspec.structs.replace(delayed, batch=batch)
    state = build_state([delayed], [build_view(delayed)])
    scene.backfill(state)

    assert [] == _periods(scene.frontfill(state, utc(4, 1, 59)))
    assert [3] == _periods(scene.frontfill(state, utc(4, 2)))
    assert [] == _periods(scene.frontfill(state, utc(4, 2)))
    assert [b"[3]", None] == scene.served(state, "a", "b")
    assert [4, 5] == _periods(scene.frontfill(state, utc(6, 2)))
    assert [b"[3]", b"[4]"] == scene.served(state, "a", "b")
    assert [
        ("batch", "a", utc(2), 1),
        ("batch", "a", utc(3, 1), 3),
        ("batch", "b", utc(4, 1), 4),
    ] == scene.offline(state)


def test_pushed_records_are_taken_once(scene: Scene) -> None:
    """Every record pushed since the last run comes, late ones too, checkpoint or not."""
    source = build_source()
    state = build_state([source], [build_view(source)])
    scene.backfill(state)
    scene.push(state, ("a", utc(2), 1))
    scene.push(state, ("b", utc(1), 2), ("c", utc(2), None), writer=3)
    scene.frontfill(state)
    rows = [("push", "a", utc(2), 1), ("push", "b", utc(1), 2), ("push", "c", utc(2), None)]
    assert rows == scene.offline(state)
    assert (1, 1) == (_taken(scene, state), _taken(scene, state, 3))

    scene.push(state, ("d", utc(1, 1), 4))
    assert 1 == scene.frontfill(state)[-1].offline
    assert 0 == scene.frontfill(state)[-1].offline
    shutil.rmtree(scene.folder / "store" / "checkpoints")
    assert 0 == scene.frontfill(state)[-1].offline
    scene.push(state, ("e", utc(1, 1), 5))
    shutil.rmtree(scene.folder / "store" / "checkpoints")
    assert 1 == scene.frontfill(state)[-1].offline

    more = [("push", "d", utc(1, 1), 4), ("push", "e", utc(1, 1), 5)]
    assert sorted([*rows, *more], key=lambda row: row[1]) == scene.offline(state)
    assert (3, 1) == (_taken(scene, state), _taken(scene, state, 3))


def test_late_record_goes_to_the_partition_of_its_own_day(scene: Scene) -> None:
    """By its timestamp, however long after that day's frontfill it was pushed."""
    source = build_source()
    state = build_state([source], [build_view(source)])
    scene.backfill(state)
    scene.push(state, ("a", utc(3, 1), 1))
    scene.clock.advance(DAY)
    scene.frontfill(state)
    scene.push(state, ("b", utc(1, 23, 59, 999_999), 2))
    scene.clock.advance(DAY)

    report = scene.frontfill(state)[-1]

    assert (1, 1) == (report.offline, report.late)
    table = DeltaTable(scene.stores.offline_table(state, state.views[0]).url)
    columns = ["user_id", "_origin", "_date"]
    found = {tuple(row.values()) for row in table.to_pyarrow_table(columns=columns).to_pylist()}
    assert {("a", "push", utc(3).date()), ("b", "push", utc(1).date())} == found
    folders = {(part["_origin"], part["_date"]) for part in table.partitions()}
    assert {("push", str(utc(3).date())), ("push", str(utc(1).date()))} == folders


def test_corrected_batch_data_replaces_its_period_in_both_stores(scene: Scene) -> None:
    """By the period's next run; what has left the source leaves training frames."""
    scene.write_batch(("a", utc(2), 9), ("gone", utc(2), 5), ("b", utc(1), 1))
    state = scene.example()
    scene.backfill(state)
    scene.write_batch(("a", utc(2), 7), ("new", utc(2), 6))
    scene.clock.advance(DAY)

    list(rerun(scene.stores, state, state.views[0], [Period(utc(2), utc(3))]))

    # Day 1, which the file has no more either, was not run again.
    assert scene.offline(state) == [
        ("batch", "a", utc(2), 7),
        ("batch", "b", utc(1), 1),
        ("batch", "new", utc(2), 6),
    ]
    assert scene.served(state, "a", "new", "b") == [b"[7]", b"[6]", b"[1]"]


def test_each_view_takes_what_it_lacks(scene: Scene) -> None:
    """A view that the stream has passed by reads the gap from the push table itself."""
    source = build_source()
    other = build_source("other")
    first = build_view(source, "first")
    state = build_state([source, other], [first], [])
    scene.backfill(state)
    scene.push(state, ("a", utc(2), 1))
    scene.push(state, ("x", utc(2), 9), source=other)
    scene.frontfill(state)
    # Backfilled before the push above, by a job that was slow to end: it has taken nothing yet.
    second, third = build_view(source, "second"), build_view(other, "third", online=False)
    state = msgspec.structs.replace(state, views=(first, second, third))
    for view in (second, third):
        scene.backfill(state, view)
        shutil.rmtree(scene.stores.offline_table(state, view).url)
    scene.push(state, ("b", utc(2), 2))

    scene.frontfill(state)

    both = [("push", "a", utc(2), 1), ("push", "b", utc(2), 2)]
    assert both == scene.offline(state, first)
    assert both == scene.offline(state, second)
    assert [("push", "x", utc(2), 9)] == scene.offline(state, third)
    assert [3, 3, 3] == [_taken(scene, state, view=number) for number in range(3)]

    shutil.rmtree(scene.stores.offline_table(state, second).url)
    scene.frontfill(state)
    assert both == scene.offline(state, second)


def test_a_backfill_that_never_ended_is_due(scene: Scene) -> None:
    """Due runs are derived: definitions minus recorded runs; the rest runs when one fails."""
    source, broken = build_source(), scene.source(name="broken")
    views = [build_view(source, "fine"), build_view(broken, "torn")]
    state = build_state([source, broken], views, [])
    scene.push(state, ("a", utc(2), 1))

    with pytest.raises(JobFailed, match=r"^torn: batch source .*: there is no such file"):
        scene.frontfill(state)
    assert ["fine"] == [run.view for run in scene.stores.runs.of(state.folder)]
    scene.write_batch(("a", utc(2), 1))
    reports = scene.frontfill(state)

    assert [("batch", "a", utc(2), 1)] == scene.offline(state, views[1])
    assert ["torn", "fine"] == list(dict.fromkeys(report.view for report in reports))


def test_lost_view_is_filled_as_far_as_it_was(scene: Scene) -> None:
    """Also by a run for an earlier time: the later periods would never be due again."""
    scene.write_batch(("a", utc(2), 1), ("b", utc(1), 2))
    state = scene.example(offline=False)
    scene.backfill(state)
    scene.online.client.flushall()
    scene.clock.advance(DAY)
    scene.frontfill(state, utc(2, 12))
    assert [b"[1]", b"[2]"] == scene.served(state, "a", "b")


def test_lost_view_is_filled_with_what_a_read_sees_now(scene: Scene) -> None:
    """`--at` decides which periods have ended; what can be seen is a matter of the clock."""
    scene.write_batch(("a", utc(2), 1))
    state = scene.example(offline=False, ttl=2 * DAY)
    scene.backfill(state)
    scene.online.client.flushall()
    scene.frontfill(state, utc(6))
    assert [b"[1]"] == scene.served(state, "a")


def test_online_equals_offline_in_any_order_of_arrival(scene: Scene) -> None:
    """Batch and push mixed, before and after jobs: both stores answer the same."""
    draw = random.Random(3)
    users = [f"u{number}" for number in range(40)]
    moments = [utc(2, hour) for hour in range(0, 24, 3)] + [utc(3, 1), utc(3, 2)]
    rows = [(draw.choice(users), draw.choice(moments), draw.randrange(12)) for _ in range(300)]
    state = scene.example(event_key=("clicked",), ttl=timedelta(hours=50))
    scene.write_batch(*rows[:150])
    scene.push(state, *rows[150:180])
    scene.backfill(state)
    scene.write_batch(*rows[:200])
    scene.push(state, *rows[180:260])
    scene.clock.advance(DAY)
    scene.frontfill(state)
    scene.frontfill(state)
    # What the service does with records of views that it knows.
    scene.backfill(state)
    at = scene.clock()
    asked = events_of(*((user, at) for user in users))

    answer = scene.train(state, asked).to_pandas()["click_events_fv__clicked"]

    offline = [None if value is pd.NA else b"[%d]" % value for value in answer]
    now = int(at.timestamp() * 1e6)
    stored = scene.online.read([(state.views[0].id, f'["{user}"]') for user in users])
    ttl = state.views[0].ttl_micros or 0
    online = [row.body if row and now - row.timestamp <= ttl else None for row in stored]
    assert online == offline
    assert 20 < sum(value is not None for value in online)
