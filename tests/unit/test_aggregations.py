"""Time-window aggregations of definitions: rules, names, what is applied (contract §1)."""

# ruff: noqa: DTZ001 - definitions take naive times, which mean UTC

from __future__ import annotations

from datetime import datetime, timedelta
from math import nan
from pathlib import Path
from typing import Any

import pytest

from tecton import (
    Aggregation,
    Entity,
    FeatureService,
    PushConfig,
    StreamFeatureView,
    StreamProcessingMode,
    StreamSource,
)
from tecton.aggregates import default_name, function_of, spell_window
from tecton.aggregation_functions import (
    AggregationFunction,
    approx_count_distinct,
    approx_percentile,
    first,
    first_distinct,
    last,
    last_distinct,
)
from tecton.applied import AppliedView
from tecton.checks import check
from tecton.checks.aggregations import MOST_AGGREGATIONS, check_aggregations
from tecton.checks.findings import Finding
from tecton.checks.services import check_service
from tecton.checks.views import value_types
from tecton.resolve import resolve, with_referenced
from tecton.types import (
    Array,
    Bool,
    DataType,
    Field,
    Float64,
    Int64,
    Map,
    String,
    Struct,
    Timestamp,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
COLUMNS: dict[str, DataType] = {
    "flag": Bool,
    "clicked": Int64,
    "price": Float64,
    "url": String,
    "seen_at": Timestamp,
    "tags": Array(String),
    "pair": Struct([Field("a", Int64)]),
    "counts": Map(String, Int64),
}
SCHEMA = [
    Field("user_id", String),
    Field("timestamp", Timestamp),
    *(Field(name, dtype) for name, dtype in COLUMNS.items()),
]


def view(*aggregations: object, **changes: Any) -> StreamFeatureView:
    """A view that is right but for its aggregations and the changes."""
    source = StreamSource(name="impressions", schema=SCHEMA, stream_config=PushConfig())
    arguments = {
        "name": "clicks",
        "source": source,
        "entities": [Entity(name="user", join_keys="user_id")],
        "online": True,
        "feature_start_time": datetime(2022, 1, 1),
        "timestamp_field": "timestamp",
        "aggregations": list(aggregations),
    }
    return StreamFeatureView(**{**arguments, **changes})


def over(column: object = "clicked", function: object = "sum", **changes: Any) -> Aggregation:
    """An aggregation over an hour, with changes."""
    return Aggregation(**{"column": column, "function": function, "time_window": HOUR, **changes})


def findings(*aggregations: object, **changes: Any) -> list[Finding]:
    """What is wrong with a view's aggregations."""
    one = view(*aggregations, **changes)
    return list(check_aggregations(one, value_types(one)))


def applied(*aggregations: Aggregation, **changes: Any) -> AppliedView:
    """The view that is applied."""
    [found] = resolve(with_referenced([view(*aggregations, **changes)]), Path("/repo")).views
    return found


def test_documented_aggregations_are_right() -> None:
    """What a user of the documentation writes."""
    assert findings() == []
    assert findings(aggregations=None) == []
    assert [] == findings(
        Aggregation(column="clicked", function="sum", time_window=timedelta(hours=1)),
        Aggregation("clicked", "count", timedelta(days=3)),
        Aggregation("url", last_distinct(15), timedelta(days=7)),
        Aggregation("url", approx_count_distinct(), timedelta(minutes=1)),
        Aggregation("price", approx_percentile(percentile=0.5), timedelta(days=365)),
        Aggregation("price", "stddev", DAY, name="1_day_stddev"),
    )


NUMBERS = {"clicked", "price"}
ORDERED = {*NUMBERS, "url", "seen_at"}
SCALARS = {*ORDERED, "flag"}


@pytest.mark.parametrize(
    ("function", "right"),
    [
        ("count", set(COLUMNS)),
        ("sum", NUMBERS),
        ("mean", NUMBERS),
        ("stddev_pop", NUMBERS),
        ("stddev_samp", NUMBERS),
        ("stddev", NUMBERS),
        ("var_pop", NUMBERS),
        ("var_samp", NUMBERS),
        ("variance", NUMBERS),
        (approx_percentile(0.5), NUMBERS),
        ("min", ORDERED),
        ("max", ORDERED),
        ("last", SCALARS),
        (first(2), SCALARS),
        (last(2), SCALARS),
        (first_distinct(2), SCALARS),
        (last_distinct(2), SCALARS),
        (approx_count_distinct(), SCALARS),
    ],
)
def test_each_function_takes_the_types_it_can(function: object, right: set[str]) -> None:
    """Others are refused, with the types that would do."""
    found = {column: findings(over(column, function)) for column in COLUMNS}
    assert {column for column, wrong in found.items() if not wrong} == right
    for column, wrong in found.items():
        for finding in wrong:
            assert finding.field == "aggregations[0].function"
            assert f"but `{column}` is {COLUMNS[column]}" in finding.message


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("average", "expected one of `count`, `sum`"),
        ("SUM", "expected one of `count`, `sum`"),
        ("first", "`first` takes parameters; write first(n), imported from"),
        ("last_distinct", "write last_distinct(n), imported from tecton.aggregation_functions"),
        (last_distinct, "write last_distinct(n), imported from tecton.aggregation_functions"),
        (approx_percentile, "write approx_percentile(percentile, precision), imported"),
        (None, "saw null"),
        (3, "saw 3"),
        (["sum"], "saw an array of 1"),
        (AggregationFunction("sum", n=3), "expected one of `count`"),
        (AggregationFunction("median"), "expected one of `count`"),
        (AggregationFunction(["sum"]), "expected one of `count`"),  # type: ignore[arg-type]
        (AggregationFunction("last", n=3, precision=3), "expected one of `count`"),
        (first(0), "an integer from 1 to 1000 as `n` of first, saw 0"),
        (last(1001), "an integer from 1 to 1000 as `n` of last, saw 1001"),
        (last_distinct("3"), 'an integer from 1 to 1000 as `n` of last_distinct, saw "3"'),  # type: ignore[arg-type]
        (first_distinct(True), "an integer from 1 to 1000 as `n` of first_distinct, saw true"),
        (first_distinct(2.0), "as `n` of first_distinct, saw 2.0"),  # type: ignore[arg-type]
        (approx_count_distinct(3), "from 4 to 16 as `precision` of approx_count_distinct, saw 3"),
        (approx_count_distinct(17), "from 4 to 16"),
        (approx_percentile(0.5, 19), "from 20 to 500 as `precision` of approx_percentile, saw 19"),
        (approx_percentile(0.5, 501), "from 20 to 500"),
        (approx_percentile(50), "a number from 0 to 1 as `percentile` of approx_percentile"),
        (approx_percentile(-0.1), "a number from 0 to 1"),
        (approx_percentile(nan), "a number from 0 to 1"),
        (approx_percentile(True), "a number from 0 to 1"),
        (approx_percentile("p50"), "a number from 0 to 1"),  # type: ignore[arg-type]
    ],
)
def test_wrong_function(function: object, words: str) -> None:
    """One message says what was seen, what was expected and what to write."""
    [finding] = findings(over("clicked", function))
    assert finding.field == "aggregations[0].function"
    assert words in finding.message


@pytest.mark.parametrize(
    "function",
    [
        first(1),
        last(1000),
        approx_count_distinct(4),
        approx_count_distinct(16),
        approx_percentile(0, 20),
        approx_percentile(1, 500),
    ],
)
def test_bounds_of_parameters_are_inclusive(function: AggregationFunction) -> None:
    """The smallest and the greatest are right."""
    assert findings(over("clicked", function)) == []


@pytest.mark.parametrize(
    "window",
    [
        timedelta(seconds=59, microseconds=999_999),
        timedelta(days=365, microseconds=1),
        timedelta(0),
        -HOUR,
        3600,
        "1h",
        None,
    ],
)
def test_wrong_window(window: object) -> None:
    """From 1 minute to 365 days."""
    [finding] = findings(over(time_window=window))
    assert finding.field == "aggregations[0].time_window"
    assert "a timedelta from 1 minute to 365 days" in finding.message


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("user_id", "`user_id` says whose an event is, or when it was"),
        ("timestamp", "aggregate one of `flag`, `clicked`"),
        ("Clicked", '"Clicked" is not in the schema of StreamSource impressions (`flag`'),
        (3, "expected the name of a column, saw 3"),
        (None, "saw null"),
    ],
)
def test_wrong_column(column: object, words: str) -> None:
    """Only values are aggregated; join keys and timestamp are none."""
    [finding] = findings(over(column, "count"))
    assert finding.field == "aggregations[0].column"
    assert words in finding.message


@pytest.mark.parametrize(
    "name", ["", "a b", "a.b", "a-b", "é", "x" * 129, 3, "user_id", "timestamp", "_Date"]
)
def test_wrong_name(name: object) -> None:
    """Names become columns of training frames; those of others are taken."""
    [finding] = findings(over(name=name))
    assert finding.field == "aggregations[0].name"


def test_two_aggregations_of_one_name() -> None:
    """Two of one name are a plan error, also by default, also if only case differs."""
    [finding] = findings(over(), over("price"), over())
    assert finding.field == "aggregations[2].name"
    assert "`clicked_sum_1h_continuous` is the name of aggregations[0] too" in finding.message
    assert [("aggregations[1].name")] == [
        one.field for one in findings(over(name="x"), over(name="X"))
    ]
    other_precision = [over("url", approx_count_distinct(p)) for p in (8, 10)]
    assert [one.field for one in findings(*other_precision)] == ["aggregations[1].name"]
    assert findings(over(name="a"), over(name="b")) == []


def test_default_name_that_is_too_long() -> None:
    """It asks for a name."""
    [finding] = findings(over("price", approx_percentile(1e-100)))
    assert "is no feature name" in finding.message
    assert finding.message.endswith("give it a `name`")


@pytest.mark.parametrize("given", ["sum", over(), {"a": over()}, 3])
def test_aggregations_of_another_kind(given: object) -> None:
    """A list, also of one."""
    assert [one.field for one in findings(aggregations=given)] == ["aggregations"]


def test_element_that_is_no_aggregation() -> None:
    """Its place is told."""
    assert [one.field for one in findings(over(), "sum")] == ["aggregations[1]"]


def test_too_many_aggregations() -> None:
    """A bound on what a read of one key costs."""
    many = [over(time_window=timedelta(minutes=1 + n)) for n in range(MOST_AGGREGATIONS + 1)]
    assert [one.field for one in findings(*many)] == ["aggregations"]
    assert findings(*many[1:]) == []


def test_ttl_with_aggregations_is_refused() -> None:
    """`ttl` together with `aggregations` is an error (contract §1)."""
    assert [one.field for one in findings(over(), ttl=DAY)] == ["ttl"]
    assert findings(ttl=DAY) == []


@pytest.mark.parametrize(
    "changes", [{"source": None}, {"entities": None}, {"entities": ["a"]}, {"timestamp_field": "x"}]
)
def test_nothing_is_said_of_columns_that_are_not_known(changes: dict[str, Any]) -> None:
    """What is wrong with the source or the entities is told there, all else here."""
    assert [] == findings(over("missing", "count"), over(name="user_id"), **changes)
    assert [one.field for one in findings(over(time_window=3), **changes)] == [
        "aggregations[0].time_window"
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"aggregation_interval": timedelta(0)}, None),
        ({"aggregation_interval": HOUR}, "aggregation_interval"),
        ({"stream_processing_mode": StreamProcessingMode.CONTINUOUS}, None),
        ({"stream_processing_mode": StreamProcessingMode.TIME_INTERVAL}, "stream_processing_mode"),
    ],
)
def test_windows_move_with_every_event(changes: dict[str, Any], field: str | None) -> None:
    """Steps would change the values, so they are refused with one sentence."""
    problems = check([view(**changes)], Path("/repo"))
    assert [problem.field for problem in problems] == ([field] if field else [])


# Names


@pytest.mark.parametrize(
    ("column", "function", "window", "name"),
    [
        ("clicked", "sum", HOUR, "clicked_sum_1h_continuous"),
        ("clicked", "count", timedelta(days=3), "clicked_count_3d_continuous"),
        ("x", "mean", timedelta(hours=24), "x_mean_1d_continuous"),
        ("x", "max", timedelta(minutes=90), "x_max_90m_continuous"),
        ("x", "min", timedelta(seconds=61), "x_min_61s_continuous"),
        ("x", "last", DAY, "x_last_1d_continuous"),
        ("x", "stddev", DAY, "x_stddev_samp_1d_continuous"),
        ("x", "variance", DAY, "x_var_samp_1d_continuous"),
        ("x", "var_pop", DAY, "x_var_pop_1d_continuous"),
        ("x", last(3), DAY, "x_last_3_1d_continuous"),
        ("x", first(1), DAY, "x_first_1_1d_continuous"),
        ("url", last_distinct(15), timedelta(days=7), "url_last_distinct_15_7d_continuous"),
        ("url", first_distinct(2), DAY, "url_first_distinct_2_1d_continuous"),
        ("x", approx_count_distinct(), DAY, "x_approx_count_distinct_1d_continuous"),
        ("x", approx_count_distinct(10), DAY, "x_approx_count_distinct_1d_continuous"),
        ("x", approx_percentile(0.5), DAY, "x_approx_percentile_p0_5_1d_continuous"),
        ("x", approx_percentile(0.99, 200), DAY, "x_approx_percentile_p0_99_1d_continuous"),
        ("x", approx_percentile(1), DAY, "x_approx_percentile_p1_0_1d_continuous"),
        ("x", approx_percentile(1e-5), DAY, "x_approx_percentile_p0_00001_1d_continuous"),
    ],
)
def test_default_names(column: str, function: object, window: timedelta, name: str) -> None:
    """`{column}_{function}_{window}_continuous`, durations in the largest whole unit."""
    found = function_of(function)
    assert found is not None
    assert default_name(column, found, window) == name


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (timedelta(days=365), "365d"),
        (timedelta(hours=36), "36h"),
        (timedelta(hours=1, microseconds=1), "3600000001us"),
        (timedelta(minutes=1, milliseconds=500), "60500ms"),
    ],
)
def test_windows_are_spelled_in_their_largest_whole_unit(window: timedelta, text: str) -> None:
    """Also those that nobody writes."""
    assert spell_window(window) == text


# What is applied


def test_aggregations_are_applied_sorted_by_name() -> None:
    """With functions by their own names, and the row's columns as they are."""
    found = applied(
        over("url", last_distinct(15)),
        over("price", "variance"),
        over("clicked", approx_percentile(1), name="all"),
    )
    assert [
        (one.name, one.column, one.function, one.n, one.precision, one.percentile)
        for one in found.aggregations
    ] == [
        ("all", "clicked", "approx_percentile", None, 100, 1.0),
        ("price_var_samp_1h_continuous", "price", "var_samp", None, None, None),
        ("url_last_distinct_15_1h_continuous", "url", "last_distinct", 15, None, None),
    ]
    assert type(found.aggregations[0].percentile) is float
    assert [column.name for column in found.columns] == list(COLUMNS)
    assert found.ttl is None
    assert [str(feature.dtype) for feature in found.features] == [
        "Float64",
        "Float64",
        "Array(String)",
    ]


def test_service_takes_aggregates_by_name() -> None:
    """`view[["feature"]]` names aggregates, no columns; without it all are taken."""
    one = view(over(), over("price"))
    sums = ("clicked_sum_1h_continuous", "price_sum_1h_continuous")
    right = FeatureService(name="svc", features=[one[[sums[1]]]])
    assert list(check_service(right)) == []
    [finding] = check_service(FeatureService(name="svc", features=[one[["clicked"]]]))
    assert 'clicks has no feature "clicked" (its features: ' in finding.message
    [taken] = resolve(with_referenced([right]), Path("/repo")).services[0].views
    assert taken.features == sums[1:]
    whole = FeatureService(name="svc", features=[one])
    assert resolve(with_referenced([whole]), Path("/repo")).services[0].views[0].features == sums


def test_service_of_a_view_with_wrong_aggregations_is_left_alone() -> None:
    """What is wrong is told at the view, once."""
    one = view(over(function="median"))
    assert list(check_service(FeatureService(name="svc", features=[one[["x"]]]))) == []
