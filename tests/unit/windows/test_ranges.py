"""Many queries at once over sorted events answer what brute force does."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecton.applied import AppliedView
from tecton.types import Field, Float64, Int64, String
from tecton.windows import algebra_of
from tecton.windows.arrow import events_of
from tecton.windows.events import Events
from tecton.windows.ranges import aggregate_ranges
from tests.oracle import OracleEvent, differences, kept, oracle
from tests.window_views import START, VIEWS, every_function, streams, windows_view

LONG = timedelta(days=1)
times = st.lists(st.integers(START, START + 900), max_size=6)


def from_arrow(view: AppliedView, events: list[OracleEvent]) -> Events:
    """Events of sorted rows, from the columns that Spark hands over."""
    columns = [
        pa.array([_native(field, event) for event in events], field.dtype.arrow())
        for field in view.aggregated_fields
    ]
    timestamps = np.array([event.timestamp for event in events], np.int64)
    return events_of(algebra_of(view).layout, columns, timestamps)


def _native(field: Field, event: OracleEvent) -> Any:
    value = event.values[field.name]
    return None if value is None else field.dtype.to_native(value)


def answers(
    view: AppliedView, keys: list[tuple[list[OracleEvent], list[int]]]
) -> list[dict[str, Any]]:
    """The features of each query, key after key: all keys go through the kernel together."""
    algebra = algebra_of(view)
    starts: list[list[int]] = [[] for _ in algebra.windows]
    stops: list[int] = []
    rows: list[OracleEvent] = []
    for events, queries in keys:
        own = kept(view, events)
        moments = np.array([event.timestamp for event in own], np.int64)
        for t in queries:
            stops.append(len(rows) + int(np.searchsorted(moments, t, "right")))
            for window, begins in zip(algebra.windows, starts, strict=True):
                begins.append(len(rows) + int(np.searchsorted(moments, t - window, "right")))
        rows += own
    columns = aggregate_ranges(
        algebra,
        from_arrow(view, rows),
        [np.array(begins, np.int64) for begins in starts],
        np.array(stops, np.int64),
    )
    dtypes = {feature.name: feature.dtype for feature in view.features}
    assert {name: dtype.arrow() for name, dtype in dtypes.items()} == {
        name: column.type for name, column in columns.items()
    }
    lists = {name: column.to_pylist() for name, column in columns.items()}
    return [
        {
            name: None if values[i] is None else dtypes[name].from_native(values[i])
            for name, values in lists.items()
        }
        for i in range(len(stops))
    ]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_ranges_answer_what_brute_force_gives(view: AppliedView, data: st.DataObject) -> None:
    """For random keys and times every feature is the oracle's."""
    keys = data.draw(st.lists(st.tuples(streams(view), times), max_size=3))
    got = answers(view, keys)
    asked = [(events, t) for events, queries in keys for t in queries]
    for features, (events, t) in zip(got, asked, strict=True):
        expected = oracle(view, events, t)
        assert {} == differences(view, features, expected, events, t)


def test_long_ranges_answer_what_brute_force_gives() -> None:
    """Thousands of events, so that trees have many levels: some queries against the oracle."""
    rng = random.Random(7)
    columns = {"integer": Int64, "number": Float64, "text": String}
    view = windows_view(
        columns,
        every_function(columns, (40, 3_000), counts=(50,), precisions=(8,), percentiles=(0.3,)),
    )
    keys = [
        (
            [
                OracleEvent(START + rng.randrange(4_000), b"", i, 0, random_values(rng))
                for i in range(size)
            ],
            [START + rng.randrange(6_000) for _ in range(6)],
        )
        for size in (3_000, 1, 700)
    ]
    got = answers(view, keys)
    asked = [(events, t) for events, queries in keys for t in queries]
    for features, (events, t) in zip(got, asked, strict=True):
        assert {} == differences(view, features, oracle(view, events, t), events, t)


def random_values(rng: random.Random) -> dict[str, Any]:
    """Canonical values with nulls, large and small."""
    return {
        "integer": rng.choice([None, rng.randrange(50), rng.randrange(-(2**62), 2**62)]),
        "number": rng.choice([None, rng.random(), rng.gauss(0, 1e9), 1e16, -1e16]),
        "text": rng.choice([None, f"v{rng.randrange(200)}"]),
    }


def test_ranges_that_do_not_ascend_are_answered_all_the_same() -> None:
    """Ranges of any lengths, in any order: only slower."""
    rng = random.Random(3)
    view = windows_view({"integer": Int64}, every_function({"integer": Int64}, windows=(10,)))
    values = [{"integer": rng.randrange(30)} for _ in range(200)]
    events = [OracleEvent(START + i, b"", 0, 0, values[i]) for i in range(200)]
    ranges = [sorted(rng.choices(range(201), k=2)) for _ in range(50)]
    starts, stops = np.array(ranges).T
    columns = aggregate_ranges(algebra_of(view), from_arrow(view, events), [starts], stops)
    for name in ("integer_approx_count_distinct_9_10", "integer_last_distinct_3_10"):
        got = columns[name].to_pylist()
        for i, (start, stop) in enumerate(ranges):
            inside = events[start:stop]
            [feature] = [a for a in view.aggregations if a.name == name]
            wide = [msgspec.structs.replace(feature, time_window=LONG)]
            expected = oracle(windows_view({"integer": Int64}, wide), inside, START + 200)
            assert expected == {name: got[i]}
