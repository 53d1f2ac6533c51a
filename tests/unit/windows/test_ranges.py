"""Many queries at once over sorted events answer what brute force does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecton.applied import AppliedView
from tecton.types import Field
from tecton.windows import algebra_of
from tecton.windows.arrow import events_of
from tecton.windows.events import Events
from tecton.windows.ranges import aggregate_ranges
from tests.oracle import OracleEvent, differences, kept, oracle
from tests.window_views import START, VIEWS, streams

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
@settings(max_examples=40, deadline=None)
def test_ranges_answer_what_brute_force_gives(view: AppliedView, data: st.DataObject) -> None:
    """For random keys and times every feature is the oracle's."""
    keys = data.draw(st.lists(st.tuples(streams(view), times), max_size=3))
    got = answers(view, keys)
    asked = [(events, t) for events, queries in keys for t in queries]
    for features, (events, t) in zip(got, asked, strict=True):
        expected = oracle(view, events, t)
        assert {} == differences(view, features, expected, events, t)
