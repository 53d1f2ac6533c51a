"""
`stores.TableCare` without Spark: fewer and larger files, nothing that is not needed any more.

Every step is one Delta commit or none, looks first at what there is to do, and can be repeated. A
writer that meets such a commit takes the next version; of two maintenances that meet the later one
fails, or finds nothing left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from tecton.adapters.delta_tables import open_table, refresh
from tecton.adapters.documents import Documents
from tecton.adapters.joining import Joiner, Layout, TableFile, files_of
from tecton.errors import StoreUnavailable
from tecton.failpoints import Point, reach
from tecton.stores import Kept, Tidied

SMALL_BYTES = 16 * 2**20
SMALL_ROWS = 500_000
"""A file below both is worth being joined with others."""

JOINED_ROWS = 1_000_000
JOINED_FILES = 5_000
"""So many are in memory at once, of each file some 40 KB about how it is laid out."""

MANY_FILES = 50
"""Of a partition that still grows: joining a few again and again writes much for little."""

OPEN_HOURS = timedelta(hours=1)
"""Younger files of the open day stay as they are: whoever reads a log's tail shall read little."""

CHECKPOINT_EVERY = 10
VACUUM_HOURS = 7 * 24
"""Of what no version names any more, the youngest stays: a read or a stream may still be at it."""

LOG_DAYS = 30
"""The tables' own `delta.logRetentionDuration`."""

_DAY = "accepted_date"
_PUSHED = Layout(("source", "sequence"), ("sequence", "batch_no", "registry_version"))


class DeltaCare:
    """The tables of one store.

    Args:
        store: A path or URI without a trailing slash.
    """

    def __init__(self, store: str) -> None:
        self._store = store

    def push_table(self, path: str, now: datetime, kept: Kept) -> Tidied:
        """Tidy the push table of one writer."""
        with self._failures(path):
            table = open_table(f"{self._store}/{path}")
            files = files_of(table)
            old = _old_days(files, kept)
            forgotten = _delete_days(table, old)
            files = [file for file in files if _day(file) not in old]
            closed, settled = _closed_and_settled(files, now)
            joined = self._join(path, table, closed, now, 2, _PUSHED)
            joined += self._join(path, table, settled, now, MANY_FILES, _PUSHED)
            is_new = self._checkpoint(path, table)
            if is_new and _may_forget_log(files, now, kept):
                table.cleanup_metadata()
            return Tidied(path, joined, forgotten, _vacuum(table))

    def appended_table(self, path: str, now: datetime) -> Tidied | None:
        """Tidy a table that is appended to and kept for ever; None if there is none."""
        table = self._table(path)
        if table is None:
            return None
        with self._failures(path):
            joined = self._join(path, table, files_of(table), now, MANY_FILES)
            self._checkpoint(path, table)
            return Tidied(path, joined, 0, _vacuum(table))

    def scattered(self, path: str, most: int) -> Sequence[tuple[str, str]]:
        """The partitions of an offline table with more than *most* small files."""
        table = self._table(path)
        if table is None:
            return ()
        counts: dict[tuple[str, str], int] = {}
        for file in filter(_is_small, files_of(table)):
            partition = dict(file.partition)
            place = (partition["_origin"], partition["_date"])
            counts[place] = counts.get(place, 0) + 1
        return sorted(place for place, count in counts.items() if count > most)

    def remove(self, path: str) -> int:
        """Delete a folder that nobody uses any more; how many files there were."""
        return Documents(self._store).remove(path)

    def unused(self, path: str) -> int:
        """How many files of a table nobody can need any more."""
        table = self._table(path)
        if table is None:
            return 0
        with self._failures(path):
            return len(table.vacuum(retention_hours=VACUUM_HOURS, dry_run=True))

    def _table(self, path: str) -> DeltaTable | None:
        with self._failures(path):
            try:
                return open_table(f"{self._store}/{path}")
            except TableNotFoundError:
                return None

    def _join(
        self,
        path: str,
        table: DeltaTable,
        files: Sequence[TableFile],
        now: datetime,
        least: int,
        layout: Layout = Layout(),  # noqa: B008  # immutable
    ) -> int:
        """Join the small files of each partition that has at least so many."""
        groups = [group for group in _portions(files) if len(group) >= least]
        if not groups:
            return 0
        joiner = Joiner(table, Documents(f"{self._store}/{path}"), now, layout)
        for group in groups:
            joiner.join(group)
        refresh(table)
        return sum(map(len, groups))

    def _checkpoint(self, path: str, table: DeltaTable) -> bool:
        """Write a checkpoint if the last one is some versions old."""
        pointer = Documents(self._store).get(f"{path}/_delta_log/_last_checkpoint")
        last = 0 if pointer is None else int(msgspec.json.decode(pointer)["version"])
        if table.version() - last < CHECKPOINT_EVERY:
            return False
        reach(Point.BEFORE_CHECKPOINT)
        table.create_checkpoint()
        reach(Point.AFTER_CHECKPOINT)
        return True

    @contextmanager
    def _failures(self, path: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException, StoreUnavailable) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"{path} cannot be maintained: {reason}") from exc


def _day(file: TableFile) -> str:
    return dict(file.partition)[_DAY]


def _closed_and_settled(
    files: Sequence[TableFile], now: datetime
) -> tuple[list[TableFile], list[TableFile]]:
    """Files of days that are over, and those of the open day that are not of just now."""
    today, settled = now.date().isoformat(), int((now - OPEN_HOURS).timestamp() * 1000)
    closed = [file for file in files if _day(file) < today]
    return closed, [file for file in files if _day(file) >= today and file.written <= settled]


def _is_small(file: TableFile) -> bool:
    return file.size < SMALL_BYTES and file.rows < SMALL_ROWS


def _portions(files: Sequence[TableFile]) -> Iterator[list[TableFile]]:
    """Small files of one partition, in the order of their batches, so many at once."""
    group: list[TableFile] = []
    ordered = sorted(filter(_is_small, files), key=lambda file: (file.partition, file.last_batch))
    for file in ordered:
        is_full = sum(one.rows for one in group) + file.rows > JOINED_ROWS
        is_full = is_full or len(group) == JOINED_FILES
        if group and (is_full or file.partition != group[0].partition):
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _old_days(files: Sequence[TableFile], kept: Kept) -> list[str]:
    """Days whose records nobody needs."""
    if kept.since is None:
        return []
    last: dict[str, int] = {}
    for file in files:
        last[_day(file)] = max(last.get(_day(file), 0), file.last_batch)
    since = kept.since.isoformat()
    return sorted(day for day, batch in last.items() if day < since and batch <= kept.taken)


def _delete_days(table: DeltaTable, days: Sequence[str]) -> int:
    if not days:
        return 0
    named = ", ".join(f"'{day}'" for day in days)
    # By partition only, so that files go as they are and none is written anew.
    done = table.delete(f"{_DAY} IN ({named})")
    refresh(table)
    return int(done["num_removed_files"])


def _may_forget_log(files: Sequence[TableFile], now: datetime, kept: Kept) -> bool:
    """Has every frontfill taken what the log entries that would go have added?"""
    horizon = (now - timedelta(days=LOG_DAYS - 1)).date().isoformat()
    return all(file.last_batch <= kept.taken for file in files if _day(file) <= horizon)


def _vacuum(table: DeltaTable) -> int:
    # What was put and never committed stays: a writer may be about to commit it.
    if not table.vacuum(retention_hours=VACUUM_HOURS, dry_run=True):
        return 0
    return len(table.vacuum(retention_hours=VACUUM_HOURS, dry_run=False))
