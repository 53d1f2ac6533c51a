"""
What the aggregations of a view need to know of its events: which summaries of which columns.

Several functions and windows share one summary: `sum` and `mean` of an Int64 column are both made
of its exact sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tecton.applied import AppliedAggregation, AppliedView
from tecton.packed import Kind, kind_of
from tecton.types import DataType

Matrix = npt.NDArray[Any]
"""One row for each summary of a kind, one column for each state."""

TOTALS = frozenset({"sum", "mean"})
SPREADS = frozenset({"var_pop", "var_samp", "stddev_pop", "stddev_samp"})
EXTREMES = ("max", "min")
LISTS = frozenset({"first", "last", "first_distinct", "last_distinct"})


class Top(NamedTuple):
    """A maximum, or a minimum that is kept as the maximum of what is turned round."""

    column: int
    function: str


class Feature(NamedTuple):
    """An aggregation, with the places of its column and window in their lists.

    Args:
        aggregation: As it is applied.
        column: Position among `AppliedView.aggregated_fields`.
        window: Position among `Layout.windows`.
        dtype: The type of the feature.
    """

    aggregation: AppliedAggregation
    column: int
    window: int
    dtype: DataType

    @property
    def name(self) -> str:
        """The feature's name."""
        return self.aggregation.name


class Layout:
    """
    The summaries that a view's aggregations share; columns are positions in `aggregated_fields`.

    Args:
        view: An aggregating view.

    Attributes:
        windows: The distinct windows in µs, ascending.
        limbs: Int64 columns that are summed: the high and the low half of each value.
        sums: Float64 columns that are summed.
        means: Columns of which a mean is kept: first those of `spreads`, then the rest of `sums`,
            where it stands in for a sum that has left the range of doubles.
        spreads: Columns of which the sum of squared distances from the mean is kept.
        integer_tops: Extremes of integers.
        float_tops: Extremes of Float64.
    """

    def __init__(self, view: AppliedView) -> None:
        self.fields = view.aggregated_fields
        self.kinds = tuple(kind_of(field.dtype) for field in self.fields)
        self.windows = tuple(sorted({a.window_micros for a in view.aggregations}))
        self.features = tuple(self._features(view))
        used = [
            {f.aggregation.function for f in self.features if f.column == column}
            for column in range(len(self.fields))
        ]
        self.limbs = self._columns(Kind.INTEGER, TOTALS, used)
        self.sums = self._columns(Kind.FLOAT, TOTALS, used)
        self.spreads = tuple(column for column, names in enumerate(used) if names & SPREADS)
        self.means = (*self.spreads, *(c for c in self.sums if c not in self.spreads))
        self.integer_tops = self._tops(Kind.INTEGER, used)
        self.float_tops = self._tops(Kind.FLOAT, used)
        # Row 0 of the counts is the number of events, row 1 + column that of values.
        self.mean_counts = np.array([1 + column for column in self.means], np.intp)
        self.spread_counts = self.mean_counts[: len(self.spreads)]

    @property
    def is_ordered(self) -> bool:
        """Whether a feature depends on the order of events, beyond which window they are in."""
        return any(feature.aggregation.function in LISTS for feature in self.features)

    def _features(self, view: AppliedView) -> Iterator[Feature]:
        columns: Mapping[str, int] = {field.name: i for i, field in enumerate(self.fields)}
        for aggregation in view.aggregations:
            column = columns[aggregation.column]
            window = self.windows.index(aggregation.window_micros)
            dtype = aggregation.dtype(self.fields[column].dtype)
            yield Feature(aggregation, column, window, dtype)

    def _columns(
        self, kind: Kind, functions: frozenset[str], used: list[set[str]]
    ) -> tuple[int, ...]:
        kinds = enumerate(self.kinds)
        return tuple(column for column, k in kinds if k is kind and used[column] & functions)

    def _tops(self, kind: Kind, used: list[set[str]]) -> tuple[Top, ...]:
        return tuple(
            Top(column, function)
            for column, k in enumerate(self.kinds)
            if k is kind
            for function in EXTREMES
            if function in used[column]
        )
