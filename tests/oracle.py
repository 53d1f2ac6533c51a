"""
What every aggregate must be, by brute force in plain Python, and what may differ from it.

Events are tuples (timestamp µs, identity, sequence, tie, canonical values by column), in any
order. Nothing here is shared with the code under test but what `approx_count_distinct` is by
definition: the hash of a value and the estimate from registers.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from tecton.applied import AppliedAggregation, AppliedView
from tecton.packed import pack_values
from tecton.timestamps import parse_rfc3339
from tecton.types import Float64, Int64, Timestamp
from tecton.windows.registers import estimate, hash_of


class OracleEvent(NamedTuple):
    """An event of one key, as it was offered."""

    timestamp: int
    identity: bytes
    sequence: int
    tie: int
    values: Mapping[str, Any]


def kept(view: AppliedView, events: Iterable[OracleEvent]) -> list[OracleEvent]:
    """The latest write of each identity, in order."""
    newest: dict[tuple[int, bytes], OracleEvent] = {}
    for event in events:
        rank = (event.sequence, event.tie, pack_values(view, event.values))
        before = newest.get(event[:2])
        if before is None or rank > (
            before.sequence,
            before.tie,
            pack_values(view, before.values),
        ):
            newest[event[:2]] = event
    return sorted(newest.values(), key=lambda e: (e.timestamp, e.sequence, e.tie, e.identity))


def values_in(
    view: AppliedView, aggregation: AppliedAggregation, events: Iterable[OracleEvent], t: int
) -> list[Any] | None:
    """The values in the window that ends at *t*, nulls left out; None if it has no event."""
    start = t - aggregation.window_micros
    inside = [e.values[aggregation.column] for e in events if start < e.timestamp <= t]
    if not inside:
        return None
    dtype = {field.name: field.dtype for field in view.value_fields}[aggregation.column]
    present = [value for value in inside if value is not None]
    if dtype != Float64:
        return present
    # A zero has no sign here.
    return [dtype.to_native(value) + 0.0 for value in present if value != "NaN"]


def oracle(view: AppliedView, events: Iterable[OracleEvent], t: int) -> dict[str, Any]:
    """Every feature at *t*, canonical."""
    ordered = kept(view, events)
    return {a.name: _value(view, a, values_in(view, a, ordered, t)) for a in view.aggregations}


def _value(view: AppliedView, aggregation: AppliedAggregation, values: list[Any] | None) -> Any:
    function = aggregation.function
    if values is None:
        return None
    if function == "count":
        return len(values)
    if function == "approx_count_distinct":
        return _approx_count(view, aggregation, values)
    if len(values) < (2 if function.endswith("_samp") else 1):
        return None
    result = _FUNCTIONS[function](aggregation, values)
    feature = aggregation.dtype({f.name: f.dtype for f in view.value_fields}[aggregation.column])
    if feature == Int64:
        return result if -(2**63) <= result < 2**63 else None
    return _canonical(result)


def _canonical(value: Any) -> Any:
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return Float64.from_native(value) if isinstance(value, float) else value


def _distinct(values: Sequence[Any]) -> list[Any]:
    # True and 1 never share a column.
    return list(dict.fromkeys(values))


def _total(values: Sequence[Any]) -> Any:
    infinite = {value for value in values if math.isinf(value)}
    return sum(infinite) if infinite else sum(map(Fraction, values))


def _rounded(exact: Any) -> Any:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _variance(values: Sequence[Any], n: int) -> Any:
    if any(map(math.isinf, values)):
        return math.nan
    mean = _total(values) / len(values)
    return sum((Fraction(value) - mean) ** 2 for value in values) / n


def _root(variance: Any) -> float:
    if isinstance(variance, Fraction) and variance > 2**1000:
        return math.sqrt(_rounded(variance / 4**500)) * 2.0**500
    return math.sqrt(variance)


def _sum(_: AppliedAggregation, values: list[Any]) -> Any:
    return sum(values) if isinstance(values[0], int) else _rounded(_total(values))


def _percentile(aggregation: AppliedAggregation, values: list[Any]) -> float:
    """Between the neighbours of rank p × n, where the i-th of n values has the rank i + ½."""
    ordered = sorted(map(float, values))
    place = min(max(aggregation.percentile * len(ordered) - 0.5, 0), len(ordered) - 1)
    low, part = int(place), place - int(place)
    return ordered[low] if not part else ordered[low] * (1 - part) + ordered[low + 1] * part


_FUNCTIONS: dict[str, Any] = {
    "sum": _sum,
    "mean": lambda _, values: _rounded(_total(values) / len(values)),
    "min": lambda _, values: min(values),
    "max": lambda _, values: max(values),
    "var_pop": lambda _, values: _rounded(_variance(values, len(values))),
    "var_samp": lambda _, values: _rounded(_variance(values, len(values) - 1)),
    "stddev_pop": lambda _, values: _root(_variance(values, len(values))),
    "stddev_samp": lambda _, values: _root(_variance(values, len(values) - 1)),
    "first": lambda a, values: values[: a.n],
    "last": lambda a, values: values[-1] if a.n is None else values[-a.n :],
    "first_distinct": lambda a, values: _distinct(values)[: a.n],
    "last_distinct": lambda a, values: _distinct(values[::-1])[: a.n][::-1],
    "approx_percentile": _percentile,
}


def differences(
    view: AppliedView,
    got: Mapping[str, Any],
    expected: Mapping[str, Any],
    events: Iterable[OracleEvent],
    t: int,
) -> dict[str, tuple[Any, Any]]:
    """Features of which *got* is not what is expected, within the contract's tolerances (§1)."""
    ordered = kept(view, events)
    assert got.keys() == expected.keys()
    return {
        a.name: (got[a.name], expected[a.name])
        for a in view.aggregations
        if not _same(a, got[a.name], expected[a.name], values_in(view, a, ordered, t) or [])
    }


def _same(a: AppliedAggregation, got: Any, expected: Any, values: list[Any]) -> bool:
    if got == expected and type(got) is type(expected):
        return True
    if not isinstance(got, (float, str)) or not isinstance(expected, (float, str)):
        return False
    if a.function == "approx_percentile":
        return _has_rank(a, Float64.to_native(got), sorted(map(float, values)))
    if a.function not in _TOLERANCES:
        return False
    allowed = _TOLERANCES[a.function](values)
    if "NaN" in (got, expected):
        return bool(allowed == math.inf)
    pair = (_exact(got), _exact(expected))
    if a.function.startswith("stddev"):
        pair = (pair[0] ** 2, pair[1] ** 2)
    return abs(pair[0] - pair[1]) <= allowed


def _exact(value: Any) -> Any:
    # An infinity stands for the first number that is no double any more.
    infinite = {"Infinity": Fraction(2) ** 1024, "-Infinity": -(Fraction(2) ** 1024)}
    return infinite[value] if isinstance(value, str) else Fraction(value)


def _sum_allowed(values: list[Any]) -> Any:
    if any(map(math.isinf, values)):
        return 0
    return sum(abs(Fraction(value)) for value in values) / 10**9


def _variance_allowed(values: list[Any]) -> Any:
    if any(abs(value) > 1e154 and not math.isinf(value) for value in values):
        return math.inf  # Squares that are no doubles give infinity or NaN (decision 0026).
    if any(map(math.isinf, values)):
        return 0
    return max(Fraction(value) ** 2 for value in values) / 10**9 + Fraction(2) ** -1060


_TOLERANCES: dict[str, Any] = {
    "sum": _sum_allowed,
    "mean": lambda values: _sum_allowed(values) / len(values) + Fraction(2) ** -1070,
    **dict.fromkeys(("var_pop", "var_samp", "stddev_pop", "stddev_samp"), _variance_allowed),
}


def _has_rank(a: AppliedAggregation, got: float, ordered: list[float]) -> bool:
    allowed = 1 + len(ordered) * rank_error(a.precision)
    rank = a.percentile * len(ordered)
    return (
        bisect_left(ordered, got) <= rank + allowed and bisect_right(ordered, got) >= rank - allowed
    )


def rank_error(precision: int) -> float:
    """The stated error of `approx_percentile` in rank, as a part of the number of values."""
    return 1 / precision


def _approx_count(view: AppliedView, a: AppliedAggregation, values: list[Any]) -> int:
    dtype = {field.name: field.dtype for field in view.value_fields}[a.column]
    registers: Counter[int] = Counter()
    for value in values:
        hashed = hash_of(parse_rfc3339(value) if dtype == Timestamp else value)
        index, rest = hashed >> (64 - a.precision), hashed & ((1 << (64 - a.precision)) - 1)
        rank = 64 - a.precision - rest.bit_length() + 1
        registers[index] = max(registers[index], rank)
    return estimate(a.precision, list(registers.values()))
