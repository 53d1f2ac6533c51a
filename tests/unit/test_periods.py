"""Periods: aligned, each once, due when they have ended (contract §6)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tecton.applied import BatchRows
from tecton.periods import Period, backfill_period, due_periods, floor_to, split
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


def test_a_manual_trigger_backfills_to_the_given_end_and_is_never_due() -> None:
    """With a manual trigger nothing runs by itself."""
    view = build_view(
        feature_start_time=_at(1),
        batch_trigger="MANUAL",
        manual_trigger_backfill_end_time=_at(2, 12),
    )

    assert backfill_period(view, BATCH, _at(9)) == Period(_at(1), _at(2, 12))
    assert due_periods(view, BATCH, [], _at(9)) == ()


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
