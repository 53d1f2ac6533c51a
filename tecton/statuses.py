"""
What recorded attempts look like to people: the documented tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tecton.applied import AppliedView, WorkspaceState
from tecton.attempts import jobs_of
from tecton.due import pushed_until
from tecton.stores import (
    BACKFILL,
    FAILURE,
    MAINTENANCE,
    PERIOD,
    PUSHED,
    REFILL,
    SUCCESS,
    Run,
    is_backfilled,
)
from tecton.timestamps import EPOCH

TYPES = {
    BACKFILL: "BATCH",
    PERIOD: "BATCH",
    REFILL: "BATCH",
    PUSHED: "STREAM",
    MAINTENANCE: "DELTA_MAINTENANCE",
}
"""The documented types of jobs."""

STATUS_HEADINGS = (
    "TYPE",
    "WINDOW_START_TIME",
    "WINDOW_END_TIME",
    "STATUS",
    "ATTEMPT_NUMBER",
    "JOB_CREATED_AT",
    "JOB_LOGS",
)
VERBOSE_HEADINGS = (
    "JOB_ID",
    "ENDED_AT",
    "STORES",
    "ROWS_IN",
    "ROWS_OUT",
    "COLLAPSED",
    "LATE",
    "WITHOUT_KEY",
    "STATE_MESSAGE",
)

FRESHNESS_HEADINGS = (
    "Feature View",
    "Materialized?",
    "Stale?",
    "Freshness",
    "Expected Freshness",
    "Created at",
)

_UNITS = (("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def status_rows(
    runs: Iterable[Run], is_verbose: bool = False, limit: int = 1000, errors_only: bool = False
) -> list[tuple[str, ...]]:
    """
    The documented columns of attempts, newest first.

    Args:
        runs: Attempts, as far as they have come.
        is_verbose: With our own columns: rows, stores, messages.
        limit: How many rows at most.
        errors_only: Only attempts that failed.
    """
    shown = [run for job in jobs_of(runs) for run in job]
    if errors_only:
        shown = [run for run in shown if run.state == FAILURE]
    shown.sort(key=lambda run: (run.started, run.start, run.attempt), reverse=True)
    return [_status(run) + (_verbose(run) if is_verbose else ()) for run in shown[:limit]]


def status_headings(is_verbose: bool) -> tuple[str, ...]:
    """The names of `status_rows`' columns."""
    return STATUS_HEADINGS + (VERBOSE_HEADINGS if is_verbose else ())


def freshness_rows(
    state: WorkspaceState, attempts: Sequence[Run], now: datetime
) -> list[tuple[str, ...]]:
    """
    How old the newest materialised features of each view are, by name.

    Args:
        state: The workspace.
        attempts: All attempts in it.
        now: The time.
    """
    rows: list[tuple[str, ...]] = []
    for view in sorted(state.views, key=lambda view: view.name):
        runs = [run for run in attempts if run.view_id == view.id]
        age, expected = freshness_of(view, runs, now), expected_freshness(state, view)
        is_there = age is not None
        stale = "-" if age is None else "Y" if age > expected else "N"
        shown = "-" if age is None else duration(age)
        rows.append(
            (
                view.name,
                "Y" if is_there else "N",
                stale,
                shown,
                duration(expected),
                _time(view.applied_at),
            )
        )
    return rows


def freshness_of(view: AppliedView, runs: Sequence[Run], now: datetime) -> timedelta | None:
    """How long ago the newest period ended that a view holds; None: it holds nothing yet."""
    if not is_backfilled(runs, view):
        return None
    ends = [run.end for run in runs if run.state == SUCCESS and run.kind in (BACKFILL, PERIOD)]
    newest = max(*ends, pushed_until(view, runs), EPOCH)
    return max(now - newest, timedelta(0))


def expected_freshness(state: WorkspaceState, view: AppliedView) -> timedelta:
    """What the definition says, or else twice the schedule and the source's delay."""
    if view.expected_feature_freshness is not None:
        return view.expected_feature_freshness
    batch = state.source_by_name[view.source].batch
    return 2 * view.batch_schedule + (timedelta(0) if batch is None else batch.data_delay)


def duration(length: timedelta) -> str:
    """A duration in its two largest units, as `14h 40m`."""
    left = int(length.total_seconds())
    parts = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text with columns of one width, below a line of headings and a rule."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    ]
    return [lines[0], "=" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]


def _status(run: Run) -> tuple[str, ...]:
    return (
        TYPES.get(run.kind, run.kind),
        _time(run.start),
        _time(run.end),
        run.state,
        str(run.attempt),
        _time(run.started),
        run.log or "-",
    )


def _verbose(run: Run) -> tuple[str, ...]:
    stores = [name for name, used in (("online", run.online), ("offline", run.offline)) if used]
    counts = (run.rows_in, run.rows_out, run.collapsed, run.late, run.keyless)
    return (
        run.run_id or "-",
        _time(run.ended) if run.state in (SUCCESS, FAILURE) else "-",
        ",".join(stores) or "-",
        *("-" if count is None else str(count) for count in counts),
        " ".join(run.report.split()) or "-",
    )


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
