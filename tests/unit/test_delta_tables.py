"""Tables that are listed while somebody writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from tecton.adapters import delta_tables
from tecton.adapters.delta_tables import log_path, newest_version, open_table, refresh

TORN = (
    "Kernel error: Expected contiguous commit files, but found gap: 3682.json -> 3685.json",
    "Kernel error: Invalid Checkpoint: Gap between checkpoint version 3681 and next commit 3683",
)
HOLE = "found gap|Gap between checkpoint version 2 and next commit 4"
Write = Callable[[int], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes so many versions of a table and answers where it is; a checkpoint after the third."""
    url = str(tmp_path / "a b ü")

    def act(versions: int) -> str:
        for number in range(versions):
            write_deltalake(url, pa.table({"n": [number]}), mode="append")
            if number == 2:
                DeltaTable(url).create_checkpoint()
        return url

    return act


def torn(url: str, version: int | None = None) -> DeltaTable:
    """As delta-rs opens a table whose list is torn, each time."""
    if version is None:
        raise DeltaError(TORN[DeltaTable(url).version() % 2])
    return DeltaTable(url, version=version)


@pytest.mark.parametrize("versions", [1, 2, 3, 4, 5, 9, 12])
def test_torn_list_needs_no_list(
    write: Write, monkeypatch: pytest.MonkeyPatch, versions: int
) -> None:
    """The newest version is opened all the same, however many lists are torn."""
    url = write(versions)
    monkeypatch.setattr(delta_tables, "DeltaTable", torn)
    assert open_table(url).version() == versions - 1
    assert open_table(url, 0).version() == 0


def test_table_that_is_open_needs_no_list_either(write: Write) -> None:
    """It is brought to the newest version."""

    class Busy:
        """Is always listed in a torn way."""

        def __init__(self, table: DeltaTable) -> None:
            self.table_uri = table.table_uri
            self.load_as_version = table.load_as_version

        def update_incremental(self) -> None:
            raise DeltaError(TORN[0])

    table = DeltaTable(write(3))
    write(4)
    busy: Any = Busy(table)
    refresh(busy)
    assert table.version() == 6
    write(1)
    refresh(table)
    assert table.version() == 7


@pytest.mark.parametrize("hole", [3, 4])
def test_hole_that_stays_is_an_error(write: Write, hole: int) -> None:
    """Nobody may read on behind it, nor take what is before it for all there is."""
    url = write(6)
    (Path(url) / log_path(hole)).unlink()
    assert newest_version(url) == {3: None, 4: 5}[hole]
    with pytest.raises(DeltaError, match=HOLE):
        open_table(url)
    table = DeltaTable(url, version=hole - 1)
    with pytest.raises(DeltaError, match=HOLE):
        refresh(table)


def test_any_other_failure_is_told_at_once(tmp_path: Path) -> None:
    """Trying again is for whoever asked."""
    with pytest.raises(TableNotFoundError):
        open_table(str(tmp_path))
