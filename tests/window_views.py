"""Aggregating views and random events for them, for the tests of every host of the algebra."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tecton.applied import AppliedAggregation, AppliedView
from tecton.packed import pack_values
from tecton.testing import build_source, build_view
from tecton.timestamps import format_micros
from tecton.types import Array, Bool, DataType, Field, Float64, Int64, String, Timestamp
from tecton.windows import Events, algebra_of, unpack
from tests.oracle import OracleEvent

NUMERIC = ("sum", "mean", "var_pop", "var_samp", "stddev_pop", "stddev_samp")
PLAIN = ("last", "approx_count_distinct")
LISTS = ("first", "last", "first_distinct", "last_distinct")
START = 1_600_000_000_000_000
"""Around when random events are, µs since the epoch."""
COLUMNS: Mapping[str, DataType] = {
    "integer": Int64,
    "number": Float64,
    "text": String,
    "flag": Bool,
    "moment": Timestamp,
    "numbers": Array(Int64),
}
"""One of each kind."""


def aggregation(column: str, function: str, window: int, **parameters: Any) -> AppliedAggregation:
    """An aggregation over a window in µs; its name says all of it."""
    spelled = "".join(f"_{value}" for value in parameters.values())
    return AppliedAggregation(
        name=f"{column}_{function}{spelled}_{window}",
        column=column,
        function=function,
        time_window=timedelta(microseconds=window),
        **parameters,
    )


def every_function(
    columns: Mapping[str, DataType] = COLUMNS,
    windows: Sequence[int] = (60, 7, 400),
    counts: Sequence[int] = (1, 3),
    precisions: Sequence[int] = (4, 9),
    percentiles: Sequence[float] = (0.0, 0.5, 0.93, 1.0),
) -> list[AppliedAggregation]:
    """Every function of every column that takes it, over every window."""
    made = []
    for column, dtype in columns.items():
        for window in windows:
            made.append(aggregation(column, "count", window))
            if isinstance(dtype, Array):
                continue
            made.append(aggregation(column, "last", window))
            made += [aggregation(column, f, window, n=n) for f in LISTS for n in counts]
            made += [
                aggregation(column, "approx_count_distinct", window, precision=p)
                for p in precisions
            ]
            if dtype != Bool:
                made += [aggregation(column, f, window) for f in ("min", "max")]
            if dtype in (Int64, Float64):
                made += [aggregation(column, f, window) for f in NUMERIC]
                made += [
                    aggregation(column, "approx_percentile", window, precision=20, percentile=p)
                    for p in percentiles
                ]
    return made


def windows_view(
    columns: Mapping[str, DataType],
    aggregations: Iterable[AppliedAggregation],
    event_key: Sequence[str] = (),
) -> AppliedView:
    """An aggregating view of records with `user_id`, `timestamp` and *columns*."""
    fields = [Field("user_id", String), Field("timestamp", Timestamp)]
    fields += [Field(name, dtype) for name, dtype in columns.items()]
    by_name = tuple(sorted(aggregations, key=lambda aggregation: aggregation.name))
    source = build_source(fields=fields, event_key=tuple(event_key))
    return build_view(source, aggregations=by_name, ttl=None)


_FIXED = {name: dtype for name, dtype in COLUMNS.items() if dtype != String}
VIEWS: Mapping[str, AppliedView] = {
    "strings": windows_view(COLUMNS, every_function()),
    "event key": windows_view(COLUMNS, every_function(), event_key=("integer",)),
    "fixed width": windows_view(_FIXED, every_function(_FIXED)),
}
"""Every function, in views whose events are stored in different ways."""

_moments = st.integers(0, 500).map(lambda n: format_micros(START + n % 7 * 10**9))
VALUES: Mapping[DataType, st.SearchStrategy[Any]] = {
    Int64: st.sampled_from([0, 1, -1, 7, 2**63 - 1, -(2**63), 2**53 + 1])
    | st.integers(-(2**63), 2**63 - 1),
    Float64: st.sampled_from([0.0, -0.0, 1.0, 1e16, -1e16, 0.1, 1.7e308, -1.7e308, 5e-324])
    | st.sampled_from([1.0, 2.0, 1e16, "NaN"])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["Infinity", "-Infinity", 2.5]),
    String: st.sampled_from(["", "a", "b", "é", "\U0001f600", "￿"]) | st.text(max_size=5),
    Bool: st.booleans(),
    Timestamp: _moments,
    Array(Int64): st.lists(st.none() | st.integers(0, 3), max_size=2),
}
"""Canonical values of each type, with those that break things well represented."""


def streams(
    view: AppliedView, span: int = 450, most: int = 25
) -> st.SearchStrategy[list[OracleEvent]]:
    """Events of one key in random order, with ties, nulls and corrections, from `START` on."""
    values = {field.name: st.none() | VALUES[field.dtype] for field in view.value_fields}
    identities = [b"one_____", b"two_____", b"\xff" * 8] if view.event_key else [b""]
    offsets = st.integers(0, span) | st.integers(0, 6).map(lambda n: n * span // 6)
    event = st.builds(
        OracleEvent,
        offsets.map(START.__add__),
        st.sampled_from(identities),
        st.integers(-3, 5) | st.integers(-(2**53), 2**53),
        st.integers(0, 2) if view.event_key else st.just(0),
        st.fixed_dictionaries(values),
    )
    return st.lists(event, max_size=most)


def unpacked(view: AppliedView, events: Sequence[OracleEvent]) -> Events:
    """Events that are kept, from their packed bytes as a store has them."""
    keyed = {}
    if view.event_key:
        identities = b"".join(event.identity for event in events)
        keyed = {
            "sequences": np.array([event.sequence for event in events], np.int64),
            "ties": np.array([event.tie for event in events], np.int64),
            "identities": np.frombuffer(identities, ">u8").astype(np.uint64),
        }
    return unpack(
        algebra_of(view).layout,
        np.array([event.timestamp for event in events], np.int64),
        [pack_values(view, event.values) for event in events],
        **keyed,
    )
