"""
`stores.History` by delta-rs: a view's rows from its offline table and the push tables, no JVM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from tecton.adapters.delta_tables import open_table
from tecton.adapters.documents import Documents
from tecton.adapters.erasures import DeltaErasures
from tecton.adapters.push_tables import CHUNK_ROWS, read_records
from tecton.adapters.table_rows import TableRows
from tecton.applied import AppliedView, WorkspaceState, offline_path, push_path
from tecton.arrow_rows import SEQUENCE, TIE, feature_rows
from tecton.errors import StoreUnavailable
from tecton.functions.transformation import FunctionRunner, NoFunctions
from tecton.logged import rows_of
from tecton.rows import FeatureRow
from tecton.timestamps import from_micros

MICROS = "#micros"
_POSITION = "#position"


class DeltaHistory:
    """The kept rows of one store.

    Args:
        store: A path or URI without a trailing slash.
        functions: Runs the functions of views on pushed records.
    """

    def __init__(
        self,
        store: str,
        functions: FunctionRunner = NoFunctions(),  # noqa: B008  # immutable
    ) -> None:
        self._store = store
        self._functions = functions
        self._documents = Documents(store)
        self._erasures = DeltaErasures(store, functions)

    def rows(
        self, state: WorkspaceState, view: AppliedView, since: int | None
    ) -> Iterator[Sequence[FeatureRow]]:
        """All rows of a view that a read could need, in chunks."""
        with self._failures(view):
            # What is taken between the two steps is then read twice, never missed.
            table = self._table(offline_path(state, view)) if view.offline else None
            # Of an erased key a row that is not the newest may be the only one that counts.
            is_whole = bool(view.aggregations or self._erasures.of(state, view).online)
            if table is not None:
                for rows in _offline_rows(table, view, since, is_whole):
                    yield self._erasures.of(state, view).kept(rows)
            for writer in self._documents.folders(push_path(state)):
                pushed = self._table(f"{push_path(state)}/{writer}")
                taken = table.transaction_version(f"push/{writer}") if table else None
                if pushed is not None:
                    yield from self._pushed_rows(pushed, state, view, taken or 0)

    def _pushed_rows(
        self, table: DeltaTable, state: WorkspaceState, view: AppliedView, taken: int
    ) -> Iterator[Sequence[FeatureRow]]:
        alone = msgspec.structs.replace(state, views=(view,), replaced=())
        for entries in read_records(table, taken):
            rows = rows_of(alone, entries, self._functions)
            if rows:
                yield self._erasures.of(state, view).kept(rows)

    def _table(self, path: str) -> DeltaTable | None:
        try:
            return open_table(f"{self._store}/{path}")
        except TableNotFoundError:
            return None

    @contextmanager
    def _failures(self, view: AppliedView) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"the rows of {view.name} cannot be read: {reason}") from exc


def _offline_rows(
    table: DeltaTable, view: AppliedView, since: int | None, is_whole: bool
) -> Iterator[Sequence[FeatureRow]]:
    keys = [field.name for field in view.key_fields]
    columns = [field.name for field in view.row_fields]
    columns += [view.timestamp_field, SEQUENCE, TIE]
    chosen = None
    if since is not None:
        first = from_micros(since)
        young = pc.field(view.timestamp_field) >= pa.scalar(first, pa.timestamp("us", "UTC"))
        chosen = (pc.field("_date") >= pa.scalar(first.date(), pa.date32())) & young
    for batch in TableRows(table).batches(columns, chosen):
        rows = _with_micros(pa.Table.from_batches([batch]), view)
        if not is_whole:
            rows = _newest(rows, keys)
        for chunk in rows.to_batches(max_chunksize=CHUNK_ROWS):
            yield list(feature_rows(view, chunk, MICROS))


def _with_micros(rows: pa.Table, view: AppliedView) -> pa.Table:
    micros = rows.column(view.timestamp_field).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return rows.append_column(MICROS, micros)


def _newest(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The most recent row of each key of a chunk; recency between chunks is the store's matter."""
    rows = rows.sort_by([(MICROS, "ascending"), (SEQUENCE, "ascending"), (TIE, "ascending")])
    rows = rows.append_column(_POSITION, pa.array(range(rows.num_rows), pa.int64()))
    last = rows.group_by(list(keys)).aggregate([(_POSITION, "max")])
    return rows.take(last.column(f"{_POSITION}_max"))
