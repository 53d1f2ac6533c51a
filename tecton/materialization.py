"""
The jobs of a feature view, as the documentation has them: list, look at, trigger, cancel, wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tecton.applied import AppliedView, WorkspaceState
from tecton.attempts import jobs_of, next_attempt_at, state_of
from tecton.due import new_run
from tecton.errors import JobFailed, JobRefused, JobTaken, NotFound
from tecton.launching import Launching
from tecton.periods import Period, floor_to
from tecton.statuses import TYPES
from tecton.stores import (
    BACKFILL,
    CANCELLED,
    CANCELLING,
    ENDED,
    PERIOD,
    RUNNING,
    SUCCESS,
    Run,
)
from tecton.timestamps import from_micros, micros_of

POLL = timedelta(seconds=1)


@dataclass(frozen=True)
class MaterializationAttempt:
    """One attempt at a job.

    Args:
        id: Of the job, and the attempt's number.
        attempt_state: `RUNNING`, `MANUAL_CANCELLATION_REQUESTED`, `SUCCESS`, `FAILURE` or
            `MANUALLY_CANCELLED`.
        created_at: When it began, UTC.
        updated_at: When its state changed last, UTC.
        run_url: Where its log is.
        message: What it did, or why it failed.
    """

    id: str
    attempt_state: str
    created_at: datetime
    updated_at: datetime
    run_url: str
    message: str


@dataclass(frozen=True)
class MaterializationJob:
    """A materialisation job and its attempts.

    Args:
        id: Of the job.
        workspace: Name of the workspace.
        feature_view: Name of the view.
        start_time: Of the period, UTC.
        end_time: Of the period, exclusive.
        online: Does it write to the online store?
        offline: Does it write to the offline table?
        state: `RUNNING` also while it waits for another attempt, `SUCCESS`,
            `MANUAL_CANCELLATION_REQUESTED`, `MANUALLY_CANCELLED`, or `FAILURE` when it is not
            tried again.
        created_at: When its first attempt began, UTC.
        updated_at: When its state changed last, UTC.
        attempts: In order.
        next_attempt_at: When it is tried again, if it is.
        job_type: "BATCH" or "STREAM".
    """

    id: str
    workspace: str
    feature_view: str
    start_time: datetime
    end_time: datetime
    online: bool
    offline: bool
    state: str
    created_at: datetime
    updated_at: datetime
    attempts: Sequence[MaterializationAttempt]
    next_attempt_at: datetime | None
    job_type: str

    @classmethod
    def of(cls, workspace: str, runs: Sequence[Run]) -> MaterializationJob:
        """The job of its recorded attempts, in order."""
        first, last = runs[0], runs[-1]
        return cls(
            id=id_of(last),
            workspace=workspace,
            feature_view=last.view,
            start_time=last.start,
            end_time=last.end,
            online=last.online,
            offline=last.offline,
            state=state_of(runs),
            created_at=first.started,
            updated_at=max(run.ended for run in runs),
            attempts=tuple(map(_attempt, runs)),
            next_attempt_at=next_attempt_at(runs),
            job_type=TYPES.get(last.kind, last.kind),
        )


@dataclass(frozen=True)
class MaterializationJobs:
    """The jobs of one feature view.

    Args:
        launching: What starts jobs, and knows the stores.
        state: The workspace.
        view: The view.
        sleep: Waits for some seconds.
    """

    launching: Launching
    state: WorkspaceState
    view: AppliedView
    sleep: Callable[[float], None] = time.sleep

    def runs(self) -> list[Run]:
        """All attempts at the view, its former generations included."""
        return self.launching.journal().attempts(self.state.folder, view=self.view.name)

    def list(self) -> Sequence[MaterializationJob]:
        """All jobs, newest first."""
        jobs = [MaterializationJob.of(self.state.name, runs) for runs in jobs_of(self.runs())]
        return sorted(jobs, key=lambda job: (job.created_at, job.start_time), reverse=True)

    def get(self, job_id: str) -> MaterializationJob:
        """One job; raises `NotFound`."""
        return MaterializationJob.of(self.state.name, self._of(job_id))

    def cancel(self, job_id: str) -> MaterializationJob:
        """
        Ask for the end of a job; it then is not tried again by itself.

        Raises:
            NotFound: There is no such job.
            JobRefused: It has ended.
        """
        runs = self._of(job_id)
        last = runs[-1]
        if state_of(runs) in ENDED:
            raise JobRefused(f"the job {job_id} has ended: {last.state}")
        backend, now = self.launching.backend, self.launching.clock()
        if last.state in (RUNNING, CANCELLING):
            backend.claims.cancel(self.state.folder, job_id)
            asked = last._replace(state=CANCELLING, ended=now)
        else:
            number = last.attempt + 1
            asked = last._replace(
                state=CANCELLED, attempt=number, started=now, ended=now, report=""
            )
        backend.runs.record(asked)
        return self.get(job_id)

    def wait(self, job_id: str, timeout: timedelta | None = None) -> MaterializationJob:
        """
        Return when a job has ended.

        Args:
            job_id: Which.
            timeout: How long to wait at most; None: for ever.

        Raises:
            NotFound: There is no such job.
            JobFailed: It has not ended in time.
        """
        began = self.launching.clock()
        while (job := self.get(job_id)).state not in ENDED:
            if timeout is not None and self.launching.clock() - began >= timeout:
                raise JobFailed(f"the job {job_id} has not ended within {timeout}: {job.state}")
            self.sleep(POLL.total_seconds())
        return job

    def trigger(
        self,
        start_time: datetime,
        end_time: datetime,
        online: bool,
        offline: bool,
        use_tecton_managed_retries: bool = True,
        overwrite: bool = False,
    ) -> str:
        """
        Start a job that materialises the batch rows of a period, and return at once.

        Args:
            start_time: A multiple of `batch_schedule`, or the view's `feature_start_time`; naive
                means UTC.
            end_time: A multiple of `batch_schedule`, exclusive; not after now.
            online: Offer the rows to the online store.
            offline: Replace the period's rows in the offline table.
            use_tecton_managed_retries: Try again after a failure.
            overwrite: Also where the period, or a part of it, has been materialised before.

        Returns:
            The job's id.

        Raises:
            JobRefused: This cannot be done.
            JobTaken: Another job is at the view.
            JobFailed: The job cannot be started.
        """
        period = Period(_utc(start_time), _utc(end_time))
        self._check_stores(online, offline, overwrite)
        self._check_period(period)
        runs = self.runs()
        if not overwrite:
            self._check_new(period, runs, online, offline)
        new = new_run(self.state, self.view, PERIOD, self.launching.clock())
        wanted = new._replace(
            start=period.start,
            end=period.end,
            online=online,
            offline=offline,
            is_manual=True,
            is_retried=use_tecton_managed_retries,
        )
        announced, _ = self.launching.start(self.state, "backfill", lambda _: [wanted])
        if announced.refused:
            raise JobTaken("; ".join(announced.refused))
        return wanted.run_id

    def _of(self, job_id: str) -> Sequence[Run]:
        for runs in jobs_of(self.runs()):
            if id_of(runs[-1]) == job_id:
                return runs
        raise NotFound(f"feature view {self.view.name} has no materialization job {job_id}")

    def _check_stores(self, online: bool, offline: bool, overwrite: bool) -> None:
        view = self.view
        if not self.state.live:
            raise JobRefused(
                f"{self.state.name} is a development workspace and does not materialise"
            )
        if self.state.source_by_name[view.source].batch is None:
            raise JobRefused(
                f"feature view {view.name} has no batch source; what is pushed is taken by "
                "`tecton materialize run-due`"
            )
        if not (online or offline):
            raise JobRefused("one of online and offline must be True")
        for name, is_asked, has in (
            ("online", online, view.online),
            ("offline", offline, view.offline),
        ):
            if is_asked and not has:
                raise JobRefused(f"feature view {view.name} has {name}=False")
        if online and overwrite:
            raise JobRefused(
                "overwrite=True replaces rows offline only: online a newer row stays; use "
                "online=False, or overwrite=False for a period that is not online yet"
            )

    def _check_period(self, period: Period) -> None:
        schedule, first = self.view.batch_schedule, from_micros(self.view.start_micros)
        for name, at in (("start_time", period.start), ("end_time", period.end)):
            if floor_to(schedule, at) != at and (name, at) != ("start_time", first):
                raise JobRefused(
                    f"{name} {at.isoformat()} is no multiple of the batch_schedule {schedule}; "
                    f"the one before is {floor_to(schedule, at).isoformat()}"
                )
        if period.start >= period.end:
            raise JobRefused("start_time must be before end_time")
        if period.start < first:
            raise JobRefused(f"start_time is before the feature_start_time {first.isoformat()}")
        if period.end > self.launching.clock():
            raise JobRefused("end_time must not be after now")

    def _check_new(self, period: Period, runs: Sequence[Run], online: bool, offline: bool) -> None:
        for run in runs:
            is_done = run.state == SUCCESS and run.kind in (BACKFILL, PERIOD)
            is_same = run.view_id == self.view.id and (
                (run.online and online) or (run.offline and offline)
            )
            if is_done and is_same and run.start < period.end and period.start < run.end:
                raise JobRefused(
                    f"{Period(run.start, run.end)} has been materialised; overwrite=True does it "
                    "again"
                )


def id_of(run: Run) -> str:
    """The id of an attempt's job; rows of the first version get one from what they say."""
    return run.run_id or f"{run.view_id}-{micros_of(run.started)}-{micros_of(run.start)}"


def _attempt(run: Run) -> MaterializationAttempt:
    return MaterializationAttempt(
        id=f"{id_of(run)}-{run.attempt}",
        attempt_state=run.state,
        created_at=run.started,
        updated_at=run.ended,
        run_url=run.log,
        message=run.report,
    )


def _utc(at: datetime) -> datetime:
    return from_micros(micros_of(at))
