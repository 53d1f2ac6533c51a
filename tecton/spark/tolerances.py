"""
How far apart an online and an offline answer may be (contract §1, values), feature by feature.

Sums and all that is made of them depend on the order of additions, within a bound that the largest
value of the window gives; percentiles are sketched. What says so is asked along with the features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from tecton.applied import AppliedAggregation, AppliedView
from tecton.types import Field, Float64

RELATIVE = 1e-9
"""Of Σ|x| for sums and means, of max x² for variances."""

_RANKS = 4
"""Two sketches, and the sketch that is asked for the bounds: each is within n / precision + 1."""

_SQUARES = frozenset({"var_pop", "var_samp"})
_ROOTS = frozenset({"stddev_pop", "stddev_samp"})
_SUMS = frozenset({"sum", "mean", *_SQUARES, *_ROOTS})


class _Bounded(NamedTuple):
    """A feature that need not be equal, and the aggregates between which its column lies."""

    aggregation: AppliedAggregation
    low: str
    high: str
    terms: str


class Tolerances:
    """
    Compares the answers of one view.

    Args:
        view: The view.

    Attributes:
        view: The same with what `agree` needs among its aggregates; for offline reads alone.
    """

    def __init__(self, view: AppliedView) -> None:
        self._bounded: dict[str, _Bounded] = {}
        added: list[AppliedAggregation] = []
        types = {field.name: field.dtype for field in view.features}
        for aggregation in view.aggregations:
            if _is_inexact(aggregation, Field(aggregation.name, types[aggregation.name])):
                bounds = list(_bounds(aggregation, len(added)))
                self._bounded[aggregation.name] = _Bounded(aggregation, *(b.name for b in bounds))
                added += bounds
        together = sorted((*view.aggregations, *added), key=lambda aggregate: aggregate.name)
        self.view = msgspec.structs.replace(view, aggregations=tuple(together))

    def agree(self, feature: str, online: Any, offline: Mapping[str, Any]) -> bool:
        """
        Is an online answer what the offline one says?

        Args:
            feature: Its name.
            online: Its canonical value online; not null.
            offline: All canonical values of `view` offline; that of the feature is not null.
        """
        if online == offline[feature]:
            return True
        bounded = self._bounded.get(feature)
        if bounded is None:
            return False
        low, high = float(offline[bounded.low]), float(offline[bounded.high])
        if bounded.aggregation.percentile is not None:
            return low <= float(online) <= high
        largest = max(abs(low), abs(high))
        distance, allowed = _distance(
            bounded.aggregation.function,
            float(online),
            float(offline[feature]),
            largest,
            offline[bounded.terms],
        )
        return math.isfinite(largest) and distance <= allowed


def _is_inexact(aggregation: AppliedAggregation, feature: Field) -> bool:
    if aggregation.function == "approx_percentile":
        return True
    return aggregation.function in _SUMS and feature.dtype == Float64


def _bounds(aggregation: AppliedAggregation, number: int) -> Iterator[AppliedAggregation]:
    """Aggregates of the same column and window: its least, its greatest, how many."""
    parts: list[dict[str, Any]] = [{"function": "min"}, {"function": "max"}, {"function": "count"}]
    if aggregation.percentile is not None:
        width = _RANKS / (aggregation.precision or 1)
        for part, moved in zip(parts, (-width, width), strict=False):
            percentile = min(1.0, max(0.0, aggregation.percentile + moved))
            precision = aggregation.precision
            part.update(function=aggregation.function, precision=precision, percentile=percentile)
    for position, part in enumerate(parts, number):
        yield AppliedAggregation(
            # No feature has a name that is longer than 128 characters.
            name=f"_bound_{position:0122}",
            column=aggregation.column,
            time_window=aggregation.time_window,
            **part,
        )


def _distance(
    function: str, online: float, offline: float, largest: float, terms: int
) -> tuple[float, float]:
    """How far apart two values are, and how far they may be."""
    if function in _ROOTS:
        return abs(online * online - offline * offline), RELATIVE * largest * largest
    if function in _SQUARES:
        return abs(online - offline), RELATIVE * largest * largest
    factor = terms if function == "sum" else 1
    return abs(online - offline), RELATIVE * largest * factor
