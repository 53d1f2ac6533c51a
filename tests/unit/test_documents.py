"""`Documents`: what adapters of every kind build on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tecton.adapters.documents import Documents
from tecton.errors import StoreUnavailable


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    """The documents of an empty store, in a folder whose name is unusual."""
    return Documents(str(tmp_path / "my store" / "%20 é"))


def test_absent_document_is_none(documents: Documents) -> None:
    """A document that is not there is no error."""
    assert documents.get("a/b.json") is None
    assert list(documents.list("a")) == []
    assert list(documents.folders("a")) == []


def test_second_put_of_one_path_is_refused(documents: Documents) -> None:
    """The first document stays."""
    assert documents.put_if_absent("a/b.json", b"first")
    assert not documents.put_if_absent("a/b.json", b"second")
    assert documents.get("a/b.json") == b"first"


def test_what_is_put_outlives_a_power_cut(
    documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the call returns, file and folders have been flushed; delta-rs and obstore do not."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    assert documents.put_if_absent("a/b.json", b"first")
    root = tmp_path / "my store" / "%20 é"
    expected = [root / "a" / "b.json", root / "a", root]
    assert [entry.stat().st_ino for entry in expected] == flushed


def test_put_of_the_same_bytes_is_refused_too(documents: Documents) -> None:
    """A claim is taken once, whatever it says."""
    assert documents.put_if_absent("claims/x", b"mine")
    assert not documents.put_if_absent("claims/x", b"mine")


def test_list_goes_down_and_folders_do_not(documents: Documents) -> None:
    """`list` gives every document below a folder, `folders` the folders in it."""
    for path in ("r/b/2.json", "r/a/1.json", "r/a/c/3.json", "rx/1.json"):
        documents.put_if_absent(path, b"")
    assert list(documents.list("r")) == ["r/a/1.json", "r/a/c/3.json", "r/b/2.json"]
    assert list(documents.folders("r")) == ["a", "b"]


def test_file_uri_is_a_local_store(tmp_path: Path) -> None:
    """`file://` names a folder like a plain path."""
    Documents((tmp_path / "a b").as_uri()).put_if_absent("x", b"1")
    assert (tmp_path / "a b" / "x").read_bytes() == b"1"


def test_store_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    """Driver errors are wrapped, in one line that names the store."""
    (tmp_path / "file").write_text("")
    documents = Documents(str(tmp_path / "file" / "store"))
    with pytest.raises(StoreUnavailable, match=r"cannot read x in the store .*file/store") as info:
        documents.get("x")
    assert "\n" not in str(info.value)


def test_unknown_scheme_is_unavailable() -> None:
    """A store URI that no driver knows is said by its name."""
    with pytest.raises(StoreUnavailable, match="ftp://host/x"):
        Documents("ftp://host/x").get("y")
