"""Push tables that Spark reads while services write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tecton.adapters.delta_tables import log_path
from tecton.applied import WorkspaceState, push_path
from tecton.spark import frontfill, push_tables
from tecton.spark.failures import FAILURES
from tecton.spark.push_tables import PushTable, pin_push_tables, read_pushed
from tecton.testing import build_source, build_state, build_view
from tests.spark.scene import Scene, utc


class Torn:
    """A log that is listed without one of its entries, so many times."""

    def __init__(self, look: Callable[..., Any], entry: Path, times: int) -> None:
        self._entry, self._aside = entry, entry.with_suffix(".aside")
        self._times = times
        self._look = look
        entry.rename(self._aside)

    def __call__(self, *args: Any) -> Any:
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
    monkeypatch.setattr(push_tables, "_pinned", Torn(push_tables._pinned, entry, times))

    if times < push_tables.TRIES:
        found = read_pushed(scene.spark, scene.stores.store, pinned, {})
        assert found is not None
        assert 3 == found.count()
    else:
        with pytest.raises(FAILURES, match="DELTA_VERSIONS_NOT_CONTIGUOUS"):
            read_pushed(scene.spark, scene.stores.store, pinned, {})


def test_stream_with_a_torn_list_is_begun_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its checkpoint, which is no worse for that."""
    source = build_source()
    state = build_state([source], [build_view(source)])
    scene.backfill(state)
    scene.push(state, ("u0", utc(2), 0))
    scene.frontfill(state)
    for number in range(1, 4):
        scene.push(state, (f"u{number}", utc(2), number))
    entry = scene.folder / "store" / push_path(state, 0) / log_path(4)
    torn = Torn(frontfill._run_stream, entry, 1)
    monkeypatch.setattr(frontfill, "_run_stream", torn)

    # The tables are pinned before, by those who look for versions one by one.
    monkeypatch.setattr(frontfill, "pin_push_tables", lambda *_: [_pinned_at(state, 5, 4)])
    scene.frontfill(state)

    assert ["u0", "u1", "u2", "u3"] == [row[1] for row in scene.offline(state)]
    assert ["push-0"] == scene.backend.delta_logs.folders(f"checkpoints/{state.folder}")


def _pinned_at(state: WorkspaceState, version: int, last_batch: int) -> PushTable:
    return PushTable(push_path(state, 0), "0", version, last_batch)
