"""
Small files of a Delta table → one, in a commit of our own.

delta-rs's own compaction does not notice another one, or a deletion, that was committed meanwhile:
two at once doubled every row of a table, and a deleted row can come back. Here the commit is put
only if absent, and one that has removed any of the same files in between makes this one give up.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from tecton.adapters.delta_tables import log_path
from tecton.adapters.documents import Documents
from tecton.adapters.table_rows import TableRows
from tecton.errors import StoreUnavailable
from tecton.failpoints import Point, reach

ROW_GROUP = 50_000
"""Readers of one source pass others' groups by, and nobody has to hold much at once."""

MAX_LOST = 1000
"""So often somebody else may be the first to put the next entry."""


class TableFile(NamedTuple):
    """A file of a table.

    Args:
        path: Relative to the table.
        partition: The values of partition columns, as the log spells them.
        size: In bytes.
        rows: How many.
        last_batch: Of a push table: the newest batch in it.
        written: When it became a part of the table, in milliseconds since 1970.
    """

    path: str
    partition: tuple[tuple[str, str], ...]
    size: int
    rows: int
    last_batch: int
    written: int


class Layout(NamedTuple):
    """How joined files lie.

    Args:
        order: Columns to sort by.
        bounded: Columns whose least and greatest values the log keeps.
    """

    order: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()


def files_of(table: DeltaTable) -> list[TableFile]:
    """The files of a version of a table."""
    columns = pa.table(table.get_add_actions(flatten=True))
    at = columns.schema.get_field_index("modification_time")
    columns = columns.set_column(at, "modification_time", columns.column(at).cast(pa.int64()))
    keys = table.metadata().partition_columns
    files = []
    for row in columns.to_pylist():
        partition = tuple((key, str(row[f"partition.{key}"])) for key in keys)
        last = row.get("max.batch_no")
        files.append(
            # Of a file without statistics any batch may be in it.
            TableFile(
                row["path"],
                partition,
                row["size_bytes"],
                row["num_records"] or 0,
                2**63 if last is None else last,
                row["modification_time"],
            )
        )
    return files


class Joiner:
    """Joins files of one version of a table.

    Args:
        table: The version.
        documents: The table's folder.
        now: When the joined files are said to be removed.
        layout: How joined files lie.
    """

    def __init__(
        self, table: DeltaTable, documents: Documents, now: datetime, layout: Layout
    ) -> None:
        self._documents = documents
        self._millis = int(now.timestamp() * 1000)
        self._layout = layout
        self._version = table.version()
        self._table = table

    def join(self, files: Sequence[TableFile]) -> None:
        """
        Make one file of several of one partition.

        Raises:
            StoreUnavailable: Somebody else has removed some of them since; nothing was changed.
        """
        partition = dict(files[0].partition)
        rows = self._rows(files, partition)
        data = _parquet(rows)
        folder = files[0].path.rpartition("/")[0]
        path = f"{folder}/" if folder else ""
        path += f"joined-{uuid.uuid4().hex}.parquet"
        self._documents.put_if_absent(path, data)
        reach(Point.JOINED_WRITTEN)
        added = {
            "path": path,
            "partitionValues": partition,
            "size": len(data),
            "modificationTime": self._millis,
            "dataChange": False,
            "stats": msgspec.json.encode(_statistics(rows, self._layout.bounded)).decode(),
        }
        info = {"timestamp": self._millis, "operation": "OPTIMIZE", "token": uuid.uuid4().hex}
        actions = [{"commitInfo": info}, *map(self._removed, files), {"add": added}]
        self._commit(actions, {file.path for file in files})
        reach(Point.JOINED)

    def _rows(self, files: Sequence[TableFile], partition: Mapping[str, str]) -> pa.Table:
        # Anew each time: Arrow remembers what it has learnt of files for as long as they are known.
        kept = TableRows(self._table)
        names = [name for name in kept.names if name not in partition]
        rows = kept.read(names, paths={file.path for file in files})
        order = [(name, "ascending") for name in self._layout.order]
        return rows.sort_by(order) if order else rows

    def _removed(self, file: TableFile) -> dict[str, Any]:
        return {
            "remove": {
                "path": file.path,
                "deletionTimestamp": self._millis,
                "dataChange": False,
                "extendedFileMetadata": True,
                "partitionValues": dict(file.partition),
                "size": file.size,
            }
        }

    def _commit(self, actions: Sequence[dict[str, Any]], removed: set[str]) -> None:
        entry = b"\n".join(msgspec.json.encode(action) for action in actions)
        for _ in range(MAX_LOST):
            if self._is_there(entry, removed):
                return
            if self._documents.put_if_absent(log_path(self._version + 1), entry):
                self._version += 1
                return
        raise StoreUnavailable("the table changes too fast to be maintained")

    def _is_there(self, entry: bytes, removed: set[str]) -> bool:
        """
        Read on to the end of the log; was *entry* put by an earlier try?

        To look is far quicker than to try and put, so a writer at full speed is caught up with.
        """
        while (found := self._documents.get(log_path(self._version + 1))) is not None:
            self._version += 1
            if found == entry:
                return True
            if _is_in_the_way(found, removed):
                raise StoreUnavailable("somebody else has rewritten the same files; run it again")
        return False


def _is_in_the_way(entry: bytes, removed: set[str]) -> bool:
    actions = [msgspec.json.decode(line) for line in entry.splitlines()]
    return any(
        "metaData" in action
        or "protocol" in action
        or ("remove" in action and action["remove"]["path"] in removed)
        for action in actions
    )


def _parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd", row_group_size=ROW_GROUP)
    return buffer.getvalue()


def _statistics(rows: pa.Table, bounded: Sequence[str]) -> dict[str, Any]:
    statistics: dict[str, Any] = {"numRecords": rows.num_rows}
    # Where the bounds of some columns are known, delta-rs takes the unknown ones for bounds that
    # nothing is within, and passes the file by: so it is those that are filtered by, or none.
    if bounded:
        bounds = {name: pc.min_max(rows.column(name)).as_py() for name in bounded}
        statistics["minValues"] = {name: bound["min"] for name, bound in bounds.items()}
        statistics["maxValues"] = {name: bound["max"] for name, bound in bounds.items()}
        statistics["nullCount"] = {name: rows.column(name).null_count for name in rows.column_names}
    return statistics
