"""
The ports: what the system needs from storage. Each docstring is the contract of its adapters,
held by `tests/contract/` on every implementation.

Timestamps are µs since the epoch, UTC. Any method may raise `StoreUnavailable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

from tecton.access import AccessState
from tecton.applied import AppliedView, WorkspaceState
from tecton.rows import FeatureRow
from tecton.tombstones import Tombstones


class LogEntry(NamedTuple):
    """One record as the push table keeps it.

    Args:
        source: Id of the stream source.
        sequence: Order of acceptance.
        batch_no: The commit of its writer that brought it, contiguous from 1.
        registry_version: The version that the accepting service knew.
        record: Canonical JSON.
    """

    source: str
    sequence: int
    batch_no: int
    registry_version: int
    record: bytes


class Stored(NamedTuple):
    """The newest row of a key; `body` as `rows.encode_body` spells it."""

    timestamp: int
    sequence: int
    body: bytes


class Aggregated(NamedTuple):
    """What an aggregating view answers for a key; features without a value are null.

    Args:
        at: The effective time, µs since the epoch: windows end there, inclusive.
        values: Canonical values by feature.
    """

    at: int
    values: Mapping[str, Any]


class StagedBatch(NamedTuple):
    """A batch of which only the log's entry is still to be put.

    Args:
        batch_no: Its number.
        entry: The entry.
    """

    batch_no: int
    entry: bytes


class PushLog(Protocol):
    """The push table of one writer in one workspace; only its owner appends.

    Opening it takes the slot over: whoever held it before is fenced off.
    """

    @property
    def name(self) -> str:
        """Identifies this log among all: the workspace's id and the writer."""

    @property
    def last_batch(self) -> int:
        """The number of the newest batch, 0 for none."""

    @property
    def is_far(self) -> bool:
        """Does a commit wait for a network, so that it is worth while to stage the next one?"""

    def settle(self, now: datetime) -> int:
        """
        Find out what became of an `append` that failed; `last_batch` is true afterwards.

        Args:
            now: UTC.

        Returns:
            `last_batch`.

        Raises:
            WriterFenced: Another process has opened the log since.
        """

    def stage(self, entries: Sequence[LogEntry], accepted_at: datetime) -> StagedBatch:
        """
        Put all of a batch but what makes it one of the log.

        May be called while another thread appends the batch before. What is staged and never
        appended is missed by nobody.
        """

    def append(
        self,
        entries: Sequence[LogEntry],
        accepted_at: datetime,
        staged: StagedBatch | None = None,
    ) -> None:
        """
        Make one batch durable; when it returns, power may fail.

        Args:
            entries: All of the batch after the one that `settle` answered, and numbered so.
            accepted_at: UTC; decides the partition.
            staged: What `stage` gave for these very arguments.

        Raises:
            WriterFenced: Another process has opened the log since.
            StoreUnavailable: Nothing was written, or nobody can know yet; `settle` finds out.
            ValueError: The entries have another batch's number.
        """

    def read_after(self, batch_no: int) -> Iterator[Sequence[LogEntry]]:
        """The batches above *batch_no*, in order, each whole."""

    def close(self) -> None:
        """Give the log up; nothing is lost by not calling it."""


WINDOWED_MICROS = range(2**53)
"""Timestamps that a `WindowStore` keeps, from 1970 to 2255."""


class Doubt(NamedTuple):
    """The online store cannot tell which sequences were taken: it is new, or has lost data.

    Args:
        life: What it calls its counter from now on, until it loses that again.
    """

    life: str


class Reached(NamedTuple):
    """How far the rows of a view in the online store have come, besides what is pushed.

    Args:
        batch: Up to which job's rows, by the numbers of a `BatchLedger`; 0 for none.
        erased: Up to which erasure, its sequence; 0 for none.
    """

    batch: int = 0
    erased: int = 0


NOTHING_REACHED = Reached()


class PushTables(Protocol):
    """The push tables of all writers, to be read: what every `PushLog` has written."""

    def writers(self, state: WorkspaceState) -> Sequence[str]:
        """The slots of a workspace that were ever written."""

    def last_batch(self, state: WorkspaceState, writer: str, least: int = 0) -> int:
        """
        The number of the newest batch, 0 for none; costs little while it stays the same.

        Args:
            state: The workspace.
            writer: The slot.
            least: A batch that is known to be logged.
        """

    def last_sequence(self, state: WorkspaceState) -> int:
        """The greatest sequence that any writer has ever logged, 0 for none."""

    def read_after(
        self, state: WorkspaceState, writer: str, batch_no: int
    ) -> Iterator[Sequence[LogEntry]]:
        """The batches above *batch_no* that are still there, in order, each whole."""


class WindowStore(Protocol):
    """The events of aggregating views online, by join key, and what their windows answer.

    Of the events of one identity (key, timestamp, event key) the one with the greatest
    (sequence, tie, body) counts, whatever the order of events or of calls. Batch rows may have
    timestamps outside `WINDOWED_MICROS`; they are left out.
    """

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer events; several may share a key, or an identity."""

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """
        The aggregates of each (view, key) over every event that was offered, in one round trip.

        Windows end at *now* (µs since the epoch) or, if later, at the newest event of the key in
        that view. None where no event is within the longest window.

        Raises:
            ViewNotLoaded: One of the views is not marked as loaded.
        """

    def tidy(self) -> int:
        """
        Do what makes reads of aggregates cheap, for keys that this object has met: whose events it
        has offered, or that were dear to read.

        Answers are right without. Answers how many keys are left for another call.
        """


class OnlineStore(WindowStore, Protocol):
    """
    What each feature view would answer now, by join key.

    Safe to call from many processes. Of the rows offered for a key the one with the greatest
    (timestamp, sequence, body) stays, whatever the order of rows or of calls; of an aggregating
    view every event.
    """

    def reserve(
        self, workspace: str, count: int, now: int, given: int, life: str = ""
    ) -> int | Doubt:
        """
        Take *count* new sequences, above all that were taken of this workspace.

        A store that may have lost data is in doubt, and gives nothing until somebody has looked
        into the logs: `sequences.take_sequences`.

        Args:
            workspace: Its id.
            count: How many.
            now: They are at least this, µs since the epoch.
            given: They are above this, which the caller knows to have been taken.
            life: What a doubt has named. The caller has looked into the logs since, and *given* is
                no less than any sequence there.

        Returns:
            The first, or a doubt.
        """

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer rows; several may share a key."""

    def apply(
        self,
        log: str,
        previous: int,
        batch_no: int,
        rows: Sequence[FeatureRow],
        sequence: int = 0,
    ) -> bool:
        """
        Offer the rows of one batch of a push log and remember that they were offered.

        Args:
            log: The log's name.
            previous: The batch before.
            batch_no: The batch.
            rows: Its rows.
            sequence: Its greatest. What `reserve` gives from now on is above it, whether there is
                a gap or not; 0: nothing is said.

        Returns:
            False if the batch *previous* was never applied: the store, or a part of it, has lost
            data, and the log must be replayed from `applied_batch`. A part that has lost data
            takes nothing.
        """

    def applied_batch(self, log: str) -> int:
        """The newest batch of *log* up to which all are applied in all parts, 0 for none."""

    def read(self, keys: Sequence[tuple[str, str]]) -> Sequence[Stored | None]:
        """
        The newest row for each (view, key), in one round trip.

        Raises:
            ViewNotLoaded: One of the views is not marked as loaded.
        """

    def erase(self, view: AppliedView, keys: Sequence[str], sequence: int) -> None:
        """Delete what was accepted of some join keys up to *sequence*; may be done again."""

    def keys(self, view: str) -> Iterator[str]:
        """
        The join keys of which the store has something in a view, some maybe twice.

        Those that come or go meanwhile may be among them or not. Looks at every key of the store,
        some at a time.
        """

    def begin_load(self, view: str) -> str:
        """Say that all rows of a view are going to be offered; answers what to end it with."""

    def mark_loaded(
        self, views: Sequence[str], load: str | None = None, reached: Reached = NOTHING_REACHED
    ) -> None:
        """
        Say that all rows of these views are there, so that a missing key means no row.

        Args:
            views: The views.
            load: What `begin_load` has answered; None where there was nothing to offer.
            reached: How far the views have come with it, see `advance`.

        Raises:
            StoreUnavailable: The store has lost data since the load began; load again.
        """

    def unmark(self, views: Sequence[str]) -> None:
        """Take the marks of loaded views away, so that they are loaded again."""

    def advance(self, view: str, reached: Reached, load: str | None = None) -> None:
        """
        Say how far a view has come; it never goes back.

        Args:
            view: The view.
            reached: Everything up to it is done.
            load: What `begin_load` has answered before the rows were offered; it is over then.

        Raises:
            StoreUnavailable: The store has lost data since the load began; offer the rows again.
        """

    def reached(self, views: Sequence[str]) -> Sequence[Reached]:
        """How far views have come. Less than was said: the store has lost what came since."""

    def unloaded(self, views: Sequence[str]) -> Sequence[str]:
        """Those of *views* that are not marked as loaded."""

    def forget(self, views: Sequence[str]) -> int:
        """
        Delete all that there is of views which nobody reads or writes any more.

        A read that goes on nevertheless finds them not loaded before it misses any row. Looks at
        every key of the store, some at a time; answers how many join keys there were. Where that is
        not allowed it changes nothing.
        """


class Claim(NamedTuple):
    """What is known of an idempotency key.

    Args:
        state: "begun": by this claim; "running": by another; "other body": it stands for another
            request; "answered": with `answer`.
        answer: The first 200's body.
    """

    state: str
    answer: bytes | None = None


class Bucket(NamedTuple):
    """A rate that an account keeps.

    Args:
        name: Of what, for instance "records".
        rate: Tokens that come in each second.
        size: How many can gather.
        taken: How many this request takes.
    """

    name: str
    rate: int
    size: int
    taken: int


class RequestStore(Protocol):
    """What is remembered of requests, by all processes together, for a while."""

    def claim(self, name: str, digest: str, token: str) -> Claim:
        """
        Begin the request that *name* stands for, or tell what is known of it.

        Args:
            name: The idempotency key with whose it is.
            digest: Of the body.
            token: This attempt; one that has not ended within a minute is given up.
        """

    def settle(self, name: str, token: str, body: bytes | None) -> None:
        """End an attempt: *body* is repeated for 24 h; None: as if it had never begun."""

    def spend(self, account: str, buckets: Sequence[Bucket]) -> float:
        """Take tokens from all buckets and answer 0, or from none and answer how long to wait.

        A request for more than a bucket's size waits for a full one.
        """


class History(Protocol):
    """What is kept of views outside the online store, to fill that again."""

    def rows(
        self, state: WorkspaceState, view: AppliedView, since: int | None
    ) -> Iterator[Sequence[FeatureRow]]:
        """
        All rows of a view that a read could need, in chunks.

        Of an aggregating view these are its events, else those that could be the newest of a key.

        Args:
            state: The workspace.
            view: The view; batch rows are kept only of one with `offline=True`.
            since: The oldest event timestamp of use, µs since the epoch; None: all.
        """


class Erasures(Protocol):
    """Tombstones of join keys (`tombstones`), and the deletion of what they stand for."""

    def add(
        self,
        state: WorkspaceState,
        view: AppliedView,
        keys: Sequence[Sequence[Any]],
        sequence: int,
        online: bool,
        offline: bool,
    ) -> None:
        """Put up a tombstone for keys of a view; durable when this returns."""

    def last_sequence(self, state: WorkspaceState) -> int:
        """The greatest sequence of a tombstone in a workspace, 0 for none."""

    def of(self, state: WorkspaceState, view: AppliedView) -> Tombstones:
        """The tombstones of a view, as they are now."""

    def served(self, state: WorkspaceState, rows: Sequence[FeatureRow]) -> list[FeatureRow]:
        """Those rows of any views that may be served."""

    def delete_offline(
        self, state: WorkspaceState, view: AppliedView, keys: Sequence[Sequence[Any]], sequence: int
    ) -> int:
        """Delete the rows of keys up to an erasure from an offline table; answers how many."""

    def delete_pushed(
        self, state: WorkspaceState, views: Sequence[AppliedView], keys: set[str], sequence: int
    ) -> tuple[int, list[FeatureRow]]:
        """
        Delete the records of keys up to an erasure from all push tables.

        A record of which a row of another key comes too stays.

        Args:
            state: The workspace.
            views: Views of one source, whose rows tell whose record it is.
            keys: As `rows.encode_key` spells them.
            sequence: Of the erasure.

        Returns:
            How many were deleted, and the rows of these keys in later records.
        """


class BatchLedger(Protocol):
    """Outside the online store: up to which job's rows it was filled, view by view.

    Jobs of one view follow each other (`Claims`), so the numbers of a view rise.
    """

    def enter(self, state: WorkspaceState, view: AppliedView, number: int) -> None:
        """Write down that the rows of a job are in the online store; durable when this returns."""

    def of(self, state: WorkspaceState) -> Mapping[str, int]:
        """The greatest number of each view, by `online_id`."""


class Registry(Protocol):
    """Versions of what is applied, per workspace. Versions are kept for ever."""

    def workspaces(self) -> Sequence[str]:
        """Names of the workspaces that ever were, sorted."""

    def latest(self, workspace: str) -> WorkspaceState | None:
        """The newest version, also of a deleted workspace; None if there never was one."""

    def at(self, workspace: str, version: int) -> WorkspaceState | None:
        """One version."""

    def commit(self, state: WorkspaceState) -> None:
        """
        Store `state.version`, which must be the newest one's plus 1.

        Committing the very state that is the newest one again does nothing: an answer was lost.

        Raises:
            Conflict: That version exists: somebody applied in between. Nothing was changed.
        """


class AccessStore(Protocol):
    """Versions of who may do what."""

    def latest(self) -> AccessState:
        """The newest version; version 0 is empty."""

    def at(self, version: int) -> AccessState | None:
        """One version; None if there is none."""

    def commit(self, state: AccessState) -> None:
        """Store `state.version`; raises `Conflict` if it exists."""


class AuditEntry(NamedTuple):
    """Something that somebody did. It holds no secret and nothing of a record.

    Args:
        at: When, UTC; of what was summed up: the end.
        actor_kind: "command line" or "service account".
        actor: Name of the user of the operating system, or id of the service account.
        action: What, as `applied version 3`, `granted role` or `ingested`.
        workspace: Its name; None where no single one is concerned.
        workspace_id: Its id, so that two lives of a name stay apart.
        subject: Id of the service account, or name of the Stream Source, that it was done to.
        details: More, in one line.
        since: Of what was summed up: when it began.
        requests: How many were summed up.
        records: How many were ingested.
    """

    at: datetime
    actor_kind: str
    actor: str
    action: str
    workspace: str | None = None
    workspace_id: str | None = None
    subject: str | None = None
    details: str = ""
    since: datetime | None = None
    requests: int | None = None
    records: int | None = None


class AuditLog(Protocol):
    """Who did what, for ever. Entries come in streams, each numbered by who writes it."""

    def last(self, streams: Sequence[str]) -> Mapping[str, int]:
        """The greatest number that each stream has, 0 for none."""

    def record(self, entries: Sequence[AuditEntry], stream: str, number: int) -> None:
        """
        Add entries, all or none; durable when this returns.

        Does nothing if the stream has this number, or a greater one, already: whoever does not
        know what became of a call may repeat it, and of two that add the same one does.
        """

    def newest(self, limit: int, workspace: str | None = None) -> Sequence[AuditEntry]:
        """The newest entries, newest first; of one workspace only, if its name is given."""


class DeltaLogs(Protocol):
    """What the transaction logs of the store's Delta tables say. Paths are relative to the store.

    Can be pickled.
    """

    def version(self, path: str) -> int | None:
        """The newest version of the table at *path*, None if there is no table."""

    def transaction(self, path: str, version: int, application: str) -> int:
        """How far *application* had written the table at *version*, 0 if it never did."""

    def folders(self, path: str) -> Sequence[str]:
        """The names of the folders that stand directly in the folder *path*, sorted."""


class Kept(NamedTuple):
    """What a push table must keep.

    Args:
        since: Records of earlier days may go; None: none may.
        taken: But never those of batches above this one, which some offline table lacks.
    """

    since: date | None
    taken: int


class Tidied(NamedTuple):
    """What maintenance has done to a table, in files.

    Args:
        path: The table's, relative to the store.
        joined: Small files that are one or a few now.
        forgotten: Files whose records nobody needs any more.
        removed: Files without a use that left the disk.
    """

    path: str
    joined: int
    forgotten: int
    removed: int

    def __str__(self) -> str:
        done = []
        if self.joined:
            done.append(f"{self.joined:,} files joined")
        if self.forgotten:
            done.append(f"{self.forgotten:,} files of old records dropped")
        if self.removed:
            done.append(f"{self.removed:,} unused files removed")
        return f"{self.path}: {', '.join(done) or 'nothing to do'}"


class TableCare(Protocol):
    """Keeps Delta tables small and fast beside whatever writes and reads them."""

    def push_table(self, path: str, now: datetime, kept: Kept) -> Tidied:
        """Join the small files of days that are over, drop what need not be kept."""

    def appended_table(self, path: str, now: datetime) -> Tidied | None:
        """Join the small files of a table that is kept for ever; None if there is no table."""

    def scattered(self, path: str, most: int) -> Sequence[tuple[str, str]]:
        """The partitions (origin, date) of an offline table with more than *most* small files."""

    def remove(self, path: str) -> int:
        """Delete a folder that nobody uses any more, and all in it; how many files there were."""

    def unused(self, path: str) -> int:
        """How many files of a table no read and no stream can need any more."""


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

    def of(self, workspace: str) -> Sequence[Run]:
        """The attempts of one workspace (its folder) that ended well, in order of their ends."""

    def attempts(self, workspace: str) -> Sequence[Run]:
        """All attempts of one workspace, each as far as it has come, in order of their starts."""

    def merged(self, workspace: str) -> Sequence[Run]:
        """
        What of `attempts` decides what is due; costs little after years.

        Periods that ended well and touch each other may be one, failures of jobs that ended well
        in the end may be left out, and of runs that go on where the last one stopped all but the
        last.
        """


class Lease(NamedTuple):
    """Until when an owner of claims is known to live.

    Args:
        owner: A random id.
        until: By the owner's clock; clocks have to agree within a few seconds.
        who: User, host and process, for people.
    """

    owner: str
    until: datetime
    who: str


class Claims(Protocol):
    """Who does what now, so that two never do the same, and who shall stop.

    All is by workspace, by its folder.
    """

    def keep(self, workspace: str, lease: Lease) -> None:
        """Say that an owner lives, again and again."""

    def lease(self, workspace: str, owner: str) -> Lease | None:
        """What an owner has said last, None if it never did."""

    def take(self, workspace: str, name: str, owner: str, now: datetime) -> str | None:
        """
        Claim *name*, unless somebody else who lives holds it.

        Args:
            workspace: The workspace's folder.
            name: Of what is claimed.
            owner: Who claims; has said before that it lives.
            now: UTC.

        Returns:
            None if it is the owner's now, or was before; else the owner who holds it.
        """

    def release(self, workspace: str, name: str, owner: str) -> None:
        """Give a claim up; does nothing if it is another's."""

    def cancel(self, workspace: str, run_id: str) -> None:
        """Ask for the end of a job."""

    def is_cancelled(self, workspace: str, run_id: str) -> bool:
        """Has anybody asked for the end of a job?"""

    def forget(self, workspace: str, before: datetime) -> int:
        """Drop what was last written before a time long past; answers how many documents."""


class Job(NamedTuple):
    """One run of a script under `jobs/`."""

    script: str
    arguments: Sequence[str]


class JobLauncher(Protocol):
    """Where jobs run: this machine, Databricks, EMR."""

    def run(self, job: Job, environ: Mapping[str, str]) -> Iterator[str]:
        """
        Run *job* to its end.

        Args:
            job: The script and its arguments.
            environ: Settings (`TECTON_…`) that the job must see.

        Yields:
            Each line that the job reports, as it comes.

        Raises:
            JobFailed: It ended without success; the message is its last line.
        """

    def start(self, job: Job, environ: Mapping[str, str]) -> str:
        """
        Start *job* and return at once; it goes on when this process ends.

        Returns:
            Where its log is, in words.

        Raises:
            JobFailed: It cannot be started.
        """
