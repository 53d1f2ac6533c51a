"""Tables that are listed while somebody writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from tecton.adapters.delta_tables import TRIES, dataset_of, listed_whole

TORN = "Kernel error: Expected contiguous commit files, but found gap: 3682.json -> 3685.json"


def failing(times: int, message: str) -> Callable[[], int]:
    """Fails so many times, then answers how often it was asked."""
    asked: list[int] = []

    def act() -> int:
        asked.append(1)
        if len(asked) <= times:
            raise DeltaError(message)
        return len(asked)

    return act


def test_torn_list_is_looked_at_again() -> None:
    """Entries that were put meanwhile may be missing from it, one before another."""
    assert listed_whole(failing(TRIES - 1, TORN)) == TRIES


def test_hole_that_stays_is_an_error() -> None:
    """Nobody may read on behind it."""
    with pytest.raises(DeltaError, match="found gap"):
        listed_whole(failing(TRIES, TORN))


def test_any_other_failure_is_told_at_once() -> None:
    """Trying again is for whoever asked."""
    act = failing(1, "no such bucket")
    with pytest.raises(DeltaError, match="no such bucket"):
        listed_whole(act)
    assert act() == 2


def test_arrow_opens_the_files_of_a_folder_itself(tmp_path: Path) -> None:
    """Where its threads called Python, three of ten short processes died at their end."""
    folder = str(tmp_path / "a b ü")
    rows = pa.table({"n": [1, 2], "part": ["x y", "z"]})
    write_deltalake(folder, rows, partition_by=["part"])
    dataset = dataset_of(DeltaTable(folder))
    assert dataset.filesystem.base_fs.type_name == "local"
    assert sorted(dataset.to_table().column("n").to_pylist()) == [1, 2]
