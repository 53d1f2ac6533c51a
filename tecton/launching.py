"""
Jobs from where there is no Spark: what is due, announced, started, and what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tecton.applied import AppliedView, WorkspaceState, new_id
from tecton.bootstrap import Backend, whoami
from tecton.due import (
    Due,
    Question,
    behind,
    due,
    has_period_ended,
    is_scattered,
    nothing_pushed,
)
from tecton.errors import JobFailed
from tecton.journal import START_LEASE, Announced, Derive, Journal
from tecton.stores import Job, Run, is_backfilled


@dataclass(frozen=True)
class Launching:
    """Who starts jobs.

    Args:
        backend: The stores.
        environ: The environment.
        clock: The time, UTC.
    """

    backend: Backend
    environ: Mapping[str, str]
    clock: Callable[[], datetime]

    def journal(self) -> Journal:
        """A journal of a new owner."""
        backend = self.backend
        who = whoami(self.environ)
        return Journal(backend.runs, backend.claims, self.clock, new_id(), who)

    def due(self, state: WorkspaceState, at: datetime, is_patient: bool) -> tuple[Due, Derive]:
        """
        What of a workspace is due now; what needs no job is recorded at once.

        Args:
            state: The workspace.
            at: Decides which periods have ended.
            is_patient: Leave for later what has failed a short while ago.

        Returns:
            What is due, and how to find out again.
        """
        now = self.clock()
        attempts = self.journal().attempts(state.folder, is_merged=True)
        ended = [
            view
            for view in state.views
            if view.offline
            and is_backfilled(attempts, view)
            and has_period_ended(view, attempts, at)
        ]
        lacking = behind(self.backend.delta_logs, state, ended) if ended else frozenset()
        idle = [view for view in ended if view.id not in lacking]
        self.backend.runs.record(*(nothing_pushed(state, view, at, now) for view in idle))

        def takes_pushed(view: AppliedView, attempts: Sequence[Run]) -> bool:
            return view.id in lacking and has_period_ended(view, attempts, at)

        lost = self.lost([view for view in state.views if is_backfilled(attempts, view)])
        scattered = partial(is_scattered, self.backend.delta_logs, state)
        question = Question(
            state, state.views, at, now, lost, takes_pushed, is_patient, True, scattered
        )
        return due(question, attempts), lambda attempts: due(question, attempts).runs

    def lacking(self, state: WorkspaceState, views: Sequence[AppliedView]) -> Derive:
        """
        What views lack after an apply: a backfill, periods, rows online.

        Args:
            state: The workspace, as it has just been applied.
            views: Which of its views.
        """
        now = self.clock()
        new = frozenset(
            view.id for view in views if view.online and view.since_version == state.version
        )
        question = Question(
            state, views, now, now, new, lambda view, attempts: False, is_patient=False
        )
        return lambda attempts: due(question, attempts).runs

    def lost(self, views: Sequence[AppliedView]) -> frozenset[str]:
        """Ids of those views that the online store does not hold."""
        online = {view.online_id: view.id for view in views if view.online}
        lost = self.backend.online.unloaded(list(online)) if online else ()
        return frozenset(online[online_id] for online_id in lost)

    @contextmanager
    def announced(
        self, state: WorkspaceState, derive: Derive
    ) -> Iterator[tuple[Announced, Sequence[str]]]:
        """
        Announce what shall begin, and see to it that nothing is left to run for ever.

        Yields:
            What was announced, and the arguments of the job that shall carry it out.
        """
        journal = self.journal()
        announced = journal.announce(state.folder, derive, START_LEASE)
        reason = "the job ended before it came to this"
        try:
            yield announced, ["--workspace", state.name, "--owner", journal.owner]
        except JobFailed as exc:
            reason = str(exc)
            raise
        except BaseException:
            reason = "interrupted"
            raise
        finally:
            if announced.runs:
                journal.give_up(state.folder, reason)

    def start(self, state: WorkspaceState, script: str, derive: Derive) -> tuple[Announced, str]:
        """
        Announce what shall begin, start a job for it and leave that to itself.

        Returns:
            What was announced, and where the job's log is.

        Raises:
            JobFailed: The job cannot be started.
        """
        journal = self.journal()
        announced = journal.announce(state.folder, derive, START_LEASE)
        if not announced.runs:
            return announced, ""
        job = Job(script, ["--workspace", state.name, "--owner", journal.owner])
        try:
            log = self.backend.launcher.start(job, self.backend.settings.environ())
        except BaseException as exc:
            journal.give_up(state.folder, str(exc) or "interrupted")
            raise
        return announced, log
