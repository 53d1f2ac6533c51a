"""
The case tables of `tests/cases/windows.json`, for every way in which events come and go.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tecton.aggregates import default_name
from tecton.aggregation_functions import AggregationFunction
from tecton.applied import AppliedAggregation, AppliedSource, AppliedView
from tecton.testing import build_source, build_view
from tecton.types import Bool, DataType, Field, Float64, Int64, String, Timestamp

_FILE = json.loads((Path(__file__).parent / "cases" / "windows.json").read_text("utf-8"))
_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "us": timedelta(microseconds=1),
}
_TYPES: Mapping[str, DataType] = {
    "Bool": Bool,
    "Float64": Float64,
    "Int64": Int64,
    "String": String,
    "Timestamp": Timestamp,
}
_SUFFIX = "_continuous"
EVENT_KEYS: Sequence[tuple[str, ...]] = ((), ("part", "y"))
"""Those of the cases' sources."""
COLUMNS = [Field(name, _TYPES[dtype]) for name, dtype in _FILE["columns"].items()]
FIELDS = [Field("user_id", String), Field("timestamp", Timestamp), *COLUMNS]
"""The schema of the cases' sources; the join key is the case."""


class Row(NamedTuple):
    """One record or batch row: when, and its canonical values by column."""

    at: timedelta
    values: Mapping[str, Any]


class Query(NamedTuple):
    """What must be answered at a time: features by name, Canonical values."""

    at: timedelta
    expected: Mapping[str, Any]


class Case(NamedTuple):
    """One table.

    Args:
        name: The rule that it shows; its join key.
        event_key: Of its source.
        arrive: "either", "pushed" or "batch".
        batch: Rows of the batch source beside the records.
        records: In the order of their coming.
        queries: In any order of time.
    """

    name: str
    event_key: tuple[str, ...]
    arrive: str
    batch: Sequence[Row]
    records: Sequence[Row]
    queries: Sequence[Query]

    @property
    def can_be_pushed(self) -> bool:
        """May its records be pushed?"""
        return self.arrive != "batch"

    @property
    def can_be_batch(self) -> bool:
        """May its records be rows of a batch source?"""
        return self.arrive != "pushed"

    def online_queries(self) -> Iterator[Query]:
        """Those that can be asked online: windows never end before the newest event (§1)."""
        newest = max(row.at for row in (*self.batch, *self.records))
        return (query for query in self.queries if query.at >= newest)


def duration(text: str) -> timedelta:
    """`-1h+1us` as a duration."""
    parts = re.findall(r"([+-]?)(\d+)(d|h|m|us|s)", text)
    if "".join(map("".join, parts)) != text and text != "0":
        raise ValueError(f"not a duration: {text}")
    return sum(
        (_UNITS[unit] * int(number) * (-1 if sign == "-" else 1) for sign, number, unit in parts),
        timedelta(0),
    )


def _rows(listed: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows = []
    for given in listed:
        first, every = duration(given["at"]), duration(given.get("every", "0"))
        values = {field.name: given.get(field.name) for field in COLUMNS}
        unknown = given.keys() - values.keys() - {"at", "times", "every"}
        assert not unknown, unknown
        rows += [Row(first + number * every, values) for number in range(given.get("times", 1))]
    return rows


def _case(given: Mapping[str, Any]) -> Case:
    queries = [
        Query(
            duration(query["at"]),
            {f"{name}{_SUFFIX}": value for name, value in query.items() if name != "at"},
        )
        for query in given["queries"]
    ]
    return Case(
        given["name"],
        tuple(given.get("event_key", ())),
        given.get("arrive", "either"),
        _rows(given.get("batch", ())),
        _rows(given["records"]),
        queries,
    )


def _function(label: str) -> AggregationFunction:
    """The function that a name of a feature tells."""
    if label == "approx_count_distinct":
        return AggregationFunction(label, precision=8)
    if label.startswith("approx_percentile_p"):
        part = float(label.removeprefix("approx_percentile_p").replace("_", "."))
        return AggregationFunction("approx_percentile", percentile=part, precision=100)
    kind, _, n = label.rpartition("_")
    return AggregationFunction(kind, n=int(n)) if n.isdigit() else AggregationFunction(label)


def _aggregations() -> tuple[AppliedAggregation, ...]:
    found = []
    for given in _FILE["aggregations"]:
        for label in given["functions"]:
            for window in given["windows"]:
                function = _function(label)
                name = default_name(given["column"], function, duration(window))
                assert name == f"{given['column']}_{label}_{window}{_SUFFIX}"
                found.append(
                    AppliedAggregation(
                        name=name,
                        column=given["column"],
                        function=function.kind,
                        time_window=duration(window),
                        n=function.n,
                        precision=function.precision,
                        percentile=function.percentile,
                    )
                )
    return tuple(sorted(found, key=lambda aggregation: aggregation.name))


CASES = [_case(given) for given in _FILE["cases"]]
AGGREGATIONS = _aggregations()


def source_of(event_key: Sequence[str], **changes: Any) -> AppliedSource:
    """A source of the cases' records."""
    name = "_".join(["cases", *event_key])
    return build_source(name, FIELDS, event_key=tuple(event_key), **changes)


def view_of(source: AppliedSource, **changes: Any) -> AppliedView:
    """The view of all that the cases ask for."""
    name = f"{source.name}_fv"
    return build_view(source, name, aggregations=AGGREGATIONS, ttl=None, **changes)


def native(row: Row, moment: datetime) -> dict[str, Any]:
    """A row as a batch source or Python has it, but for its join key."""
    values = {
        field.name: None if value is None else field.dtype.to_native(value)
        for field, value in ((field, row.values[field.name]) for field in COLUMNS)
    }
    return {**values, "timestamp": moment + row.at}


def wrong(expected: Mapping[str, Any], got: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Features of which *got* is not what is expected."""
    return {
        name: (got[name], value)
        for name, value in expected.items()
        if not _is_same(got[name], value)
    }


def _is_same(got: Any, expected: Any) -> bool:
    if isinstance(got, float) and isinstance(expected, float):
        return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-12)
    return type(got) is type(expected) and bool(got == expected)
