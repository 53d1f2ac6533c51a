"""
Periods of materialisation: which there are, which are due. Pure functions on values.

A period is `[start, end)`. Periods are aligned to multiples of `batch_schedule` since the Unix
epoch (contract §6), so they depend on the definition alone, never on when a job ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tecton.applied import AppliedView, BatchRows
from tecton.timestamps import MICROSECOND, format_micros, from_micros, micros_of

_SCHEDULED = "SCHEDULED"
_MANUAL = "MANUAL"

RUNS = 10
"""About so many runs make up a backfill, unless the definition says how long one may be."""


class Period(NamedTuple):
    """`[start, end)`, both UTC-aware."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{_short(self.start)} to {_short(self.end)}"


def floor_to(schedule: timedelta, at: datetime) -> datetime:
    """The last multiple of *schedule* since the epoch at or before *at*."""
    micros = schedule // MICROSECOND
    return from_micros(micros_of(at) // micros * micros)


def backfill_period(
    view: AppliedView, batch: BatchRows | None, at: datetime, now: datetime | None = None
) -> Period | None:
    """
    What the backfill of a view reads from its batch source.

    Args:
        view: The view.
        batch: Its source's batch rows, if it has any.
        at: Decides which periods have ended.
        now: Decides what a read could see, where it is earlier; default *at*.

    Returns:
        From `feature_start_time` to the last multiple of the schedule whose rows are complete;
        with a manual trigger to `manual_trigger_backfill_end_time`. Of a view that is online
        alone, only what a read could see. None for nothing.
    """
    start = view.feature_start_time
    if start is None or batch is None:
        return None
    end: datetime | None = None
    if view.batch_trigger == _SCHEDULED:
        end = floor_to(view.batch_schedule, at - batch.data_delay)
    elif view.batch_trigger == _MANUAL:
        end = view.manual_trigger_backfill_end_time
    start, end = _aware(start), None if end is None else _aware(end)
    if not view.offline:
        seen = seen_from(view, at if now is None else min(at, now))
        start = max(start, floor_to(view.batch_schedule, seen or start))
    return None if end is None or end <= start else Period(start, end)


def seen_from(view: AppliedView, at: datetime) -> datetime | None:
    """Older events than this no read at a time sees; None: it sees all."""
    oldest = view.oldest_seen(micros_of(at))
    return None if oldest is None else from_micros(max(oldest, 0))


def run_length(view: AppliedView, period: Period) -> timedelta:
    """
    How long the runs are that a period is cut into: a multiple of `batch_schedule`.

    Args:
        view: The view; its `max_backfill_interval` decides, if it has one.
        period: What the runs cover together.
    """
    schedule = view.batch_schedule
    if view.max_backfill_interval is not None:
        return max(1, view.max_backfill_interval // schedule) * schedule
    schedules = -(-(period.end - period.start) // schedule)
    return max(1, -(-schedules // RUNS)) * schedule


def runs_of(view: AppliedView, period: Period) -> Sequence[Period]:
    """The runs that a period of a view is cut into, in order of time."""
    return tuple(split(period, run_length(view, period)))


def split(period: Period, longest: timedelta | None) -> Iterator[Period]:
    """
    Cut a backfill into runs.

    Args:
        period: What the runs cover together.
        longest: `max_backfill_interval`; runs begin at its multiples. None: one run.
    """
    start = period.start
    while longest is not None and floor_to(longest, start) + longest < period.end:
        end = floor_to(longest, start) + longest
        yield Period(start, end)
        start = end
    yield Period(start, period.end)


def due_periods(
    view: AppliedView,
    batch: BatchRows | None,
    covered: Iterable[Period],
    at: datetime,
    now: datetime | None = None,
) -> Sequence[Period]:
    """
    The periods that have ended and that no run has covered; with a manual trigger none after the
    backfill.

    Derived from the definition and the recorded runs, so a lost message loses no period.

    Args:
        view: The view.
        batch: Its source's batch rows, if it has any.
        covered: The periods of the runs that ended well, in any order.
        at: Decides which periods have ended; `data_delay` is on top.
        now: As of `backfill_period`.

    Returns:
        In order of time. What lies far back is cut as a backfill is, so that there are about ten
        of them; of no more than ten periods each is one.
    """
    whole = backfill_period(view, batch, at, now)
    if whole is None:
        return ()
    due: list[Period] = []
    for gap in gaps(whole, covered):
        due.extend(runs_of(view, gap))
    return due


def adjacent(periods: Iterable[Period]) -> Iterator[Sequence[Period]]:
    """Periods, in order of time, in groups without a gap."""
    group: list[Period] = []
    for period in periods:
        if group and group[-1].end != period.start:
            yield group
            group = []
        group.append(period)
    if group:
        yield group


def gaps(whole: Period, covered: Iterable[Period]) -> Iterator[Period]:
    """What of *whole* none of *covered* covers, in order of time."""
    start = whole.start
    for period in sorted(covered):
        if start < period.start:
            end = min(period.start, whole.end)
            if start < end:
                yield Period(start, end)
        start = max(start, period.end)
    if start < whole.end:
        yield Period(start, whole.end)


def _aware(at: datetime) -> datetime:
    return from_micros(micros_of(at))


def _short(at: datetime) -> str:
    """RFC 3339, without a fraction of zeros."""
    return format_micros(micros_of(at)).replace(".000000Z", "Z")
