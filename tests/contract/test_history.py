"""What is kept of a view outside the online store, read without a JVM."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from tecton.adapters.history import DeltaHistory
from tecton.applied import AppliedAggregation, AppliedView, WorkspaceState, offline_path
from tecton.rows import FeatureRow, row_of
from tecton.testing import NOW, build_source, build_state, build_view
from tecton.timestamps import micros_of

SOURCE = build_source(event_key=("clicked",))
CLICKS = AppliedAggregation(
    name="clicks", column="clicked", function="last", time_window=timedelta(hours=1)
)
HOUR = 3_600_000_000
T = micros_of(NOW)

_Rows = list[tuple[str, int, int | None, int, int]]
"""Key, timestamp, value, sequence, tie."""


def kept(tmp_path: Path, view: AppliedView, rows: _Rows, since: int | None) -> list[FeatureRow]:
    """What the history of a view with these offline rows gives."""
    state = build_state([SOURCE], [view], [])
    _write(tmp_path, state, view, rows)
    chunks = DeltaHistory(str(tmp_path)).rows(state, view, since)
    return [row for chunk in chunks for row in chunk]


def _write(tmp_path: Path, state: WorkspaceState, view: AppliedView, rows: _Rows) -> None:
    users, times, clicked, sequences, ties = (list(values) for values in zip(*rows, strict=True))
    table = pa.table(
        {
            "user_id": users,
            "timestamp": pa.array(times, pa.timestamp("us", "UTC")),
            "clicked": pa.array(clicked, pa.int64()),
            "_sequence": pa.array(sequences, pa.int64()),
            "_tie": pa.array(ties, pa.int32()),
            "_origin": ["batch" if sequence < 0 else "push" for sequence in sequences],
            "_date": pa.array([_day(at) for at in times], pa.date32()),
        }
    )
    path = tmp_path / offline_path(state, view)
    write_deltalake(str(path), table, partition_by=["_origin", "_date"])


def _day(micros: int) -> date:
    return (NOW + timedelta(microseconds=micros - T)).date()


def _values(user: str, clicked: int | None) -> Mapping[str, Any]:
    return {"user_id": user, "clicked": clicked}


def test_plain_view_needs_the_newest_row_of_a_key(tmp_path: Path) -> None:
    """Of one key and time the later sequence, then the later tie; nothing older than asked for."""
    view = build_view(SOURCE)
    rows: _Rows = [
        ("a", T - HOUR, 1, -5, 0),
        ("a", T, 2, -5, 1),
        ("a", T, 3, -5, 0),
        ("old", T - HOUR - 1, 4, 7, 0),
    ]
    assert kept(tmp_path, view, rows, T - HOUR) == [row_of(view, _values("a", 2), T, -5)]


def test_aggregating_view_needs_every_event(tmp_path: Path) -> None:
    """Each with its identity and its rank in its run, if its windows still see it."""
    view = build_view(SOURCE, ttl=None, aggregations=(CLICKS,))
    rows: _Rows = [
        ("a", T - HOUR + 1, 1, -5, 0),
        ("a", T, 2, -5, 0),
        ("a", T, 3, -5, 1),
        ("a", T, None, 9, 0),
        ("b", T, 2, 8, 0),
        ("a", T - HOUR, 6, 7, 0),
    ]
    found = kept(tmp_path, view, rows, view.oldest_seen(T))
    assert sorted(found, key=lambda row: (row.key, row.order)) == [
        row_of(view, _values("a", 1), T - HOUR + 1, -5, 0),
        row_of(view, _values("a", 2), T, -5, 0),
        row_of(view, _values("a", 3), T, -5, 1),
        row_of(view, _values("a", None), T, 9, 0),
        row_of(view, _values("b", 2), T, 8, 0),
    ]
    assert len({(row.key, row.event and row.event.identity) for row in found}) == 5
