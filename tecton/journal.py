"""
What is done is claimed first, and written down as it begins and ends (docs/decisions/0037).

Whoever starts jobs announces them: it takes the claims, asks again what is due, and records that
the attempts run. The job adopts what its owner has announced, keeps the owner's lease alive while
it works, and records how each attempt ended. Where a process is killed nothing is renewed: when
the lease is over the attempt is found dead, and the claim can be taken over.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from tecton.attempts import with_deaths
from tecton.errors import JobCancelled, JobTaken, TectonError
from tecton.stores import (
    CANCELLED,
    ENDED,
    FAILURE,
    MAINTENANCE,
    RUNNING,
    SUCCESS,
    Claims,
    Lease,
    Run,
    RunLog,
)

LEASE = timedelta(seconds=60)
"""How long after its last sign of life an owner counts as alive."""

BEAT = timedelta(seconds=10)
"""How often an owner gives a sign of life."""

START_LEASE = timedelta(minutes=3)
"""How long a job may take to start: a JVM, a cluster's queue."""

Derive = Callable[[Sequence[Run]], Sequence[Run]]
"""From all attempts to those that shall begin."""


class Announced(NamedTuple):
    """What became of what should begin.

    Args:
        runs: The attempts that are this owner's now.
        refused: For each name that somebody else holds, a line that says who.
    """

    runs: Sequence[Run]
    refused: Sequence[str]


class Counts(NamedTuple):
    """What an attempt has done, in rows; None: not known."""

    rows_in: int | None = None
    rows_out: int | None = None
    collapsed: int | None = None
    late: int | None = None
    keyless: int | None = None


UNCOUNTED = Counts()


class LocalClaims:
    """`stores.Claims` of one process: for a program that is alone, and for tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, str], Lease] = {}
        self._held: dict[tuple[str, str], str] = {}
        self._cancelled: set[tuple[str, str]] = set()

    def keep(self, workspace: str, lease: Lease) -> None:
        """Say that an owner lives."""
        with self._lock:
            self._leases[workspace, lease.owner] = lease

    def lease(self, workspace: str, owner: str) -> Lease | None:
        """What an owner has said last."""
        return self._leases.get((workspace, owner))

    def take(self, workspace: str, name: str, owner: str, now: datetime) -> str | None:
        """Claim *name*, unless somebody else who lives holds it."""
        with self._lock:
            holder = self._held.get((workspace, name))
            lease = self._leases.get((workspace, holder or ""))
            if holder not in (None, owner) and lease is not None and lease.until > now:
                return holder
            self._held[workspace, name] = owner
            return None

    def release(self, workspace: str, name: str, owner: str) -> None:
        """Give a claim up."""
        with self._lock:
            if self._held.get((workspace, name)) == owner:
                del self._held[workspace, name]

    def cancel(self, workspace: str, run_id: str) -> None:
        """Ask for the end of a job."""
        self._cancelled.add((workspace, run_id))

    def is_cancelled(self, workspace: str, run_id: str) -> bool:
        """Has anybody asked for the end of a job?"""
        return (workspace, run_id) in self._cancelled

    def forget(self, workspace: str, before: datetime) -> int:
        """Nothing is kept for long."""
        return 0


class Journal:
    """The attempts of one owner, claimed and recorded.

    Args:
        runs: Where they are recorded.
        claims: Who does what.
        clock: The time, UTC.
        owner: A random id; the process that starts a job gives it its own.
        who: User, host and process, for people.
        log: Where the job's log is, in words.
    """

    def __init__(
        self,
        runs: RunLog,
        claims: Claims,
        clock: Callable[[], datetime],
        owner: str,
        who: str,
        log: str = "",
    ) -> None:
        self.owner = owner
        self._runs = runs
        self._claims = claims
        self._clock = clock
        self._who = who
        self._log = log
        self._claimed: Counter[tuple[str, str]] = Counter()
        self._until: datetime | None = None
        self._at_work: list[Run] = []
        self._cancelled: set[str] = set()
        self._lost: set[str] = set()
        self._stop: Callable[[], None] = lambda: None

    def attempts(
        self, workspace: str, is_merged: bool = False, view: str | None = None
    ) -> list[Run]:
        """
        The attempts in a workspace; those that died without a word have failed.

        Args:
            workspace: The workspace's folder.
            is_merged: As `RunLog.merged`, which costs less.
            view: Name of the only view that is asked about; None: all.
        """
        runs = self._runs
        recorded = runs.merged(workspace) if is_merged else runs.attempts(workspace, view)
        return with_deaths(recorded, self._lease_end(workspace), self._clock())

    def announce(self, workspace: str, derive: Derive, lease: timedelta = LEASE) -> Announced:
        """
        Claim what shall begin and record that it runs.

        Args:
            workspace: The workspace's folder.
            derive: Says what shall begin; asked again once all is claimed, since whoever held a
                claim before may have done it.
            lease: How long until the first sign of life of the job.
        """
        wanted = derive(self.attempts(workspace, is_merged=True))
        if not wanted:
            return Announced((), ())
        self._keep(workspace, lease)
        names = dict.fromkeys(claim_of(run) for run in wanted)
        refused = {}
        for name in names:
            holder = self._claims.take(workspace, name, self.owner, self._clock())
            if holder is not None:
                refused[name] = holder
        attempts = self.attempts(workspace, is_merged=True)
        runs = [
            run._replace(state=RUNNING, owner=self.owner, log=self._log)
            for run in derive(attempts)
            if claim_of(run) in names and claim_of(run) not in refused
        ]
        self._claimed.update((workspace, claim_of(run)) for run in runs)
        for name in names:
            if name not in refused and not self._claimed[workspace, name]:
                self._claims.release(workspace, name, self.owner)
        # Who died is written down by who comes after, so that nobody has to look again.
        dead = [run for run in attempts if run.state == FAILURE and _is_same_job(run, runs)]
        self._runs.record(*dead, *runs)
        lines = [
            f"{_label(run)}: another job is at it ({self._holder(workspace, refused[name])})"
            for run in wanted
            if (name := claim_of(run)) in refused
        ]
        return Announced(runs, list(dict.fromkeys(lines)))

    def adopt(self, workspace: str) -> list[Run]:
        """What this owner has announced and nobody has ended; from now on it is this process's."""
        self._keep(workspace)
        runs = [
            run._replace(log=self._log or run.log)
            for run in self._runs.merged(workspace)
            if run.owner == self.owner and run.state not in ENDED
        ]
        self._claimed = Counter((workspace, claim_of(run)) for run in runs)
        return runs

    @contextmanager
    def carry_out(self, *runs: Run) -> Iterator[Carrying]:
        """
        Do the work of announced attempts; it has failed if an exception ends it.

        Yields:
            Takes what became of each; what it is not told of has not been done.

        Raises:
            JobCancelled: Somebody asked for its end, before or meanwhile.
        """
        began = self._clock()
        carrying = Carrying(self, [run._replace(started=began) for run in runs])
        self._at_work = carrying.left
        try:
            self.check()
            yield carrying
            carrying.end_rest("it was not done")
        except BaseException as exc:
            cancelled = self._cancelled_of(runs)
            if not cancelled:
                carrying.end_rest(describe(exc))
                raise
            reason = _cancelled(cancelled)
            carrying.end_cancelled({run.run_id for run in cancelled}, reason)
            raise JobCancelled(reason) from exc
        finally:
            self._at_work = []
            for run in runs:
                self._let_go(run)

    @contextmanager
    def hold(self, workspace: str, name: str) -> Iterator[bool]:
        """Claim something else meanwhile; yields False if another owner has it."""
        self._keep(workspace)
        is_ours = self._claims.take(workspace, name, self.owner, self._clock()) is None
        try:
            yield is_ours
        finally:
            if is_ours:
                self._claims.release(workspace, name, self.owner)

    def check(self) -> None:
        """
        Find out whether to go on with what is being done.

        Raises:
            JobCancelled: Somebody has asked for its end.
            JobTaken: This process was silent for so long that another one has taken it over.
        """
        for run in self._at_work:
            if claim_of(run) in self._lost:
                raise JobTaken(f"{_label(run)}: another job has taken over after a long silence")
            if self._claims.is_cancelled(run.workspace, run.run_id):
                self._cancelled.add(run.run_id)
        if cancelled := self._cancelled_of(self._at_work):
            raise JobCancelled(_cancelled(cancelled))

    def give_up(self, workspace: str, reason: str) -> None:
        """Record that what is left of this owner's attempts has failed, and let go of all."""
        left = [run for run in self._runs.merged(workspace) if run.owner == self.owner]
        now = self._clock()
        self._runs.record(
            *(
                run._replace(
                    state=FAILURE if run.state == RUNNING else CANCELLED, ended=now, report=reason
                )
                for run in left
                if run.state not in ENDED
            )
        )
        held = [name for place, name in self._claimed if place == workspace]
        for name in dict.fromkeys([*held, *map(claim_of, left)]):
            self._claims.release(workspace, name, self.owner)

    def beat(self, workspace: str) -> None:
        """
        Give a sign of life, and stop the work if somebody has asked for that.

        Raises:
            StoreUnavailable: The sign could not be given; try again.
        """
        self._keep(workspace)
        try:
            self.check()
        except (JobCancelled, JobTaken):
            self._stop()

    @contextmanager
    def alive(self, workspace: str, stop: Callable[[], None]) -> Iterator[None]:
        """
        Give signs of life from a thread.

        Args:
            workspace: The workspace's folder.
            stop: Called from that thread: shall make the work end soon, with any exception.
        """
        self._stop = stop
        is_over = threading.Event()

        def live() -> None:
            while not is_over.wait(BEAT.total_seconds()):
                # The lease outlives some missed beats.
                with suppress(TectonError):
                    self.beat(workspace)

        thread = threading.Thread(target=live, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _cancelled_of(self, runs: Sequence[Run]) -> list[Run]:
        return [run for run in runs if run.run_id in self._cancelled]

    def _record_end(self, *runs: Run) -> None:
        self._runs.record(*runs)

    def _keep(self, workspace: str, lease: timedelta = LEASE) -> None:
        now = self._clock()
        was_silent = self._until is not None and now > self._until
        self._until = now + lease
        self._claims.keep(workspace, Lease(self.owner, self._until, self._who))
        if was_silent:
            for place, name in list(self._claimed):
                if self._claims.take(place, name, self.owner, now) is not None:
                    self._lost.add(name)

    def _let_go(self, run: Run) -> None:
        key = run.workspace, claim_of(run)
        self._claimed[key] -= 1
        if self._claimed[key] <= 0:
            self._claims.release(*key, self.owner)

    def _lease_end(self, workspace: str) -> Callable[[str], datetime | None]:
        known: dict[str, datetime | None] = {}

        def ask(owner: str) -> datetime | None:
            if owner not in known:
                lease = self._claims.lease(workspace, owner) if owner else None
                known[owner] = None if lease is None else lease.until
            return known[owner]

        return ask

    def _holder(self, workspace: str, owner: str) -> str:
        lease = self._claims.lease(workspace, owner)
        return owner if lease is None else lease.who


class Carrying:
    """Attempts that are being carried out; `Journal.carry_out` makes it."""

    def __init__(self, journal: Journal, runs: Sequence[Run]) -> None:
        self._journal = journal
        self.left = list(runs)

    def done(
        self, run: Run, report: str, counts: Counts = UNCOUNTED, parts: Sequence[Run] = ()
    ) -> None:
        """
        Record that one of the attempts ended well.

        Args:
            run: As it was announced; start and end may be other ones.
            report: What it did, in words.
            counts: What it did, in rows.
            parts: What it consisted of, each as a run of its own.
        """
        [mine] = [
            one for one in self.left if (one.run_id, one.attempt) == (run.run_id, run.attempt)
        ]
        self.left.remove(mine)
        now = self._journal._clock()
        done = run._replace(started=mine.started, ended=now, **counts._asdict())
        self._journal._record_end(
            done._replace(state=SUCCESS, report=report),
            *(part._replace(started=mine.started, ended=now, state=SUCCESS) for part in parts),
        )

    def end_rest(self, report: str) -> None:
        """Record that what is left has failed."""
        self.end_cancelled(frozenset(), report)

    def end_cancelled(self, run_ids: Set[str], report: str) -> None:
        """Record that these jobs were cancelled; what else is left has failed with them."""
        left, self.left[:] = list(self.left), []
        now = self._journal._clock()
        ended = [
            run._replace(
                state=CANCELLED if run.run_id in run_ids else FAILURE, ended=now, report=report
            )
            for run in left
        ]
        self._journal._record_end(*ended)


def claim_of(run: Run) -> str:
    """
    What an attempt claims: its view, of which one job at a time writes rows.

    Not its period: two jobs over periods that overlap would both go on.
    """
    return run.kind if run.kind == MAINTENANCE else run.view_id


def describe(exc: BaseException) -> str:
    """An exception in one line."""
    if isinstance(exc, (KeyboardInterrupt, GeneratorExit)):
        return "interrupted"
    text = " ".join(str(exc).split())
    return text[:1000] or type(exc).__name__


def _is_same_job(run: Run, runs: Sequence[Run]) -> bool:
    return any(run.run_id == one.run_id for one in runs)


def _label(run: Run) -> str:
    return run.view or run.kind


def _cancelled(runs: Sequence[Run]) -> str:
    return f"{', '.join(dict.fromkeys(map(_label, runs)))}: the job was cancelled"
