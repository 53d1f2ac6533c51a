"""Periods: aligned, each once, due when they have ended (contract §6)."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from tecton.applied import BatchRows
from tecton.periods import (
    RUNS,
    Period,
    adjacent,
    backfill_period,
    due_periods,
    floor_to,
    run_length,
    runs_of,
    split,
)
from tecton.testing import build_view

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BATCH = BatchRows(uri="/x", file_format="parquet", timestamp_field="timestamp")


def _at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2023, 1, day, hour, minute, tzinfo=timezone.utc)


moments = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001  # Hypothesis adds the zone
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(timezone.utc),
)
schedules = st.integers(1, 60 * 24 * 400).map(lambda minutes: timedelta(minutes=minutes))


def test_periods_are_aligned_to_the_epoch() -> None:
    """Multiples of `batch_schedule` since the Unix epoch, whatever it is."""
    assert floor_to(DAY, _at(3, 15)) == _at(3)
    assert floor_to(HOUR, _at(3)) == _at(3)
    assert floor_to(7 * DAY, _at(3)) == datetime(2022, 12, 29, tzinfo=timezone.utc)


def test_a_backfill_ends_at_the_last_complete_multiple() -> None:
    """From `feature_start_time` to the last multiple at or before now − `data_delay`."""
    view = build_view(feature_start_time=_at(1, 6))
    delayed = BatchRows(
        uri="/x", file_format="parquet", timestamp_field="timestamp", data_delay=2 * HOUR
    )

    assert backfill_period(view, BATCH, _at(3)) == Period(_at(1, 6), _at(3))
    assert backfill_period(view, delayed, _at(3, 1, 59)) == Period(_at(1, 6), _at(2))
    assert backfill_period(view, BATCH, _at(1, 23)) is None
    assert backfill_period(view, None, _at(3)) is None
    assert backfill_period(build_view(feature_start_time=None), BATCH, _at(3)) is None


def test_a_manual_trigger_backfills_to_the_given_end_and_goes_no_further() -> None:
    """With a manual trigger nothing after the given end runs by itself, without batch nothing."""
    view = build_view(
        feature_start_time=_at(1),
        batch_trigger="MANUAL",
        manual_trigger_backfill_end_time=_at(2, 12),
    )

    backfill = Period(_at(1), _at(2, 12))
    assert backfill_period(view, BATCH, _at(9)) == backfill
    assert due_periods(view, BATCH, [backfill], _at(9)) == []
    earlier = msgspec.structs.replace(view, feature_start_time=_at(1) - DAY)
    assert due_periods(earlier, BATCH, [backfill], _at(9)) == [Period(_at(1) - DAY, _at(1))]
    never = msgspec.structs.replace(view, batch_trigger="NO_BATCH_MATERIALIZATION")
    assert backfill_period(never, BATCH, _at(9)) is None
    assert due_periods(never, BATCH, [], _at(9)) == ()


def test_due_is_what_has_ended_and_is_not_covered() -> None:
    """A lost run is due again; a period under way is not."""
    view = build_view(feature_start_time=_at(1, 6))
    covered = [Period(_at(4), _at(5)), Period(_at(1, 6), _at(2))]

    due = due_periods(view, BATCH, covered, _at(6, 23))

    assert due == [
        Period(_at(2), _at(3)),
        Period(_at(3), _at(4)),
        Period(_at(5), _at(6)),
    ]
    assert due_periods(view, BATCH, [*covered, Period(_at(1), _at(9))], _at(6, 23)) == []


def test_a_naive_start_is_utc() -> None:
    """`feature_start_time` without a zone means UTC."""
    view = build_view(feature_start_time=datetime(2023, 1, 1))  # noqa: DTZ001

    assert backfill_period(view, BATCH, _at(2)) == Period(_at(1), _at(2))


def test_a_period_reads_as_people_write_it() -> None:
    """RFC 3339, without a fraction of zeros."""
    assert str(Period(_at(1), _at(2, 3, 4))) == "2023-01-01T00:00:00Z to 2023-01-02T03:04:00Z"


@given(moments, schedules, schedules)
def test_periods_partition_time(start: datetime, length: timedelta, longest: timedelta) -> None:
    """Runs follow each other without a gap, aligned, none longer than allowed."""
    whole = Period(start, start + length)
    longest = max(longest, length / 50)

    runs = list(split(whole, longest))

    assert [runs[0].start, *(run.end for run in runs)] == [*(run.start for run in runs), whole.end]
    assert all(run.start < run.end and run.end - run.start <= longest for run in runs)
    assert all(floor_to(longest, run.end) == run.end for run in runs[:-1])


@given(moments, schedules, st.integers(1, 5000), st.integers(0, 30))
def test_a_backfill_is_about_ten_runs(
    start: datetime, schedule: timedelta, count: int, longest: int
) -> None:
    """Runs begin and end at multiples of `batch_schedule`; they are ten, or as long as is said."""
    whole = Period(start, floor_to(schedule, start + count * schedule))
    assume(whole.start < whole.end)
    view = build_view(
        feature_start_time=start,
        batch_schedule=schedule,
        max_backfill_interval=longest * schedule + schedule / 2 if longest else None,
    )

    runs = runs_of(view, whole)

    assert [runs[0].start, *(run.end for run in runs)] == [*(run.start for run in runs), whole.end]
    assert all(floor_to(schedule, run.end) == run.end for run in runs)
    if longest:
        assert all(run.end - run.start <= longest * schedule for run in runs)
    else:
        assert len(runs) <= RUNS + 1
    assert run_length(view, whole) % schedule == timedelta(0)


@given(st.lists(st.integers(0, 60), max_size=20, unique=True))
def test_due_and_covered_partition_time(days: list[int]) -> None:
    """What is due and what was covered are disjoint, and together all that has ended."""
    view = build_view(feature_start_time=_at(1, 6))
    covered = [Period(_at(1) + day * DAY, _at(2) + day * DAY) for day in days]

    due = due_periods(view, BATCH, covered, _at(1) + 61 * DAY)

    pieces = sorted([*due, *covered])
    assert pieces[0].start in (_at(1), _at(1, 6))
    assert all(one.end == other.start for one, other in itertools.pairwise(pieces))
    assert pieces[-1].end == _at(1) + 61 * DAY
    assert [piece for group in adjacent(due) for piece in group] == list(due)


def test_far_back_gap_is_cut_as_a_backfill() -> None:
    """An earlier `feature_start_time` makes about ten runs due, not one for each day."""
    view = build_view(feature_start_time=_at(1) - 365 * DAY)

    due = due_periods(view, BATCH, [Period(_at(1), _at(9))], _at(10))

    assert due[-1] == Period(_at(9), _at(10))
    assert RUNS <= len(due) <= RUNS + 2
    assert [len(group) for group in adjacent(due)] == [len(due) - 1, 1]


def test_a_view_that_is_online_alone_reads_what_can_be_seen() -> None:
    """The online store gets only what a read could see; older batch rows are not even read."""
    at = _at(30, 13)
    online = build_view(feature_start_time=_at(1), offline=False, ttl=3 * DAY)

    assert backfill_period(online, BATCH, at) == Period(_at(27), _at(30))
    assert due_periods(online, BATCH, [], at) == list(runs_of(online, Period(_at(27), _at(30))))
    for_ever = msgspec.structs.replace(online, ttl=None)
    assert backfill_period(for_ever, BATCH, at) == Period(_at(1), _at(30))
