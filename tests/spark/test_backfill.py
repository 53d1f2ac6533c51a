"""Backfill: batch source and pushed records → offline table and online store (contract §6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial

import msgspec
import pytest
from chispa import assert_df_equality
from deltalake import DeltaTable
from pyspark.sql import functions as F

from tecton.bootstrap import open_online
from tecton.errors import SourceError, ViewNotLoaded
from tecton.locations import BatchRules
from tecton.periods import Period
from tecton.rows import row_of
from tecton.spark.backfill import backfill
from tecton.spark.failures import FAILURES, one_line
from tecton.spark.materialize import BatchReport, materialize
from tecton.stores import FAILURE, SUCCESS
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import micros_of
from tests.fixtures import files_of
from tests.spark.scene import DAY, NOW, Scene, text, utc

START = datetime(2022, 1, 1, tzinfo=timezone.utc)
"""The view's `feature_start_time`."""


def test_rows_that_belong_to_somebody_are_kept_once(scene: Scene) -> None:
    """Rows without a key or time are left out and counted, identities collapse to the greatest."""
    scene.write_batch(
        ("a", utc(1), 1),
        ("a", utc(1), 10),
        ("a", utc(1), 10),
        ("b", utc(2, 1), None),
        ("b", utc(2), 7),
        (None, utc(2), 3),
        ("c", None, 4),
        ("x" * 513, utc(2), 5),
        ("nul\0", utc(2), 6),
        ("old", START - DAY, 8),
        ("today", utc(3), 9),
    )
    state = scene.example()

    report = scene.backfill(state)[0]

    # `[1]` is greater than `[10]`: the order is that of bytes.
    assert scene.offline(state) == [
        ("batch", "a", utc(1), 1),
        ("batch", "b", utc(2), 7),
        ("batch", "b", utc(2, 1), None),
    ]
    assert scene.served(state, "a", "b", "today") == [b"[1]", b"[null]", None]
    assert str(replace(report, seconds=1.25)) == (
        f"click_events_fv: 2022-01-01T00:00:00Z to {text(utc(3))}: 9 batch rows, "
        "3 feature rows, 2 without join key or timestamp left out, "
        "2 with a join key too long or with NUL left out, "
        "2 collapsed with another of the same identity, 2 offered online, 1.2 s"
    )


def test_offline_table_has_the_agreed_form(scene: Scene) -> None:
    """Own column names, sequence, tie, origin and date; a protocol that delta-rs knows."""
    scene.write_batch(("a", utc(1, 23, 59, 999_999), 1))
    state = scene.example()
    scene.push(state, ("b", utc(2), 2), sequences=[77])
    scene.backfill(state)
    table = scene.stores.offline_table(state, state.views[0])

    frame = table.read(table.version() or 0)

    expected = scene.spark.sql(
        f"SELECT 'a' user_id, timestamp'{text(utc(1, 23, 59))[:-1]}.999999Z' timestamp, "
        f"1L clicked, {micros_of(NOW)} - {2**53} _sequence, 0 _tie, 'batch' _origin, "
        f"date'{utc(1).date()}' _date "
        f"UNION ALL SELECT 'b', timestamp'{text(utc(2))}', 2, 77, 0, 'push', date'{utc(2).date()}'"
    )
    assert_df_equality(
        expected, frame, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True
    )
    delta = DeltaTable(table.url)
    assert (1, 2) == delta.protocol()[:2]
    assert ["_origin", "_date"] == delta.metadata().partition_columns
    assert 1 == delta.transaction_version("push/0")
    start = micros_of(START)
    assert micros_of(NOW) == delta.transaction_version(f"batch/{start}")


def test_event_key_keeps_events_of_one_moment_apart(scene: Scene) -> None:
    """With an event key, rows of one key and time stay, in the order of their bodies."""
    scene.write_batch(*(("a", utc(2), clicked) for clicked in (9, 10, None, 9, 1)))
    state = scene.example(event_key=("clicked",))
    report = scene.backfill(state)[0]
    table = scene.stores.offline_table(state, state.views[0])

    ordered = table.read(table.version() or 0).orderBy("_tie").select("clicked", "_tie").collect()

    assert [(10, 0), (1, 1), (9, 2), (None, 3)] == [tuple(row) for row in ordered]
    assert 1 == report.collapsed
    assert [b"[null]"] == scene.served(state, "a")


def test_running_again_changes_nothing(scene: Scene) -> None:
    """Any job killed anywhere and run again gives what one clean run gives."""
    scene.write_batch(("a", utc(1), 1), ("b", utc(2), 2))
    state = scene.example()
    scene.push(state, ("c", utc(2), 3))
    down = replace(scene.stores, open_online=partial(open_online, "unix:///nowhere.sock"))

    with pytest.raises(FAILURES) as failure:
        list(backfill(down, state, state.views[0], lambda _: None))
    assert "Redis" in one_line(failure.value)
    with pytest.raises(ViewNotLoaded):
        scene.served(state, "a")
    scene.backfill(state)
    once = scene.offline(state), scene.served(state, "a", "b", "c")
    scene.clock.advance(timedelta(minutes=1))
    scene.backfill(state)

    assert ([b"[1]", b"[2]", b"[3]"]) == once[1]
    assert once == (scene.offline(state), scene.served(state, "a", "b", "c"))


def test_a_period_is_replaced_as_a_whole_and_pushed_rows_stay(scene: Scene) -> None:
    """Batch rows of a period are replaced by its next run; rows of pushed origin stay."""
    scene.write_batch(("a", utc(1), 1), ("b", utc(2), 2))
    state = scene.example()
    scene.push(state, ("b", utc(2), 20))
    scene.backfill(state)
    assert [b"[20]"] == scene.served(state, "b")

    scene.write_batch(("b", utc(2), 3))
    scene.clock.advance(timedelta(minutes=1))
    scene.backfill(state)

    assert [("batch", "b", utc(2), 3), ("push", "b", utc(2), 20)] == scene.offline(state)
    assert [b"[20]"] == scene.served(state, "b")


def test_an_older_run_that_comes_late_is_skipped(scene: Scene) -> None:
    """A zombie's older attempt changes neither the offline table nor the online store."""
    scene.write_batch(("a", utc(1), 1))
    state = scene.example()
    scene.backfill(state)
    before = scene.offline(state)
    table = scene.stores.offline_table(state, state.views[0])
    period = Period(START, utc(3))
    zombie = table.read(table.version() or 0).withColumn("clicked", F.lit(666).cast("bigint"))

    written = table.replace(zombie, period, micros_of(NOW) - 1, "too late")

    assert not written
    assert before == scene.offline(state)


def test_a_run_is_later_than_the_last_also_when_the_clock_went_back(scene: Scene) -> None:
    """Of two runs over a period the one that began later wins, whatever the clock says."""
    scene.write_batch(("a", utc(1), 1))
    state = scene.example()
    scene.backfill(state)
    scene.write_batch(("a", utc(1), 2))
    scene.clock.advance(-timedelta(hours=1))

    [report] = materialize(
        scene.stores, state, state.sources[0], state.views[0], [Period(START, utc(3))]
    )

    assert not report.is_overtaken
    assert [("batch", "a", utc(1), 2)] == scene.offline(state)
    assert [b"[2]"] == scene.served(state, "a")


def test_a_record_pushed_meanwhile_survives(scene: Scene) -> None:
    """A record pushed during a backfill is never overwritten by an older one."""
    scene.write_batch(("a", utc(2), 1), ("b", utc(2), 2))
    state = scene.example()
    view = state.views[0]
    newer = {"user_id": "a", "clicked": 100}
    scene.online.upsert([row_of(view, newer, micros_of(utc(2, 1)), micros_of(NOW))])

    scene.backfill(state)

    assert [b"[100]", b"[2]"] == scene.served(state, "a", "b")


def test_what_a_service_accepted_unaware_of_the_view_is_caught_up(scene: Scene) -> None:
    """The backfill ends with the records of services that did not know the view yet."""
    source = build_source()
    view = build_view(source, since_version=4, applied_at=NOW)
    state = build_state([source], [view], version=4)
    scene.push(state, ("early", utc(2), 1), version=3)
    waited: list[datetime] = []

    def wait_until(at: datetime) -> None:
        waited.append(at)
        scene.push(state, ("late", utc(2), 2), version=3)
        scene.push(state, ("new writer", utc(2), 3), version=3, writer=1)
        # Its service has offered it online itself.
        scene.push(state, ("aware", utc(2), 4), version=4)

    [report] = list(backfill(scene.stores, state, view, wait_until))

    assert [NOW + timedelta(seconds=10)] == waited
    assert [b"[1]", b"[2]", b"[3]", None] == scene.served(
        state, "early", "late", "new writer", "aware"
    )
    assert 3 == report.online
    assert [("push", "early", utc(2), 1)] == scene.offline(state)


def test_only_what_a_read_could_still_see_goes_online(scene: Scene) -> None:
    """The online store gets the newest row of each key, if its age is at most the ttl."""
    micro = timedelta(microseconds=1)
    scene.write_batch(("in", NOW - 2 * DAY, 1), ("out", NOW - 2 * DAY - micro, 2))
    state = scene.example(ttl=2 * DAY, offline=False)
    scene.push(state, ("pushed in", NOW - 2 * DAY, 3), ("pushed out", NOW - 2 * DAY - micro, 4))

    scene.backfill(state)

    assert [b"[1]", None, b"[3]", None] == scene.served(
        state, "in", "out", "pushed in", "pushed out"
    )
    assert [] == scene.offline(state)


def test_a_view_that_is_not_online_needs_no_redis(scene: Scene) -> None:
    """A view with offline alone has nothing in Redis, not even a mark."""
    scene.write_batch(("a", utc(2), 1))
    state = scene.example(online=False)

    scene.backfill(state)

    assert [("batch", "a", utc(2), 1)] == scene.offline(state)
    assert [] == scene.online.client.keys("*")


def test_long_backfills_are_cut(scene: Scene) -> None:
    """`max_backfill_interval` is the longest period of one backfill run."""
    scene.write_batch(("a", utc(1), 1), ("a", utc(2), 2))
    state = scene.example(
        feature_start_time=utc(1, 6), max_backfill_interval=DAY, ttl=None, online=False
    )

    reports = scene.backfill(state)

    assert [Period(utc(1, 6), utc(2)), Period(utc(2), utc(3))] == [r.period for r in reports[:2]]
    assert [("batch", "a", utc(2), 2)] == scene.offline(state)


def test_a_missing_batch_file_changes_nothing(scene: Scene) -> None:
    """The job fails with one line that says which file, and the tables are as before."""
    scene.write_batch(("a", utc(2), 1))
    state = scene.example()
    scene.backfill(state)
    tables = scene.folder / "store" / "offline"
    before = files_of(tables)
    served = scene.served(state, "a")
    lost = msgspec.structs.replace(
        state.sources[0],
        batch=msgspec.structs.replace(state.sources[0].batch, uri="/data/lost.parquet"),
    )
    broken = msgspec.structs.replace(state, sources=(lost,))

    with pytest.raises(SourceError) as failure:
        scene.backfill(broken)

    assert "batch source /data/lost.parquet: there is no such file or folder" == str(failure.value)
    assert before == files_of(tables)
    states = [run.state for run in scene.backend.runs.attempts(state.folder)]
    assert [FAILURE, SUCCESS] == sorted(states)
    assert served == scene.served(state, "a")


def test_job_keeps_to_the_settings_of_batch_data(scene: Scene) -> None:
    """The longest join key is the service's; outside of the roots nothing is read or written."""
    scene.write_batch(
        ("abc", utc(1), 1), ("abcd", utc(1), 2), ("äb", utc(1), 3), ("äbc", utc(1), 4)
    )
    state = scene.example()
    scene.rules = BatchRules((str(scene.folder),), key_bytes=3)
    report = scene.backfill(state)[0]
    assert isinstance(report, BatchReport)
    assert (report.kept, report.refused) == (2, 2)
    assert scene.served(state, "abc", "abcd", "äb", "äbc") == [b"[1]", None, b"[3]", None]
    scene.rules = BatchRules((str(scene.folder / "elsewhere"),))
    other = scene.example()
    with pytest.raises(SourceError, match="is in none of the allowed roots"):
        scene.backfill(other)
    assert not (scene.folder / "store" / "offline" / other.folder).exists()
