"""Push tables that Spark reads while services write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame

from tecton.adapters.delta_tables import log_path
from tecton.applied import push_path
from tecton.spark import push_tables
from tecton.spark.failures import FAILURES
from tecton.spark.push_tables import pin_push_tables, read_pushed
from tecton.testing import build_source, build_state, build_view
from tests.spark.scene import Scene, utc


class Torn:
    """A log that is listed without one of its entries, so many times."""

    def __init__(self, entry: Path, times: int) -> None:
        self._entry, self._aside = entry, entry.with_suffix(".aside")
        self._times = times
        self._look = push_tables._pinned
        entry.rename(self._aside)

    def __call__(self, *args: Any) -> DataFrame:
        if self._times == 0:
            self._aside.rename(self._entry)
        self._times -= 1
        return self._look(*args)


@pytest.mark.parametrize("times", [1, push_tables.TRIES])
def test_torn_list_is_looked_at_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """As beside a busy writer; a hole that stays is an error."""
    source = build_source()
    state = build_state([source], [build_view(source)])
    for number in range(3):
        scene.push(state, (f"u{number}", utc(2), number))
    pinned = pin_push_tables(scene.backend.delta_logs, state)
    entry = scene.folder / "store" / push_path(state, 0) / log_path(3)
    monkeypatch.setattr(push_tables, "_pinned", Torn(entry, times))

    if times < push_tables.TRIES:
        found = read_pushed(scene.spark, scene.stores.store, pinned, {})
        assert found is not None
        assert 3 == found.count()
    else:
        with pytest.raises(FAILURES, match="DELTA_VERSIONS_NOT_CONTIGUOUS"):
            read_pushed(scene.spark, scene.stores.store, pinned, {})
