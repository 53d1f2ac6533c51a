"""
The rules of time-window aggregations (docs/decisions/0028).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from tecton import aggregation_functions
from tecton.aggregates import (
    ALIASES,
    NAMED_FUNCTIONS,
    PARAMETERS,
    applied_aggregation,
    function_of,
)
from tecton.aggregation_functions import AggregationFunction
from tecton.checks.findings import Finding, Findings, expected
from tecton.checks.schemas import SCALARS, listed
from tecton.definitions import Aggregation, StreamFeatureView
from tecton.names import FEATURE_NAME_RULE, RESERVED_COLUMNS, is_feature_name
from tecton.resolve import join_keys_of, timestamp_of
from tecton.types import DataType, Float64, Int64, String, Timestamp, show

MOST_AGGREGATIONS = 200
"""In one view: a bound on what a read of one key costs."""

SHORTEST_WINDOW = timedelta(minutes=1)
LONGEST_WINDOW = timedelta(days=365)
MOST_VALUES = 1000
PRECISIONS: Mapping[str, tuple[int, int]] = {
    "approx_count_distinct": (4, 16),
    "approx_percentile": (20, 500),
}

_NUMBERS: Sequence[DataType] = (Int64, Float64)
_ORDERED: Sequence[DataType] = (Int64, Float64, String, Timestamp)
INPUTS: Mapping[str, Sequence[DataType]] = {
    "sum": _NUMBERS,
    "mean": _NUMBERS,
    "stddev_pop": _NUMBERS,
    "stddev_samp": _NUMBERS,
    "var_pop": _NUMBERS,
    "var_samp": _NUMBERS,
    "approx_percentile": _NUMBERS,
    "min": _ORDERED,
    "max": _ORDERED,
    "first": SCALARS,
    "last": SCALARS,
    "first_distinct": SCALARS,
    "last_distinct": SCALARS,
    "approx_count_distinct": SCALARS,
}
"""The types that functions take; `count` takes every type."""


def check_aggregations(view: StreamFeatureView, values: Mapping[str, DataType]) -> Findings:
    """
    The rules of a view's aggregations.

    Args:
        view: The view.
        values: The columns of its rows, neither join keys nor timestamp; none if what they are is
            wrong itself, so that nothing is said of columns.
    """
    given = view.aggregations
    if given is None:
        return
    if not isinstance(given, (list, tuple)):
        yield expected("aggregations", "a list of Aggregation", given)
        return
    if given and view.ttl is not None:
        yield Finding(
            "ttl",
            "says how old a served event may be, but of aggregates each time_window says so; leave "
            "`ttl` out",
        )
    if len(given) > MOST_AGGREGATIONS:
        yield Finding(
            "aggregations",
            f"there are {len(given)}, expected at most {MOST_AGGREGATIONS}; spread them over "
            "several views",
        )
        return
    right = {}
    for number, aggregation in enumerate(given):
        place = f"aggregations[{number}]"
        findings = list(_aggregation(aggregation, place, view, values))
        yield from findings
        if not findings:
            right[place] = applied_aggregation(aggregation).name
    yield from _names(right, _identifying(view) if values else frozenset())


def _aggregation(
    aggregation: object, place: str, view: StreamFeatureView, values: Mapping[str, DataType]
) -> Findings:
    if not isinstance(aggregation, Aggregation):
        yield expected(place, "Aggregation(column, function, time_window)", aggregation)
        return
    function = function_of(aggregation.function)
    if function is None:
        yield _no_function(f"{place}.function", aggregation.function)
    else:
        yield from _parameters(f"{place}.function", function)
    window = aggregation.time_window
    if not isinstance(window, timedelta) or not SHORTEST_WINDOW <= window <= LONGEST_WINDOW:
        yield expected(f"{place}.time_window", "a timedelta from 1 minute to 365 days", window)
    if aggregation.name is not None and not is_feature_name(aggregation.name):
        yield expected(f"{place}.name", f"a feature name ({FEATURE_NAME_RULE})", aggregation.name)
    if not isinstance(aggregation.column, str):
        yield expected(f"{place}.column", "the name of a column", aggregation.column)
    elif values:
        yield from _column(aggregation.column, place, function, view, values)


def _no_function(field: str, given: object) -> Finding:
    """What is no function, and the right spelling if it is nearly one."""
    names = [given] if isinstance(given, str) else []
    names += [name for name in PARAMETERS if given is getattr(aggregation_functions, name)]
    uncalled = [name for name in names if name in PARAMETERS]
    if uncalled:
        name = uncalled[0]
        call = f"{name}({', '.join(PARAMETERS[name])})"
        return Finding(
            field,
            f"`{name}` takes parameters; write {call}, imported from tecton.aggregation_functions",
        )
    return Finding(
        field,
        f"expected one of {listed((*NAMED_FUNCTIONS, *ALIASES))}, or a function of "
        f"tecton.aggregation_functions as last_distinct(15), saw {show(given)}; correct it",
    )


def _parameters(field: str, function: AggregationFunction) -> Findings:
    if function.kind in NAMED_FUNCTIONS and function.n is None:
        return
    for name in PARAMETERS[function.kind]:
        seen = getattr(function, name)
        if name == "percentile":
            is_right, rule = _is_part(seen), "a number from 0 to 1"
        else:
            least, most = PRECISIONS[function.kind] if name == "precision" else (1, MOST_VALUES)
            is_right = type(seen) is int and least <= seen <= most
            rule = f"an integer from {least} to {most}"
        if not is_right:
            yield expected(field, f"{rule} as `{name}` of {function.kind}", seen)


def _is_part(value: object) -> bool:
    """Is it a number from 0 to 1? NaN is none, and neither are True and False."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _column(
    column: str,
    place: str,
    function: AggregationFunction | None,
    view: StreamFeatureView,
    values: Mapping[str, DataType],
) -> Findings:
    if column in _identifying(view):
        yield Finding(
            f"{place}.column",
            f"`{column}` says whose an event is, or when it was, and is no value of it; aggregate "
            f"one of {listed(values)}",
        )
    elif column not in values:
        yield Finding(
            f"{place}.column",
            f"{show(column)} is not in the schema of StreamSource {view.source.name} "
            f"({listed(values)}); add it there or correct the name",
        )
    elif function is not None and values[column] not in INPUTS.get(function.kind, [values[column]]):
        takes = ", ".join(str(dtype) for dtype in INPUTS[function.kind])
        yield Finding(
            f"{place}.function",
            f"{function.kind} takes {takes}, but `{column}` is {values[column]}; choose another "
            "function or column",
        )


def _names(names: Mapping[str, str], taken: frozenset[str]) -> Findings:
    """The rules of feature names; case does not count, as columns of a training frame."""
    first: dict[str, str] = {}
    for place, name in names.items():
        other = first.setdefault(name.casefold(), place)
        if other != place:
            yield Finding(
                f"{place}.name",
                f"`{name}` is the name of {other} too (case does not count); give one of them "
                "another `name`",
            )
        elif not is_feature_name(name):
            yield Finding(
                f"{place}.name",
                f"the default `{name}` is no feature name ({FEATURE_NAME_RULE}); give it a `name`",
            )
        elif name.lower() in RESERVED_COLUMNS or name in taken:
            yield Finding(
                f"{place}.name",
                f"`{name}` is a join key, the timestamp or a column of the system; choose another "
                "`name`",
            )


def _identifying(view: StreamFeatureView) -> frozenset[str]:
    """Join keys and timestamp."""
    return frozenset((*join_keys_of(view), timestamp_of(view)))
