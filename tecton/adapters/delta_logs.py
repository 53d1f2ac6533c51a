"""
`stores.DeltaLogs` by delta-rs: versions and transactions of the store's tables without a JVM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deltalake.exceptions import DeltaError, TableNotFoundError

from tecton.adapters.delta_tables import open_table
from tecton.adapters.documents import Documents
from tecton.errors import StoreUnavailable


class StoreDeltaLogs:
    """The Delta tables below one store.

    Args:
        store: A path or URI without a trailing slash.
    """

    def __init__(self, store: str) -> None:
        self._store = store

    def version(self, path: str) -> int | None:
        """The newest version of the table at *path*, None if there is no table."""
        with self._failures(path):
            try:
                return int(open_table(f"{self._store}/{path}").version())
            except TableNotFoundError:
                return None

    def transaction(self, path: str, version: int, application: str) -> int:
        """How far *application* had written the table at *version*, 0 if it never did."""
        with self._failures(path):
            table = open_table(f"{self._store}/{path}", version)
            return int(table.transaction_version(application) or 0)

    def files(self, path: str) -> int:
        """Of how many files the table at *path* consists, 0 if there is no table."""
        with self._failures(path):
            try:
                return len(open_table(f"{self._store}/{path}").file_uris())
            except TableNotFoundError:
                return 0

    def folders(self, path: str) -> Sequence[str]:
        """The names of the folders that stand directly in the folder *path*, sorted."""
        return Documents(self._store).folders(path)

    @contextmanager
    def _failures(self, path: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"cannot read the log of {path} in the store: {reason}") from exc
