"""
Aggregations as definitions write them → aggregations as they are applied, by the documented names.

Works on aggregations that `tecton.checks` has found right, but for `function_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from tecton.aggregation_functions import AggregationFunction
from tecton.applied import AppliedAggregation
from tecton.definitions import Aggregation
from tecton.timestamps import MICROSECOND

NAMED_FUNCTIONS = (
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "last",
    "stddev_pop",
    "stddev_samp",
    "var_pop",
    "var_samp",
)
"""Functions without parameters, which definitions give by name."""

ALIASES: Mapping[str, str] = {"stddev": "stddev_samp", "variance": "var_samp"}
"""Other names that the documented system takes."""

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "approx_count_distinct": ("precision",),
    "approx_percentile": ("percentile", "precision"),
    "first": ("n",),
    "first_distinct": ("n",),
    "last": ("n",),
    "last_distinct": ("n",),
}
"""What the functions of `tecton.aggregation_functions` take."""

_ALL_PARAMETERS = ("n", "precision", "percentile")
_UNITS = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
    ("us", MICROSECOND),
)


def function_of(given: object) -> AggregationFunction | None:
    """The function that an `Aggregation` names; None if there is none like it."""
    if isinstance(given, str):
        name = ALIASES.get(given, given)
        return AggregationFunction(name) if name in NAMED_FUNCTIONS else None
    if not isinstance(given, AggregationFunction) or not isinstance(given.kind, str):
        return None
    parameters = {name for name in _ALL_PARAMETERS if getattr(given, name) is not None}
    if not parameters and given.kind in NAMED_FUNCTIONS:
        return given
    is_known = given.kind in PARAMETERS and parameters.issubset(PARAMETERS[given.kind])
    return given if is_known else None


def applied_aggregation(aggregation: Aggregation) -> AppliedAggregation:
    """An aggregation with its function and its name spelled out."""
    function = function_of(aggregation.function)
    assert function is not None, "it has been checked"  # noqa: S101  # by `tecton.checks`
    # Adding 0.0 makes a float of an int, and 0.0 of -0.0.
    percentile = None if function.percentile is None else function.percentile + 0.0
    return AppliedAggregation(
        name=aggregation.name
        or default_name(aggregation.column, function, aggregation.time_window),
        column=aggregation.column,
        function=function.kind,
        time_window=aggregation.time_window,
        n=function.n,
        precision=function.precision,
        percentile=percentile,
    )


def default_name(column: str, function: AggregationFunction, window: timedelta) -> str:
    """The feature name of an aggregation without one, as `clicked_sum_1h_continuous`."""
    return f"{column}_{_label(function)}_{spell_window(window)}_continuous"


def _label(function: AggregationFunction) -> str:
    """A function in names: with what decides its value, without what decides its precision."""
    if function.percentile is not None:
        digits = format(Decimal(repr(function.percentile + 0.0)), "f")
        return f"{function.kind}_p{digits.replace('.', '_')}"
    return function.kind if function.n is None else f"{function.kind}_{function.n}"


def spell_window(window: timedelta) -> str:
    """A duration in its largest whole unit: `1d` for 24 hours, `90m`."""
    unit, length = next(pair for pair in _UNITS if window % pair[1] == timedelta(0))
    return f"{window // length}{unit}"
