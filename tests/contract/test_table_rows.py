"""Rows of tables in a folder and on S3 are the same, read without Python in Arrow's threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pytest
from deltalake import DeltaTable, write_deltalake

from tecton.adapters import table_rows
from tecton.adapters.table_rows import AT_ONCE, TableRows
from tecton.errors import StoreUnavailable
from tests.s3 import S3, s3

FILES = 2 * AT_ONCE + 3
ROWS_A_FILE = 3


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """A server of S3."""
    with s3() as running:
        yield running


@pytest.fixture(params=["folder", "S3, in memory", "S3, on disk"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a table is; nothing may make a file system of Python's."""
    place: str = request.param
    found = str(tmp_path / "a b ü")
    if place != "folder":
        server: S3 = request.getfixturevalue("server")
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        found = f"{server.store}/{tmp_path.name}"
    if place == "S3, on disk":
        monkeypatch.setattr(table_rows, "IN_MEMORY_BYTES", 0)

    def refuse(*_: object) -> None:
        raise AssertionError("Arrow's threads would call Python")

    monkeypatch.setattr(pyarrow.fs, "PyFileSystem", refuse)
    return found


def rows_of(first: int) -> pa.Table:
    """Some rows, in one of two partitions."""
    numbers = range(first, first + ROWS_A_FILE)
    part = ["even" if first % 2 == 0 else "odd"] * ROWS_A_FILE
    return pa.table({"n": list(numbers), "text": [f"text {n}" for n in numbers], "part": part})


def written(url: str) -> list[int]:
    """Make a table of many files; the numbers in it."""
    firsts = range(0, FILES * ROWS_A_FILE, ROWS_A_FILE)
    for first in firsts:
        write_deltalake(url, rows_of(first), mode="append", partition_by=["part"])
    return list(range(FILES * ROWS_A_FILE))


def numbers(rows: pa.Table | Sequence[pa.RecordBatch]) -> list[int]:
    """The column `n`, sorted."""
    if not isinstance(rows, pa.Table):
        rows = pa.Table.from_batches(rows)
    return sorted(rows.column("n").to_pylist())


def test_all_rows_of_all_files(url: str) -> None:
    """At once and by and by, whole or in columns, chosen by what is in them or by partition."""
    expected = written(url)
    kept = TableRows(DeltaTable(url))
    assert sorted(kept.names) == ["n", "part", "text"]
    rows = kept.read()
    assert numbers(rows) == expected
    assert sorted(rows.column("text").to_pylist()) == sorted(f"text {n}" for n in expected)
    assert numbers(list(kept.batches(["n"]))) == expected
    few = kept.read(["part", "n"], pc.field("n") >= 40)
    assert few.column_names == ["part", "n"]
    assert numbers(few) == expected[40:]
    even = kept.read(["n"], pc.field("part") == "even")
    assert numbers(even) == [n for n in expected if n // ROWS_A_FILE % 2 == 0]
    assert kept.read(["n"], pc.field("part") == "neither").to_pydict() == {"n": []}


def test_rows_of_some_files(url: str) -> None:
    """As maintenance joins them; and what is not read to its end leaves nothing behind."""
    written(url)
    table = DeltaTable(url)
    paths = pa.table(table.get_add_actions()).column("path").to_pylist()
    kept = TableRows(table)
    assert kept.read(["n"], paths=set(paths[:5])).num_rows == 5 * ROWS_A_FILE
    batches = kept.batches(["n"])
    assert next(batches).num_rows == ROWS_A_FILE
    del batches
    assert kept.read(["n"]).num_rows == FILES * ROWS_A_FILE


def test_rows_of_before_a_column_was_added(url: str) -> None:
    """Are null there."""
    write_deltalake(url, pa.table({"n": [1]}))
    write_deltalake(url, pa.table({"n": [2], "new": ["b"]}), mode="append", schema_mode="merge")
    rows = TableRows(DeltaTable(url)).read().sort_by("n")
    assert rows.to_pydict() == {"n": [1, 2], "new": [None, "b"]}


def test_file_that_is_gone_is_an_error(url: str) -> None:
    """Of whatever kind the callers know."""
    write_deltalake(url, pa.table({"n": [1]}))
    table = DeltaTable(url)
    write_deltalake(url, pa.table({"n": [2]}), mode="overwrite")
    DeltaTable(url).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises((OSError, StoreUnavailable)):
        TableRows(table).read()
