"""
`stores.Erasures`: tombstones as documents, and what they stand for deleted from Delta tables.

Delta's log keeps the conditions of deletions: they name hashes and sequences, never a join key.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from tecton.adapters.delta_tables import open_table
from tecton.adapters.documents import Documents
from tecton.adapters.push_tables import read_records
from tecton.applied import FORMAT, AppliedView, WorkspaceState, new_id, offline_path, push_path
from tecton.errors import StoreFormatError, StoreUnavailable
from tecton.functions.transformation import FunctionRunner, NoFunctions
from tecton.logged import rows_of
from tecton.names import path_of
from tecton.rows import BATCH_SEQUENCE_OFFSET, FeatureRow
from tecton.stores import LogEntry
from tecton.tombstones import SALT_BYTES, Tombstones, key_hash

_PER_DELETION = 1000
_TOMBSTONE = re.compile(r"\d{16}-", re.ASCII)


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """One erasure in one view."""

    format: int = FORMAT
    sequence: int
    online: bool
    offline: bool
    keys: tuple[str, ...]


class DeltaErasures:
    """The erasures of one store.

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
        self._read: dict[str, _Document] = {}
        self._salts: dict[str, str] = {}

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
        salt = self._salt(state) or self._new_salt(state)
        hashes = tuple(key_hash(salt, key) for key in keys)
        document = _Document(sequence=sequence, online=online, offline=offline, keys=hashes)
        name = f"{sequence:016}-{new_id()}.json"
        path = f"{_folder(state)}/{path_of(view.id, name)}"
        self._documents.put_if_absent(path, msgspec.json.encode(document))

    def last_sequence(self, state: WorkspaceState) -> int:
        """The greatest sequence of a tombstone."""
        names = [path.rpartition("/")[2] for path in self._documents.list(_folder(state))]
        return max((int(name[:16]) for name in names if _TOMBSTONE.match(name)), default=0)

    def of(self, state: WorkspaceState, view: AppliedView) -> Tombstones:
        """The tombstones of a view, as they are now."""
        online: dict[str, int] = {}
        offline: dict[str, int] = {}
        for path in self._documents.list(f"{_folder(state)}/{path_of(view.id)}"):
            document = self._document(path)
            for is_meant, until in ((document.online, online), (document.offline, offline)):
                for key in document.keys if is_meant else ():
                    until[key] = max(until.get(key, 0), document.sequence)
        return Tombstones(self._salt(state) or "", online, offline)

    def served(self, state: WorkspaceState, rows: Sequence[FeatureRow]) -> list[FeatureRow]:
        """Those rows of any views that may be served."""
        kept: list[FeatureRow] = []
        views = {view.online_id: view for view in state.views}
        views.update((one.view.online_id, one.view) for one in state.replaced)
        for view_id, of_view in groupby(rows, key=lambda row: row.view):
            kept += self.of(state, views[view_id]).kept(list(of_view))
        return kept

    def delete_offline(
        self, state: WorkspaceState, view: AppliedView, keys: Sequence[Sequence[Any]], sequence: int
    ) -> int:
        """Delete the rows of keys up to an erasure from an offline table; answers how many."""
        with self._failures():
            table = self._table(offline_path(state, view))
            salt = self._salt(state)
            if table is None or salt is None:
                return 0
            hashed = _hashed(salt, [field.name for field in view.key_fields])
            condition = (
                f"((_sequence > 0 AND _sequence <= {sequence}) OR (_sequence <= 0 AND "
                f"_sequence <= {sequence - BATCH_SEQUENCE_OFFSET}))"
            )
            hashes = [f"'{key_hash(salt, key)}'" for key in keys]
            return _delete(table, hashes, lambda some: f"{hashed} IN ({some}) AND {condition}")

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
        served = tuple(msgspec.structs.replace(view, online=True) for view in views)
        alone = msgspec.structs.replace(state, views=served, replaced=())
        deleted, later = 0, []
        with self._failures():
            for writer in self._documents.folders(push_path(state)):
                table = self._table(f"{push_path(state)}/{writer}")
                doomed: list[str] = []
                for entries in read_records(table, 0) if table is not None else ():
                    rows = self._rows(alone, entries)
                    for row_sequence, of_record in rows.items():
                        found = [row for row in of_record if row.key in keys]
                        if row_sequence > sequence:
                            later += found
                        elif len(found) == len(of_record):
                            doomed.append(str(row_sequence))
                if table is not None:
                    deleted += _delete(table, doomed, lambda some: f"sequence IN ({some})")
        return deleted, later

    def _rows(
        self, state: WorkspaceState, entries: Sequence[LogEntry]
    ) -> Mapping[int, list[FeatureRow]]:
        by_record: dict[int, list[FeatureRow]] = {}
        for row in rows_of(state, entries, self._functions):
            by_record.setdefault(row.sequence, []).append(row)
        return by_record

    def _document(self, path: str) -> _Document:
        if path not in self._read:
            data = self._documents.get(path)
            try:
                self._read[path] = msgspec.json.decode(data or b"", type=_Document)
            except msgspec.DecodeError as exc:
                raise StoreFormatError(f"{path} in the store cannot be read: {exc}") from exc
        return self._read[path]

    def _salt(self, state: WorkspaceState) -> str | None:
        """The workspace's salt; None where nothing was ever erased."""
        folder = _folder(state)
        if folder not in self._salts:
            data = self._documents.get(f"{folder}/salt.json")
            if data is None:
                return None
            self._salts[folder] = msgspec.json.decode(data, type=str)
        return self._salts[folder]

    def _new_salt(self, state: WorkspaceState) -> str:
        salt = msgspec.json.encode(secrets.token_hex(SALT_BYTES))
        self._documents.put_if_absent(f"{_folder(state)}/salt.json", salt)
        found = self._salt(state)
        if found is None:
            raise StoreUnavailable("the salt of erasures has vanished from the store")
        return found

    def _table(self, path: str) -> DeltaTable | None:
        try:
            return open_table(f"{self._store}/{path}")
        except TableNotFoundError:
            return None

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"rows cannot be deleted; run it again: {reason}") from exc


def _folder(state: WorkspaceState) -> str:
    return path_of("erased", state.folder)


def _hashed(salt: str, columns: Sequence[str]) -> str:
    """What `key_hash` gives, in the SQL of delta-rs."""
    parts = [f"'{salt}'"]
    for name in columns:
        quoted = '"' + name.replace('"', '""') + '"'
        text = f"cast({quoted} as varchar)"
        parts += [f"cast(octet_length({text}) as varchar)", "':'", text]
    return f"encode(sha256(concat({', '.join(parts)})), 'hex')"


def _delete(table: DeltaTable, items: Sequence[str], condition: Callable[[str], str]) -> int:
    """Delete what a condition says of some items, not too many at once; answers how many rows."""
    count = 0
    for start in range(0, len(items), _PER_DELETION):
        some = ", ".join(items[start : start + _PER_DELETION])
        count += int(table.delete(condition(some))["num_deleted_rows"])
    return count
