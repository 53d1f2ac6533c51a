"""
The aggregation functions that take parameters, as values: `Aggregation(column, last(3), window)`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AggregationFunction:
    """What an aggregation computes; parameters that its kind does not take are None.

    Args:
        kind: Name of the function.
        n: How many values `first`, `last`, `first_distinct` and `last_distinct` give; None for
            the plain `last`, which gives one value and no list.
        precision: Of a sketch: base-2 logarithm of the registers of `approx_count_distinct`,
            compression of `approx_percentile`.
        percentile: Which one, from 0 to 1.
    """

    kind: str
    n: int | None = None
    precision: int | None = None
    percentile: float | None = None


def first(n: int) -> AggregationFunction:
    """The *n* oldest values of the window, ascending by time; 1 ≤ n ≤ 1000."""
    return AggregationFunction("first", n=n)


def last(n: int) -> AggregationFunction:
    """The *n* newest values of the window, ascending by time; 1 ≤ n ≤ 1000."""
    return AggregationFunction("last", n=n)


def first_distinct(n: int) -> AggregationFunction:
    """The *n* values that appear first in the window, each once; 1 ≤ n ≤ 1000.

    Ascending by the time of their first appearance.
    """
    return AggregationFunction("first_distinct", n=n)


def last_distinct(n: int) -> AggregationFunction:
    """The *n* values that appear last in the window, each once; 1 ≤ n ≤ 1000.

    Ascending by the time of their last appearance.
    """
    return AggregationFunction("last_distinct", n=n)


def approx_count_distinct(precision: int = 8) -> AggregationFunction:
    """About how many different values there are.

    Args:
        precision: 4 to 16; the standard error is about 1.04 / √(2 ** precision).
    """
    return AggregationFunction("approx_count_distinct", precision=precision)


def approx_percentile(percentile: float, precision: int = 100) -> AggregationFunction:
    """A value that about this part of the values does not exceed.

    Args:
        percentile: From 0 to 1; 0.5 is the median.
        precision: 20 to 500: the more, the more exact and the larger.
    """
    return AggregationFunction("approx_percentile", precision=precision, percentile=percentile)


__all__ = [
    "AggregationFunction",
    "approx_count_distinct",
    "approx_percentile",
    "first",
    "first_distinct",
    "last",
    "last_distinct",
]
