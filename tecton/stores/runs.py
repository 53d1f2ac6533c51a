"""
The port of what materialisation jobs have done and do, and what is said of each attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from tecton.applied import AppliedView

RUNNING = "RUNNING"
CANCELLING = "MANUAL_CANCELLATION_REQUESTED"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
CANCELLED = "MANUALLY_CANCELLED"

ENDED = frozenset({SUCCESS, FAILURE, CANCELLED})
"""The states that an attempt does not leave."""

BACKFILL = "backfill"
"""The kind of run that loads a view for the first time, or anew."""

PERIOD = "period"
"""The kind of run that brings the batch rows of one period."""

PUSHED = "pushed"
"""The kind of run that brings what was pushed to an offline table."""

REFILL = "refill"
"""The kind of run that fills the online store anew with what the offline table has."""

MAINTENANCE = "maintenance"
"""The kind of run that keeps a workspace's tables small; it has no view."""


class Run(NamedTuple):
    """One attempt at a materialisation job, as far as it has come.

    Args:
        workspace: The workspace's folder, so that two lives of a name stay apart.
        view: Name of the view, for people.
        view_id: The view's generation.
        kind: `BACKFILL`, `PERIOD`, `PUSHED`, `REFILL` or `MAINTENANCE`.
        start: Of the period, UTC.
        end: Of the period, exclusive; equal to *start* where there was nothing to read.
        started: When the attempt began.
        ended: When it ended; of one that has not ended: when this was recorded.
        report: What it did, or why it failed, in words.
        run_id: The job; its attempts share it. Empty for rows of the first version.
        attempt: Its number within the job, from 1.
        state: `RUNNING`, `CANCELLING`, or one of `ENDED`.
        online: Did it write to the online store?
        offline: Did it write to the offline table?
        rows_in: Source rows that were read; None, here and below: not known.
        rows_out: Feature rows that came of them.
        collapsed: Rows that shared an identity with one that was kept.
        late: Pushed rows of periods that had been materialised before.
        keyless: Rows without a join key or timestamp, which were left out.
        owner: Whose claim it ran under.
        log: Where its log is, in words.
        is_manual: Did a person ask for this period, rather than the schedule?
        is_retried: Is it tried again after a failure?
    """

    workspace: str
    view: str
    view_id: str
    kind: str
    start: datetime
    end: datetime
    started: datetime
    ended: datetime
    report: str
    run_id: str = ""
    attempt: int = 1
    state: str = SUCCESS
    online: bool = True
    offline: bool = True
    rows_in: int | None = None
    rows_out: int | None = None
    collapsed: int | None = None
    late: int | None = None
    keyless: int | None = None
    owner: str = ""
    log: str = ""
    is_manual: bool = False
    is_retried: bool = True


def is_backfilled(runs: Sequence[Run], view: AppliedView) -> bool:
    """Has a backfill of this generation of the view ended well?"""
    return any(
        run.view_id == view.id and run.kind == BACKFILL and run.state == SUCCESS for run in runs
    )


class RunLog(Protocol):
    """What materialisation jobs have done and do. What is due is derived from it.

    Rows are only ever added: a later one of the same attempt says how far it has come.
    """

    def record(self, *runs: Run) -> None:
        """Add rows, all or none; durable when this returns. The same may be added again."""

    def of(self, workspace: str, view: str | None = None) -> Sequence[Run]:
        """
        The attempts of one workspace (its folder) that ended well, in order of their ends.

        With *view* those at views of this name, which costs less.
        """

    def attempts(self, workspace: str, view: str | None = None) -> Sequence[Run]:
        """
        All attempts of one workspace, each as far as it has come, in order of their starts.

        With *view* those at views of this name, former generations included.
        """

    def merged(self, workspace: str) -> Sequence[Run]:
        """
        What of `attempts` decides what is due; costs little after years.

        Periods that ended well and touch each other may be one, failures of jobs that ended well
        in the end may be left out, and of runs that go on where the last one stopped all but the
        last.
        """
