"""
`stores.RunLog` on one Delta table of the store, `runs/`, which delta-rs appends to.

What a call records is one commit, so it is there as a whole or not at all; appends of several
jobs at once only wait for each other. Rows of an older version of this software lack columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from tecton.adapters.merged_runs import merged_rows
from tecton.adapters.table_rows import TableRows
from tecton.attempts import fold
from tecton.errors import StoreUnavailable
from tecton.stores import SUCCESS, Run
from tecton.timestamps import from_micros

_TRIES = 5

_TIMES = ("start", "end", "started", "ended")
_TIME = pa.timestamp("us", tz="UTC")
_ARROW = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), int | None: pa.int64()}
_HINTS = get_type_hints(Run)
_SCHEMA = pa.schema(
    [pa.field(name, _TIME if name in _TIMES else _ARROW[_HINTS[name]]) for name in Run._fields]
)


class DeltaRunLog:
    """The runs of all workspaces of one store.

    Args:
        store: A path or URI without a trailing slash.
    """

    def __init__(self, store: str) -> None:
        self._url = f"{store}/runs"

    def record(self, *runs: Run) -> None:
        """Add rows in one commit."""
        if not runs:
            return
        rows = pa.Table.from_pylist([run._asdict() for run in runs], schema=_SCHEMA)
        with self._failures("written"):
            try:
                # Two jobs may both find no table; the second one to create it then appends.
                DeltaTable.create(self._url, schema=_SCHEMA, mode="ignore")
            except DeltaError:
                DeltaTable(self._url)
            self._append(rows)

    def _append(self, rows: pa.Table) -> None:
        for _ in range(_TRIES - 1):
            try:
                write_deltalake(self._url, rows, mode="append", schema_mode="merge")
            except CommitFailedError:
                # Somebody else has just added the columns that an older table lacked.
                continue
            return
        write_deltalake(self._url, rows, mode="append", schema_mode="merge")

    def of(self, workspace: str, view: str | None = None) -> Sequence[Run]:
        """The attempts that ended well, in the order in which they ended; see `stores.RunLog`."""
        rows = self._rows(workspace, view)
        if "state" in rows.column_names:
            rows = rows.filter(pc.equal(pc.fill_null(rows.column("state"), SUCCESS), SUCCESS))
        return sorted(fold(map(_run, rows.to_pylist())), key=lambda run: run.ended)

    def attempts(self, workspace: str, view: str | None = None) -> Sequence[Run]:
        """All attempts of one workspace, or at one view, each as far as it has come."""
        return fold(map(_run, self._rows(workspace, view).to_pylist()))

    def merged(self, workspace: str) -> Sequence[Run]:
        """What decides what is due; see `stores.RunLog`."""
        return fold(map(_run, merged_rows(self._rows(workspace)).to_pylist()))

    def _rows(self, workspace: str, view: str | None = None) -> pa.Table:
        chosen = pc.field("workspace") == workspace
        if view is not None:
            chosen &= pc.field("view") == view
        with self._failures("read"):
            try:
                table = DeltaTable(self._url)
            except TableNotFoundError:
                return _SCHEMA.empty_table()
            rows = TableRows(table).read(chosen=chosen)
        columns = {name: rows.column(name) for name in rows.column_names}
        for name in _TIMES:
            # As integers: Arrow's own conversion asks the machine's zone files for "UTC".
            columns[name] = columns[name].cast(pa.int64())
        return pa.table(columns)

    @contextmanager
    def _failures(self, done: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"the runs in the store cannot be {done}: {reason}") from exc


def _run(row: Mapping[str, Any]) -> Run:
    """A run of its row; what an older row lacks is as if nobody had said it."""
    known = {name: row[name] for name in Run._fields if row.get(name) is not None}
    return Run(**{**known, **{name: from_micros(row[name]) for name in _TIMES}})
