"""The contracts of `stores.Registry` and `stores.AccessStore`, on every implementation."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import msgspec
import pytest

from tecton.access import AccessState, Grant, ServiceAccount
from tecton.adapters.documents import DocumentAccess, DocumentRegistry, Documents
from tecton.applied import BatchRows, WorkspaceState
from tecton.errors import Conflict, StoreFormatError
from tecton.stores import AccessStore, Registry
from tecton.testing import (
    NOW,
    InMemoryAccess,
    InMemoryRegistry,
    build_service,
    build_source,
    build_state,
    build_view,
    next_version,
)
from tecton.types import Array, Field, Int64, Map, String, Struct, Timestamp


@pytest.fixture(params=["memory", "documents"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """Every implementation of the registry, empty."""
    if request.param == "memory":
        return InMemoryRegistry()
    return DocumentRegistry(Documents(str(tmp_path / "store")))


@pytest.fixture(params=["memory", "documents"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> AccessStore:
    """Every implementation of the access store, empty."""
    if request.param == "memory":
        return InMemoryAccess()
    return DocumentAccess(Documents(str(tmp_path / "store")))


def full_state() -> WorkspaceState:
    """A state that uses every kind of object and type."""
    fields = [
        Field("user_id", String),
        Field("timestamp", Timestamp),
        Field("device", Struct([Field("os", String), Field("sizes", Array(Int64))])),
        Field("counts", Map(String, Int64)),
    ]
    batch = BatchRows(
        uri="/data/x.parquet",
        file_format="parquet",
        timestamp_field="timestamp",
        data_delay=timedelta(hours=1, microseconds=1),
    )
    source = build_source(fields=fields, batch=batch, tags={"team": "ads"}, owner="a@b.c")
    view = build_view(source, expected_feature_freshness=timedelta(minutes=90))
    return build_state([source], [view], [build_service(view)], comment="all of it")


def test_unknown_workspace_has_no_version(registry: Registry) -> None:
    """Nothing was ever applied: no workspaces, no latest version."""
    assert list(registry.workspaces()) == []
    assert registry.latest("prod") is None
    assert registry.at("prod", 1) is None


@pytest.mark.parametrize("name", ["", "..", "../access", "a/b", "x" * 300, "nul\0", "é"])
def test_impossible_workspace_name_is_an_unknown_one(registry: Registry, name: str) -> None:
    """A name that no workspace can have is looked up like any other unknown one."""
    assert registry.latest(name) is None
    assert registry.at(name, 1) is None


def test_committed_state_is_read_back_equal(registry: Registry) -> None:
    """What is committed is the latest version, with every attribute."""
    state = full_state()
    registry.commit(state)
    assert registry.latest("prod") == state
    assert registry.at("prod", 1) == state
    assert list(registry.workspaces()) == ["prod"]


def test_versions_are_kept_and_the_newest_is_latest(registry: Registry) -> None:
    """Versions are kept for ever."""
    first = build_state()
    second = next_version(first, comment="second")
    registry.commit(first)
    assert registry.latest("prod") == first
    registry.commit(second)
    assert registry.latest("prod") == second
    assert registry.at("prod", 1) == first
    assert registry.at("prod", 3) is None


def test_workspaces_are_apart_and_sorted(registry: Registry) -> None:
    """Each workspace has its own versions; a deleted one is still listed."""
    registry.commit(build_state(name="b", deleted=True))
    registry.commit(build_state(name="a.b"))
    registry.commit(build_state(name="a"))
    assert list(registry.workspaces()) == ["a", "a.b", "b"]
    latest = registry.latest("b")
    assert latest is not None
    assert latest.deleted


def test_taken_version_is_a_conflict(registry: Registry) -> None:
    """Of two commits of one version the second is refused and changes nothing."""
    first = build_state()
    registry.commit(first)
    with pytest.raises(Conflict):
        registry.commit(msgspec.structs.replace(first, comment="other"))
    assert registry.latest("prod") == first


def test_version_that_leaves_a_gap_is_a_conflict(registry: Registry) -> None:
    """Versions count up by one."""
    state = build_state()
    with pytest.raises(Conflict):
        registry.commit(next_version(state))
    registry.commit(state)
    with pytest.raises(Conflict):
        registry.commit(next_version(next_version(state)))
    assert registry.latest("prod") == state


def test_same_commit_again_is_no_conflict(registry: Registry) -> None:
    """A commit whose answer was lost can be repeated as it is."""
    state = build_state()
    registry.commit(state)
    registry.commit(state)
    assert registry.latest("prod") == state


def test_of_concurrent_commits_one_wins(tmp_path: Path) -> None:
    """Of several applies at once exactly one is taken; the others are told."""
    store = str(tmp_path / "store")
    state = build_state()
    DocumentRegistry(Documents(store)).commit(state)
    barrier = Barrier(4)

    def commit(number: int) -> bool:
        registry = DocumentRegistry(Documents(store))
        registry.latest("prod")
        barrier.wait()
        try:
            registry.commit(next_version(state, comment=str(number)))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(commit, range(4)))
    assert sorted(taken) == [False, False, False, True]
    latest = DocumentRegistry(Documents(store)).latest("prod")
    assert latest is not None
    assert latest.comment == str(taken.index(True))


def test_another_process_commit_is_seen(tmp_path: Path) -> None:
    """A registry that has cached a version notices a newer one."""
    store = str(tmp_path / "store")
    service = DocumentRegistry(Documents(store))
    assert service.latest("prod") is None
    cli = DocumentRegistry(Documents(store))
    state = build_state()
    cli.commit(state)
    assert service.latest("prod") == state
    second = next_version(state)
    cli.commit(second)
    assert service.latest("prod") == second


def test_unchanged_version_is_not_read_again(tmp_path: Path) -> None:
    """Polling gives back the known state as long as nothing is applied."""
    registry = DocumentRegistry(Documents(str(tmp_path)))
    registry.commit(build_state())
    assert registry.latest("prod") is registry.latest("prod")


def test_newer_format_is_refused(tmp_path: Path) -> None:
    """The store has a format version: a newer one is refused with a clear sentence."""
    registry = DocumentRegistry(Documents(str(tmp_path)))
    registry.commit(build_state())
    file = tmp_path / "registry/prod/000000001.json"
    document = json.loads(file.read_text()) | {"format": 2, "views": "of another shape"}
    file.write_text(json.dumps(document))
    with pytest.raises(StoreFormatError, match="format 2, this software reads up to 1"):
        DocumentRegistry(Documents(str(tmp_path))).latest("prod")


def test_document_is_indented_json(tmp_path: Path) -> None:
    """A person can read and diff a version."""
    DocumentRegistry(Documents(str(tmp_path))).commit(build_state())
    lines = (tmp_path / "registry/prod/000000001.json").read_text().splitlines()
    assert lines[0] == "{"
    assert '  "name": "prod",' in lines


def test_access_begins_empty(access: AccessStore) -> None:
    """Version 0 has no accounts."""
    assert access.latest() == AccessState()


def test_access_is_read_back_equal(access: AccessStore) -> None:
    """What is committed is the latest version."""
    account = ServiceAccount(id="a", name="n", secret_sha256="0" * 64, created_at=NOW)
    grants = (Grant("a", "editor", "1" * 16), Grant("a", "viewer"))
    state = AccessState(version=1, applied_at=NOW, accounts=(account,), grants=grants)
    access.commit(state)
    assert access.latest() == state


def test_taken_access_version_is_a_conflict(access: AccessStore) -> None:
    """Of two changes of access at once the second is refused."""
    first = AccessState(version=1, applied_at=NOW)
    access.commit(first)
    with pytest.raises(Conflict):
        access.commit(AccessState(version=1, applied_at=NOW, applied_by="other"))
    assert access.latest() == first
