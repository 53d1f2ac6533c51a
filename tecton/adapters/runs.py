"""
`stores.RunLog` on one Delta table of the store, `runs/`, which delta-rs appends to.

A run is one row of one commit, so it is recorded as a whole or not at all; appends of several
jobs at once only wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from tecton.errors import StoreUnavailable
from tecton.stores import Run
from tecton.timestamps import from_micros

_TIMES = ("start", "end", "started", "ended")
_TIME = pa.timestamp("us", tz="UTC")
_SCHEMA = pa.schema(
    [pa.field(name, _TIME if name in _TIMES else pa.string()) for name in Run._fields]
)


class DeltaRunLog:
    """The runs of all workspaces of one store.

    Args:
        store: A path or URI without a trailing slash.
    """

    def __init__(self, store: str) -> None:
        self._url = f"{store}/runs"

    def record(self, run: Run) -> None:
        """Add a run."""
        with self._failures("written"):
            try:
                # Two jobs may both find no table; the second one to create it then appends.
                DeltaTable.create(self._url, schema=_SCHEMA, mode="ignore")
            except DeltaError:
                DeltaTable(self._url)
            rows = pa.Table.from_pylist([run._asdict()], schema=_SCHEMA)
            write_deltalake(self._url, rows, mode="append")

    def of(self, workspace: str) -> Sequence[Run]:
        """The runs of one workspace, in the order in which they ended."""
        with self._failures("read"):
            try:
                dataset = DeltaTable(self._url).to_pyarrow_dataset()
            except TableNotFoundError:
                return ()
            rows = dataset.to_table(filter=pc.field("workspace") == workspace)
        for name in _TIMES:
            # As integers: Arrow's own conversion asks the machine's zone files for "UTC".
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, name, rows.column(name).cast(pa.int64()))
        return sorted(map(_run, rows.to_pylist()), key=lambda run: run.ended)

    @contextmanager
    def _failures(self, done: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"the runs in the store cannot be {done}: {reason}") from exc


def _run(row: dict[str, Any]) -> Run:
    return Run(**{**row, **{name: from_micros(row[name]) for name in _TIMES}})
