"""
`stores.AuditLog` on one Delta table of the store, `audit/`, which delta-rs appends to.

A stream's number is a transaction of the table, so an entry is there once whatever is repeated.
Partitions are dates: whoever compacts the table (`jobs/maintain.py`) leaves today's alone, and
whoever reads the newest entries reads the newest dates only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from tecton.adapters.table_rows import TableRows
from tecton.errors import StoreUnavailable
from tecton.stores import AuditEntry
from tecton.timestamps import from_micros

ATTEMPTS = 5

_TIME = pa.timestamp("us", tz="UTC")
_TYPES = {"at": _TIME, "since": _TIME, "requests": pa.int64(), "records": pa.int64()}
_DATE = "date"
_SCHEMA = pa.schema(
    [
        *(pa.field(name, _TYPES.get(name, pa.string())) for name in AuditEntry._fields),
        pa.field(_DATE, pa.date32()),
    ]
)


class DeltaAuditLog:
    """The audit of one store.

    Args:
        store: A path or URI without a trailing slash.
    """

    def __init__(self, store: str) -> None:
        self._url = f"{store}/audit"

    def last(self, streams: Sequence[str]) -> Mapping[str, int]:
        """The greatest number that each stream has."""
        with self._failures("read"):
            table = self._table()
            return {stream: _last(table, stream) for stream in streams}

    def record(self, entries: Sequence[AuditEntry], stream: str, number: int) -> None:
        """Add entries, once."""
        rows = [{**entry._asdict(), _DATE: entry.at.date()} for entry in entries]
        data = pa.Table.from_pylist(rows, schema=_SCHEMA)
        mark = CommitProperties(app_transactions=[Transaction(stream, number)])
        with self._failures("written"):
            for attempt in range(1, ATTEMPTS + 1):
                table = self._opened()
                if _last(table, stream) >= number:
                    return
                try:
                    # By this very handle: delta-rs refuses it if the stream has gone on since.
                    write_deltalake(table, data, mode="append", commit_properties=mark)
                except DeltaError:
                    # An error is no outcome; the table itself says what became of it.
                    if attempt == ATTEMPTS:
                        raise
                else:
                    return

    def newest(self, limit: int, workspace: str | None = None) -> Sequence[AuditEntry]:
        """The newest entries, newest first."""
        found: list[AuditEntry] = []
        with self._failures("read"):
            table = self._table()
            if table is None:
                return found
            dates = sorted({part[_DATE] for part in table.partitions()}, reverse=True)
            kept = TableRows(table)
            for date in dates:
                chosen = pc.field(_DATE) == pa.scalar(date).cast(pa.date32())
                if workspace is not None:
                    chosen &= pc.field("workspace") == workspace
                rows = kept.read(list(AuditEntry._fields), chosen)
                entries = map(_entry, _without_zones(rows).to_pylist())
                found += sorted(entries, key=lambda entry: entry.at, reverse=True)
                if len(found) >= limit:
                    break
        return found[:limit]

    def _table(self) -> DeltaTable | None:
        try:
            return DeltaTable(self._url)
        except TableNotFoundError:
            return None

    def _opened(self) -> DeltaTable:
        table = self._table()
        if table is not None:
            return table
        # Two may both find no table; the second one to create it then appends.
        with suppress(DeltaError):
            DeltaTable.create(self._url, schema=_SCHEMA, mode="ignore", partition_by=[_DATE])
        return DeltaTable(self._url)

    @contextmanager
    def _failures(self, done: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"the audit in the store cannot be {done}: {reason}") from exc


def _last(table: DeltaTable | None, stream: str) -> int:
    return 0 if table is None else int(table.transaction_version(stream) or 0)


def _without_zones(rows: pa.Table) -> pa.Table:
    """Times as integers: Arrow's own conversion asks the machine's zone files for "UTC"."""
    for name in ("at", "since"):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, rows.column(name).cast(pa.int64()))
    return rows


def _entry(row: dict[str, Any]) -> AuditEntry:
    since = row["since"]
    times = {"at": from_micros(row["at"]), "since": None if since is None else from_micros(since)}
    return AuditEntry(**{**row, **times})
