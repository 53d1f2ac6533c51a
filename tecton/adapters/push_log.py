"""
The push table of one writer: a Delta table to which one process appends without reading it.

A batch is one parquet file and one log entry that is put if absent, both made durable. The
writer alone knows the next version, so the cost of a commit does not grow with the table; if
somebody else's commit (compaction, erasure) has taken that version, it takes the next one.
delta-rs creates the table, reads it and writes checkpoints. See docs/decisions on the push log.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.delta_tables import log_path, open_table
from tecton.adapters.documents import Documents
from tecton.adapters.push_tables import read_batches, sequence_app
from tecton.applied import WorkspaceState, push_log_name, push_path
from tecton.errors import StoreUnavailable, WriterFenced
from tecton.failpoints import Point, reach
from tecton.stores import LogEntry, StagedBatch

CHECKPOINT_EVERY = 100
"""Versions between checkpoints: a cold read of 300 small commits takes Spark over 10 s."""

REOPEN_AFTER = timedelta(hours=1)
"""A writer that was silent for so long cannot be sure which version is next: other entries may have
been added, and cleaned up again, and what is put before a checkpoint is read by nobody."""

MAX_FOREIGN_COMMITS = 1000
_FENCED = "another process has taken over this writer's push table; this one stops writing to it"
PUSH_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("batch_no", pa.int64(), nullable=False),
        pa.field("registry_version", pa.int64(), nullable=False),
        pa.field("record", pa.string(), nullable=False),
        pa.field("accepted_date", pa.date32(), nullable=False),
    ]
)
_FILE_SCHEMA = PUSH_SCHEMA.remove(PUSH_SCHEMA.get_field_index("accepted_date"))
_CONFIGURATION = {
    # A stream fails when the log entry at its offset is gone, so nothing is cleaned up unasked.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 30 days",
}


class DeltaPushLog:
    """`stores.PushLog` on a Delta table of the store; made by `open`."""

    def __init__(
        self, url: str, name: str, writer: int, documents: Documents, checkpointer: Checkpointer
    ) -> None:
        self._url = url
        self._name = name
        self._writer = writer
        self._documents = documents
        self._checkpointer = checkpointer
        self._version = -1
        self._last_batch = 0
        self._epoch = 0
        # A commit whose outcome is not known yet.
        self._pending: StagedBatch | None = None
        self._verified_at: datetime | None = None
        self._is_fenced = False

    @classmethod
    def open(
        cls,
        store: str,
        state: WorkspaceState,
        writer: int,
        checkpointer: Checkpointer,
        connect: Callable[[str], Documents] = Documents,
    ) -> DeltaPushLog:
        """
        Take over the push table of *writer* in a workspace; create it if there is none.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        url = f"{store}/{push_path(state, writer)}"
        log = cls(url, push_log_name(state, writer), writer, connect(url), checkpointer)
        log._load()
        log._take_over()
        # Arrow loads a good deal with its first table; the first request shall not wait for that.
        _parquet([LogEntry("", 0, 0, 0, b"")])
        return log

    @property
    def name(self) -> str:
        """Identifies this log among all."""
        return self._name

    @property
    def last_batch(self) -> int:
        """The number of the newest batch, 0 for none."""
        return self._last_batch

    @property
    def is_far(self) -> bool:
        """Does a commit wait for a network?"""
        return self._documents.is_far

    def settle(self, now: datetime) -> int:
        """Find out what became of an append that ended without an outcome."""
        if self._is_fenced:
            raise WriterFenced(_FENCED)
        if self._verified_at is None:
            self._verified_at = now
        elif now - self._verified_at > REOPEN_AFTER:
            self._look_again(now)
        if self._pending is not None:
            if self._last_batch < self._pending.batch_no:
                # Putting the same entry again makes the outcome known: it is there now, once.
                self._commit(self._pending.entry)
            self._last_batch = self._pending.batch_no
            self._pending = None
        return self._last_batch

    def _look_again(self, now: datetime) -> None:
        """Read where the table stands; entries after the version that is known may be gone."""
        mine = self._epoch
        self._load()
        if self._epoch != mine:
            self._stop()
        self._verified_at = now

    def append(
        self,
        entries: Sequence[LogEntry],
        accepted_at: datetime,
        staged: StagedBatch | None = None,
    ) -> None:
        """Make one batch durable."""
        batch_no = self.settle(accepted_at) + 1
        if {entry.batch_no for entry in entries} != {batch_no}:
            raise ValueError(f"the entries must be those of batch {batch_no}")
        self._pending = staged or self.stage(entries, accepted_at)
        self._commit(self._pending.entry)
        self._pending = None
        self._last_batch = batch_no
        self._verified_at = accepted_at
        if self._version % CHECKPOINT_EVERY == 0:
            self._checkpointer.ask(self._url)

    def stage(self, entries: Sequence[LogEntry], accepted_at: datetime) -> StagedBatch:
        """Put a batch's file, which nobody reads before its log entry is there."""
        batch_no = entries[0].batch_no
        partition = accepted_at.date().isoformat()
        name = f"{batch_no:012d}-{uuid.uuid4().hex}.parquet"
        file = f"accepted_date={partition}/{name}"
        data = _parquet(entries)
        self._documents.put_if_absent(file, data)
        reach(Point.PARQUET_WRITTEN)
        entry = self._entry(entries, accepted_at, partition, file, len(data), batch_no)
        return StagedBatch(batch_no, entry)

    def read_after(self, batch_no: int) -> Iterator[Sequence[LogEntry]]:
        """The batches above *batch_no*, in order, each whole."""
        try:
            yield from read_batches(open_table(self._url), batch_no)
        except (DeltaError, OSError, pa.ArrowException) as exc:
            raise StoreUnavailable(f"the push table {self._url} cannot be read: {exc}") from exc

    def close(self) -> None:
        """Nothing is held open."""

    def _load(self) -> None:
        """Where the table stands: version, newest batch and epoch."""
        try:
            table = DeltaTable.create(
                self._url,
                schema=PUSH_SCHEMA,
                mode="ignore",
                partition_by=["accepted_date"],
                configuration=_CONFIGURATION,
            )
            table = open_table(self._url)
            self._version = table.version()
            self._last_batch = table.transaction_version(self._batch_app) or 0
            self._epoch = table.transaction_version(self._epoch_app) or 0
        except (DeltaError, OSError) as exc:
            raise StoreUnavailable(f"the push table {self._url} does not open: {exc}") from exc

    @property
    def _batch_app(self) -> str:
        return f"push-{self._writer}"

    @property
    def _epoch_app(self) -> str:
        return f"epoch-{self._writer}"

    def _take_over(self) -> None:
        """Commit the next epoch: whoever appends with an older one meets it and stops."""
        self._epoch += 1
        info = {"commitInfo": {"operation": "EPOCH", "token": uuid.uuid4().hex}}
        self._commit(_lines([info, _txn(self._epoch_app, self._epoch)]))

    def _commit(self, entry: bytes) -> None:
        """Put *entry* at the next free version."""
        for _ in range(MAX_FOREIGN_COMMITS):
            path = log_path(self._version + 1)
            reach(Point.BEFORE_LOG_ENTRY)
            if self._documents.put_if_absent(path, entry):
                reach(Point.AFTER_LOG_ENTRY)
                self._version += 1
                return
            found = self._documents.get(path)
            if found is None:
                # Two puts at once may both be refused; to pass by would leave a hole in the log.
                raise StoreUnavailable(f"{path} of {self._url} is neither put nor there")
            self._version += 1
            if found == entry:
                # An earlier try of this very put had come through after all.
                return
            self._check_fence(found)
        raise StoreUnavailable(f"the push table {self._url} changes too fast to append to")

    def _check_fence(self, entry: bytes) -> None:
        for line in entry.splitlines():
            txn = msgspec.json.decode(line).get("txn")
            if txn is None:
                continue
            newer_epoch = txn["appId"] == self._epoch_app and txn["version"] >= self._epoch
            if newer_epoch or txn["appId"] == self._batch_app:
                self._stop()

    def _stop(self) -> NoReturn:
        """For good: appending again would be a second writer."""
        self._is_fenced = True
        raise WriterFenced(_FENCED)

    def _entry(
        self,
        entries: Sequence[LogEntry],
        accepted_at: datetime,
        partition: str,
        file: str,
        size: int,
        batch_no: int,
    ) -> bytes:
        millis = int(accepted_at.timestamp() * 1000)
        bounds = {
            name: [getattr(entry, name) for entry in entries]
            for name in ("sequence", "batch_no", "registry_version")
        }
        stats = {
            "numRecords": len(entries),
            "minValues": {name: min(values) for name, values in bounds.items()},
            "maxValues": {name: max(values) for name, values in bounds.items()},
            "nullCount": dict.fromkeys(_FILE_SCHEMA.names, 0),
        }
        add = {
            "path": file,
            "partitionValues": {"accepted_date": partition},
            "size": size,
            "modificationTime": millis,
            "dataChange": True,
            "stats": msgspec.json.encode(stats).decode(),
        }
        info = {
            "timestamp": millis,
            "operation": "WRITE",
            "operationParameters": {"mode": "Append"},
            "isBlindAppend": True,
        }
        txns = [
            _txn(self._batch_app, batch_no, millis),
            _txn(sequence_app(self._writer), max(bounds["sequence"]), millis),
        ]
        return _lines([{"commitInfo": info}, *txns, {"add": add}])


def _parquet(entries: Sequence[LogEntry]) -> bytes:
    columns: list[Any] = [list(column) for column in zip(*entries, strict=True)]
    columns[-1] = [record.decode() for record in columns[-1]]
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, _FILE_SCHEMA, strict=True)]
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=_FILE_SCHEMA),
        buffer,
        compression="zstd",
        compression_level=1,
        use_dictionary=["source"],
        write_statistics=False,
    )
    return buffer.getvalue()


def _txn(app: str, version: int, millis: int | None = None) -> dict[str, Any]:
    txn: dict[str, Any] = {"appId": app, "version": version}
    if millis is not None:
        txn["lastUpdated"] = millis
    return {"txn": txn}


def _lines(actions: Sequence[dict[str, Any]]) -> bytes:
    return b"\n".join(msgspec.json.encode(action) for action in actions)
