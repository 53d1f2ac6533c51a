"""Training frames of aggregating views: against brute force over every write of every event."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tecton.applied import AppliedAggregation, AppliedView, BatchRows
from tecton.packed import identity_hash
from tecton.rows import BATCH_SEQUENCE_OFFSET
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import micros_of
from tecton.types import Field, Float64, Int64, String, Timestamp
from tests.oracle import OracleEvent, differences, oracle
from tests.spark.scene import MINUTE, Scene, utc

HOUR = timedelta(hours=1)
_FUNCTIONS = ("count", "sum", "mean", "min", "max", "var_samp", "stddev_pop")
_PARTS: list[tuple[str, dict[str, Any]]] = [
    *((function, {}) for function in _FUNCTIONS),
    ("last", {}),
    ("last", {"n": 3}),
    ("first", {"n": 2}),
    ("last_distinct", {"n": 2}),
    ("approx_count_distinct", {"precision": 8}),
    ("approx_percentile", {"precision": 100, "percentile": 0.5}),
]


def _aggregations() -> tuple[AppliedAggregation, ...]:
    found = [
        AppliedAggregation(
            name=f"{column}_{function}_{part.get('n', '')}_{window // MINUTE}m",
            column=column,
            function=function,
            time_window=window,
            **part,
        )
        for column in ("whole", "real")
        for function, part in _PARTS
        for window in (10 * MINUTE, HOUR)
    ]
    found += [
        AppliedAggregation(
            name=f"word_{function}_{part.get('n', '')}", column="word", function=function,
            time_window=HOUR, **part,
        )
        for function, part in (
            ("count", {}), ("min", {}), ("last", {}), ("first_distinct", {"n": 2}),
        )
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda aggregation: aggregation.name))


class _Write(NamedTuple):
    """One row, as a batch file or a client gives it."""

    user: str
    at: datetime
    part: str
    whole: int | None
    real: float | None
    word: str | None


_FIELDS = [
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("part", String),
    Field("whole", Int64),
    Field("real", Float64),
    Field("word", String),
]


class _Play:
    """Random writes of few users, minutes and parts, so that ties and corrections abound."""

    def __init__(self, scene: Scene, event_key: tuple[str, ...]) -> None:
        self.scene = scene
        self.draw = random.Random(11)
        batch = BatchRows(uri=scene.batch_uri, file_format="parquet", timestamp_field="timestamp")
        source = build_source(fields=_FIELDS, event_key=event_key, batch=batch)
        view = build_view(
            source,
            aggregations=_aggregations(),
            ttl=None,
            feature_start_time=utc(1),
            online=False,
        )
        self.state = build_state([source], [view])
        self.pushed: list[tuple[_Write, int]] = []
        self.batch: list[_Write] = []

    @property
    def view(self) -> AppliedView:
        return self.state.views[0]

    def write(self) -> _Write:
        draw = self.draw
        return _Write(
            draw.choice(("u1", "u2", "ü3")),
            utc(2, 10) + draw.randrange(90) * MINUTE,
            draw.choice(("a", "b")),
            draw.choice((None, 1, 2, 3, 2**62, -(2**63))),
            draw.choice((None, 0.1, 1e16, -1e16, 1.0, float("nan"))),
            draw.choice((None, "", "x", "é", "zz")),
        )

    def write_batch(self, count: int) -> None:
        # One row for each identity: which of several would stay is for the backfill's tests.
        writes = {(w.user, w.at, w.part): w for w in (self.write() for _ in range(count))}
        self.batch = list(writes.values())
        columns = {
            "user_id": pa.array([w.user for w in self.batch]),
            "timestamp": pa.array([w.at for w in self.batch], pa.timestamp("us", "UTC")),
            "part": pa.array([w.part for w in self.batch]),
            "whole": pa.array([w.whole for w in self.batch], pa.int64()),
            "real": pa.array([w.real for w in self.batch], pa.float64()),
            "word": pa.array([w.word for w in self.batch]),
        }
        pq.write_table(pa.table(columns), self.scene.batch_uri)

    def push(self, count: int, accepted: datetime) -> None:
        first = micros_of(accepted) + len(self.pushed)
        sequences = [first + number for number in range(count)]
        writes = [self.write() for _ in range(count)]
        # JSON knows no NaN.
        writes = [write._replace(real=_native(write.real)) for write in writes]
        self.scene.push(self.state, *writes, sequences=sequences)
        self.pushed += zip(writes, sequences, strict=True)

    def events(self, user: str, known_at: int | None = None) -> list[OracleEvent]:
        """Every write of a user, or those that were known at a time."""
        found = [
            self._event(write, -BATCH_SEQUENCE_OFFSET) for write in self.batch if write.user == user
        ]
        found += [
            self._event(write, sequence)
            for write, sequence in self.pushed
            if write.user == user and (known_at is None or sequence <= known_at)
        ]
        return found

    def _event(self, write: _Write, sequence: int) -> OracleEvent:
        identity = identity_hash([write.part] if self.view.event_key else [])
        real = None if write.real is None else Float64.from_native(write.real)
        values = {"part": write.part, "whole": write.whole, "real": real, "word": write.word}
        # Two parts of one time in one batch differ in their rank only: "a" before "b" by body.
        tie = int(sequence < 0 and write.part == "b")
        return OracleEvent(micros_of(write.at), identity, sequence, tie, values)


def _canonical(field: Field, value: Any) -> Any:
    if value is None or value is pd.NA:
        return None
    if isinstance(value, list):
        element = Field("", field.dtype.element_type)  # type: ignore[attr-defined]
        return [_canonical(element, item) for item in value]
    return field.dtype.from_native(value)


def _check(play: _Play, asked: pd.DataFrame, frame: pd.DataFrame, as_known: bool = False) -> None:
    view = play.view
    for row, event in enumerate(asked.itertuples()):
        at = micros_of(event.timestamp.to_pydatetime())
        known_at = at if as_known else None
        events = play.events(event.user_id, known_at) if event.user_id else []
        got = {
            field.name: _canonical(field, _native(frame[f"{view.name}__{field.name}"].iloc[row]))
            for field in view.features
        }
        found = differences(view, got, oracle(view, events, at), events, at)
        assert not found, (event, found)


def _native(value: Any) -> Any:
    # pandas spells a missing float as NaN; what a window holds is never NaN unless infinities meet.
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _questions(play: _Play, count: int) -> pd.DataFrame:
    draw = play.draw
    users = [draw.choice(("u1", "u2", "ü3", "nobody", None)) for _ in range(count)]
    minutes = [draw.randrange(-5, 180) for _ in range(count)]
    edges = [timedelta(microseconds=draw.choice((-1, 0, 0, 1))) for _ in range(count)]
    times = [utc(2, 10) + m * MINUTE + edge for m, edge in zip(minutes, edges, strict=True)]
    return pd.DataFrame(
        {
            "user_id": pd.Series(users, dtype=object),
            "timestamp": pd.Series(times, dtype="datetime64[us, UTC]"),
            "label": range(count),
        }
    )


@pytest.mark.parametrize("event_key", [(), ("part",)])
def test_windows_equal_brute_force(scene: Scene, event_key: tuple[str, ...]) -> None:
    """Batch rows, corrections and records that no job has taken: what any read finds is exact."""
    play = _Play(scene, event_key)
    play.write_batch(300)
    play.push(60, utc(2, 11))
    scene.backfill(play.state)
    play.push(60, utc(2, 12))
    scene.frontfill(play.state)
    play.push(60, utc(2, 13))
    asked = _questions(play, 80)
    frame = scene.train(play.state, asked).to_pandas()
    pd.testing.assert_frame_equal(frame[list(asked.columns)], asked)
    _check(play, asked, frame)
    _check(play, asked, scene.train(play.state, asked, from_source=True).to_pandas())
    known = scene.train(play.state, asked, as_known=True).to_pandas()
    _check(play, asked, known, as_known=True)


def test_a_spark_frame_keeps_its_columns(scene: Scene) -> None:
    """What Spark events carry passes through the windows unchanged."""
    play = _Play(scene, ())
    play.write_batch(40)
    scene.backfill(play.state)
    asked = scene.spark.sql(
        "select 'u1' as user_id, timestamp'2020-01-01 00:00:00' as timestamp, "
        "cast(1.50 as decimal(9,2)) as price, map('a', array(1, null)) as nested, "
        "named_struct('x', cast(null as date)) as part, binary('ab') as raw"
    )
    answered = scene.train(play.state, asked).to_spark()
    assert answered.columns[: len(asked.columns)] == asked.columns
    assert answered.select(*asked.columns).collect() == asked.collect()
    assert answered.count() == 1
