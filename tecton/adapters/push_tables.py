"""
Push tables, read: their records a bounded number at a time, however large the table is.

A file of a single commit holds one batch, a compacted one many, and not in their order. What the
log says of each file's batches tells which files have to be read together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from tecton.adapters.delta_tables import log_path, open_table
from tecton.adapters.documents import Documents
from tecton.adapters.table_rows import BATCH_ROWS, TableRows
from tecton.applied import WorkspaceState, push_path
from tecton.errors import StoreUnavailable
from tecton.stores import LogEntry

WINDOW_ROWS = 200_000
"""Records that are sorted at once: as Arrow has them, some 100 bytes each."""

CHUNK_ROWS = BATCH_ROWS
"""Records that are in memory at once as Python objects."""

MAX_AT_ONCE = 16
"""Tables that are opened at the same time."""

_COLUMNS = list(LogEntry._fields)
_UNKNOWN_LAST = 2**63 - 1
_ENTRY = re.compile(r"\d{20}\.json", re.ASCII)


class _Span(NamedTuple):
    """The batches of one file or of several: all are above *after* and up to *last*."""

    after: int
    last: int
    rows: int


class DeltaPushTables:
    """`stores.PushTables` by delta-rs.

    Args:
        store: A path or URI without a trailing slash.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._documents = Documents(store)
        self._known: dict[str, tuple[int, int]] = {}

    def writers(self, state: WorkspaceState) -> Sequence[str]:
        """The slots that were ever written."""
        return self._documents.folders(push_path(state))

    def last_batch(self, state: WorkspaceState, writer: str, least: int = 0) -> int:
        """The newest batch of a writer."""
        path = f"{push_path(state)}/{writer}"
        known = self._known.get(path)
        # One look at one place: while nothing is there, nothing has changed, unless what came
        # there has been cleaned up since.
        if (
            known is None
            or known[1] < least
            or self._documents.get(f"{path}/{log_path(known[0] + 1)}") is not None
        ):
            with self._failures(path):
                table = open_table(f"{self._store}/{path}")
                last = int(table.transaction_version(f"push-{writer}") or 0)
                known = self._known[path] = (table.version(), last)
        return known[1]

    def last_sequence(self, state: WorkspaceState) -> int:
        """The greatest sequence of all writers."""
        paths = [(f"{push_path(state)}/{writer}", writer) for writer in self.writers(state)]
        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            # Of a store far away each takes four round trips.
            return max(pool.map(lambda one: self._last_sequence(*one), paths), default=0)

    def _last_sequence(self, path: str, writer: str) -> int:
        told = self._told_last(path, writer)
        if told is not None:
            return told
        with self._failures(path):
            table = open_table(f"{self._store}/{path}")
            told = int(table.transaction_version(sequence_app(writer)) or 0)
            # Of commits by releases that did not tell their statistics do.
            return max(told, _greatest(table, "sequence"))

    def _told_last(self, path: str, writer: str) -> int | None:
        """What the newest batch's log entry tells; None: it is not among the last, or does not."""
        log = f"{path}/_delta_log/"
        pointer = self._documents.get(f"{log}_last_checkpoint")
        version = msgspec.json.decode(pointer)["version"] if pointer else -1
        found = self._documents.list(log, f"{path}/{log_path(version)}" if pointer else None)
        for entry in reversed([name for name in found if _ENTRY.fullmatch(name[len(log) :])][-9:]):
            lines = (self._documents.get(entry) or b"").splitlines()
            txns = [txn for line in lines if (txn := msgspec.json.decode(line).get("txn"))]
            told = {txn["appId"]: txn["version"] for txn in txns}
            if not lines or f"push-{writer}" in told:
                return told.get(sequence_app(writer))
        return None

    def read_after(
        self, state: WorkspaceState, writer: str, batch_no: int
    ) -> Iterator[Sequence[LogEntry]]:
        """The batches of a writer above *batch_no*."""
        path = f"{push_path(state)}/{writer}"
        with self._failures(path):
            yield from read_batches(open_table(f"{self._store}/{path}"), batch_no)

    @contextmanager
    def _failures(self, path: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"the push table {path} cannot be read: {reason}") from exc


def sequence_app(writer: int | str) -> str:
    """The application whose transaction version is the greatest sequence of a push table."""
    return f"sequence-{writer}"


def _greatest(table: DeltaTable, column: str) -> int:
    files = pa.table(table.get_add_actions(flatten=True))
    name = f"max.{column}"
    known = files.column(name).to_pylist() if name in files.column_names else [None]
    if None in known and files.num_rows:
        known = [
            pc.max(batch.column(column)).as_py() for batch in TableRows(table).batches([column])
        ]
    return max(filter(None, known), default=0)


def read_batches(
    table: DeltaTable, batch_no: int, window_rows: int = WINDOW_ROWS
) -> Iterator[Sequence[LogEntry]]:
    """
    The batches of a push table above *batch_no*, in order, each whole.

    Args:
        table: One version of the table.
        batch_no: Where to begin.
        window_rows: How many records are sorted at once.
    """
    kept = TableRows(table)
    for window in _windows(kept, _spans(table, batch_no), window_rows):
        rows = kept.read(_COLUMNS, _within(window))
        rows = rows.sort_by([("batch_no", "ascending"), ("sequence", "ascending")])
        entries = (entry for chunk in _slices(rows) for entry in chunk)
        for _, batch in groupby(entries, key=attrgetter("batch_no")):
            yield list(batch)


def read_records(table: DeltaTable, batch_no: int) -> Iterator[Sequence[LogEntry]]:
    """
    The records of a push table in the batches above *batch_no*, in any order.

    Args:
        table: One version of the table.
        batch_no: Where to begin.
    """
    chosen = pc.field("batch_no") > batch_no
    waiting: list[pa.RecordBatch] = []
    for batch in TableRows(table).batches(_COLUMNS, chosen):
        waiting.append(batch)
        if sum(part.num_rows for part in waiting) >= CHUNK_ROWS:
            yield from _slices(pa.Table.from_batches(waiting))
            waiting.clear()
    if waiting:
        yield from _slices(pa.Table.from_batches(waiting))


def _spans(table: DeltaTable, batch_no: int) -> list[_Span]:
    """The files with batches above *batch_no*, those that overlap taken together, in order."""
    files = pa.table(table.get_add_actions(flatten=True))
    names = ("min.batch_no", "max.batch_no", "num_records")
    columns = [
        files.column(name).to_pylist() if name in files.column_names else [None] * files.num_rows
        for name in names
    ]
    spans = sorted(
        # Of a file without statistics anything is possible.
        _Span((first or 0) - 1, _UNKNOWN_LAST if last is None else last, rows or WINDOW_ROWS)
        for first, last, rows in zip(*columns, strict=True)
    )
    united: list[_Span] = []
    for span in spans:
        if span.last <= batch_no:
            continue
        start = max(span.after, batch_no)
        if united and start < united[-1].last:
            before = united.pop()
            span = _Span(before.after, max(before.last, span.last), before.rows + span.rows)
        else:
            span = span._replace(after=start)
        united.append(span)
    return united


def _windows(kept: TableRows, spans: Sequence[_Span], most: int) -> Iterator[_Span]:
    """The same batches in portions of about *most* records."""
    held: _Span | None = None
    for span in spans:
        for part in _split(kept, span, most):
            if held is not None and held.rows + part.rows <= most:
                held = _Span(held.after, part.last, held.rows + part.rows)
            else:
                if held is not None:
                    yield held
                held = part
    if held is not None:
        yield held


def _split(kept: TableRows, span: _Span, most: int) -> Iterator[_Span]:
    if span.rows <= most:
        yield span
        return
    numbers = kept.read(["batch_no"], _within(span)).column("batch_no")
    counts = numbers.value_counts()
    by_batch = sorted(
        zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    )
    after, rows = span.after, 0
    last = after
    for last, count in by_batch:
        rows += count
        if rows >= most:
            yield _Span(after, last, rows)
            after, rows = last, 0
    if rows:
        yield _Span(after, last, rows)


def _within(span: _Span) -> pc.Expression:
    return (pc.field("batch_no") > span.after) & (pc.field("batch_no") <= span.last)


def _slices(rows: pa.Table) -> Iterator[Sequence[LogEntry]]:
    # As bytes: canonical JSON is UTF-8 already.
    at = rows.schema.get_field_index("record")
    rows = rows.set_column(at, "record", rows.column("record").cast(pa.binary()))
    for start in range(0, rows.num_rows, CHUNK_ROWS):
        part = rows.slice(start, CHUNK_ROWS)
        columns = [part.column(name).to_pylist() for name in _COLUMNS]
        yield list(map(LogEntry._make, zip(*columns, strict=True)))
