"""
The store's JSON documents: the registry and access, one immutable file per version.

A version is a file that is put only if absent, so a commit is one atomic step on a local disk
and on S3, GCS and Azure alike. The files are indented, for people to read and to diff.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, from_url

from tecton.access import AccessState
from tecton.applied import FORMAT, WorkspaceState
from tecton.errors import Conflict, StoreFormatError, StoreUnavailable
from tecton.locations import for_files
from tecton.names import is_object_name, path_of

_State = TypeVar("_State", bound="WorkspaceState | AccessState")
_VERSION_FILE = re.compile(r"(\d{9})\.json", re.ASCII)


class Documents:
    """Small files under the store, hardly ever changed once written. Safe to use from threads."""

    def __init__(self, store: str) -> None:
        """
        Open the store; a local folder is made with its first document.

        Args:
            store: A path or a URI: `s3://`, `gs://`, `abfss://`, `dbfs:/` (through its mount).
        """
        self._name = store
        path = for_files(store)
        self._folder = None if path is None else Path(path)
        self._opened: obstore.store.ObjectStore | None = None
        self._inode: tuple[int, int] | None = None

    @property
    def is_far(self) -> bool:
        """Is it no folder, so that every request waits for a network?"""
        return self._folder is None

    @property
    def _store(self) -> obstore.store.ObjectStore:
        if self._opened is None:
            if self._folder is None:
                self._opened = from_url(self._name)
            else:
                self._opened = LocalStore(self._folder, mkdir=True)
                self._inode = _inode(self._folder)
        elif self._folder is not None and _inode(self._folder) != self._inode:
            # Unmounted or moved away: making it anew would tear one store into two.
            raise FileNotFoundError(f"the folder {self._folder} is not the one that was opened")
        return self._opened

    def get(self, path: str) -> bytes | None:
        """The document at *path*, None if there is none."""
        with self._failures(f"read {path}"):
            store = self._store
            try:
                return bytes(obstore.get(store, path).bytes())
            except FileNotFoundError:
                return None

    def chunks(self, path: str) -> Iterator[bytes]:
        """
        What is at *path*, a few megabytes at a time.

        Raises:
            StoreUnavailable: It cannot be read, or there is nothing.
        """
        with self._failures(f"read {path}"):
            for chunk in obstore.get(self._store, path).stream():
                yield bytes(chunk)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write a document, durable when this returns; False if there is one already."""
        with self._failures(f"write {path}"):
            try:
                obstore.put(self._store, path, data, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return False
            if self._folder is not None:
                _sync(self._folder, path)
            return True

    def put(self, path: str, data: bytes) -> None:
        """Write a document, or another in its place; a power cut may bring the former back."""
        with self._failures(f"write {path}"):
            obstore.put(self._store, path, data)

    def delete_older(self, prefix: str, before: datetime) -> int:
        """Delete the documents below *prefix* that were last written before a time; how many."""
        with self._failures(f"delete documents of {prefix}"):
            store = self._store
            listed = [document for page in obstore.list(store, prefix) for document in page]
            old = [doc["path"] for doc in listed if doc["last_modified"] < before]
            if old:
                obstore.delete(store, old)
            return len(old)

    def remove(self, folder: str) -> int:
        """Delete a folder with all that is in it; how many files there were."""
        with self._failures(f"delete {folder}"):
            listed = obstore.list(self._store, f"{folder}/")
            paths = [document["path"] for page in listed for document in page]
            if self._folder is not None:
                # An object store has no folders, a disk keeps them when they are empty.
                shutil.rmtree(self._folder / folder, ignore_errors=True)
            elif paths:
                obstore.delete(self._store, paths)
            return len(paths)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete documents; one that is gone already does no harm."""
        with self._failures(f"delete {', '.join(paths[:3])}"):
            for path in paths:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, path)

    def list(self, prefix: str, after: str | None = None) -> Sequence[str]:
        """The paths of all documents below the folder *prefix*, those *after* one, sorted."""
        with self._failures(f"list {prefix}"):
            listed = obstore.list(self._store, prefix, offset=after)
            return sorted(document["path"] for page in listed for document in page)

    def folders(self, prefix: str) -> Sequence[str]:
        """The names of the folders that stand directly in the folder *prefix*, sorted."""
        with self._failures(f"list {prefix}"):
            listed = obstore.list_with_delimiter(self._store, prefix)
            return sorted(path.rpartition("/")[2] for path in listed["common_prefixes"])

    @contextmanager
    def _failures(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as exc:
            reason = str(exc).partition("\n")[0]
            raise StoreUnavailable(f"cannot {doing} in the store {self._name}: {reason}") from exc


class DocumentRegistry:
    """The registry of a store: `registry/<workspace>/<version>.json`."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._versions: dict[str, _Versions[WorkspaceState]] = {}

    def workspaces(self) -> Sequence[str]:
        """Names of the workspaces that ever were, sorted."""
        return self._documents.folders("registry")

    def latest(self, workspace: str) -> WorkspaceState | None:
        """The newest version, also of a deleted workspace; None if there never was one."""
        return self._of(workspace).latest() if is_object_name(workspace) else None

    def at(self, workspace: str, version: int) -> WorkspaceState | None:
        """One version."""
        return self._of(workspace).at(version) if is_object_name(workspace) else None

    def commit(self, state: WorkspaceState) -> None:
        """Store the next version; see `stores.Registry`."""
        self._of(state.name).commit(state, f"workspace {state.name}")

    def _of(self, workspace: str) -> _Versions[WorkspaceState]:
        versions = self._versions.get(workspace)
        if versions is None:
            versions = _Versions(self._documents, path_of("registry", workspace), WorkspaceState)
            # Names that were never applied are not kept: anybody may ask for them.
            if versions.latest() is not None:
                self._versions[workspace] = versions
        return versions


class DocumentAccess:
    """Keys and roles of a store: `access/<version>.json`."""

    def __init__(self, documents: Documents) -> None:
        self._versions = _Versions(documents, "access", AccessState)

    def latest(self) -> AccessState:
        """The newest version; version 0 is empty."""
        return self._versions.latest() or AccessState()

    def at(self, version: int) -> AccessState | None:
        """One version; None if there is none."""
        return self._versions.at(version)

    def commit(self, state: AccessState) -> None:
        """Store the next version; see `stores.AccessStore`."""
        self._versions.commit(state, "access control")


class _Versions(Generic[_State]):
    """
    The numbered documents of one folder.

    Versions have no gaps and are never removed, so whoever knows one finds a newer one by asking
    for the next: a service that polls pays one request for a file that is not there.
    """

    def __init__(self, documents: Documents, folder: str, kind: type[_State]) -> None:
        self._documents = documents
        self._folder = folder
        self._kind: type[_State] = kind
        self._newest: _State | None = None

    def latest(self) -> _State | None:
        newest = self._newest
        if newest is None:
            newest = self._last_listed()
        while newest is not None:
            following = self.at(newest.version + 1)
            if following is None:
                break
            newest = following
        # Two threads may both get here; versions only grow, so the older value is harmless.
        self._newest = newest
        return newest

    def at(self, version: int) -> _State | None:
        data = self._documents.get(self._path(version))
        return None if data is None else self._decode(data, version)

    def commit(self, state: _State, what: str) -> None:
        previous = self.latest()
        expected = 1 if previous is None else previous.version + 1
        data = msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n"
        path = self._path(state.version)
        if state.version == expected and self._documents.put_if_absent(path, data):
            return
        # A store that answers a repeated request "exists" may mean our own first attempt.
        if self._documents.get(path) != data:
            raise Conflict(
                f"somebody else changed {what} in between (version {state.version} is not the "
                "next one any more); nothing was changed, run the command again"
            )

    def _last_listed(self) -> _State | None:
        names = (path.rpartition("/")[2] for path in self._documents.list(self._folder))
        numbers = [int(match[1]) for name in names if (match := _VERSION_FILE.fullmatch(name))]
        return self.at(max(numbers)) if numbers else None

    def _path(self, version: int) -> str:
        return f"{self._folder}/{path_of(f'{version:09}.json')}"

    def _decode(self, data: bytes, version: int) -> _State:
        path = self._path(version)
        try:
            written = msgspec.json.decode(data, type=_Format).format
            if written <= FORMAT:
                return msgspec.json.decode(data, type=self._kind)
        except msgspec.DecodeError as exc:
            raise StoreFormatError(f"{path} in the store cannot be read: {exc}") from exc
        raise StoreFormatError(
            f"{path} in the store has format {written}, this software reads up to {FORMAT}; "
            "install a newer version of it"
        )


class _Format(msgspec.Struct):
    format: int = FORMAT


def _inode(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _sync(root: Path, path: str) -> None:
    """Make a new local file survive a power cut: the file, and each folder up to the root."""
    file = root / path
    for entry in (file, *file.parents):
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if entry == root:
            break
