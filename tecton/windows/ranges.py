"""
Aggregates of many windows over events that are already in order: the kernel of the Spark jobs.

Nothing costs queries × events. Counts and Int64 sums are differences of exact running sums, all
else of fixed width comes from a tree of states, lists are slices, distinct values come from one
sweep, and percentiles, exact here, from a wavelet matrix.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from itertools import chain

import numpy as np
import pyarrow as pa

from tecton.packed import Kind
from tecton.types import DataType, String
from tecton.windows.algebra import Algebra
from tecton.windows.answers import answer, has_answer
from tecton.windows.arrow import column_of, lists_of
from tecton.windows.events import Events, Values
from tecton.windows.layout import EXTREMES, LISTS, Feature, Layout, Matrix, Top
from tecton.windows.registers import hashes, placed
from tecton.windows.scalars import singles
from tecton.windows.selection import Selection, quantiles
from tecton.windows.sweeps import distinct_estimates, newest_distinct, oldest_distinct
from tecton.windows.tree import Prefixes, Tree


def aggregate_ranges(
    algebra: Algebra, events: Events, starts: Sequence[Matrix], stops: Matrix
) -> dict[str, pa.Array]:
    """
    The features of many queries.

    Args:
        algebra: Of the view.
        events: Of one key, or of many one after another.
        starts: For each of `algebra.windows`, where each query's window begins among *events*.
        stops: Where the windows of each query end, exclusive; the same for all windows.

    Returns:
        A column of native values for each feature, of the type `feature.dtype.arrow()`.
    """
    layout, ranked, texts = _ranked(algebra.layout, events)
    states = singles(layout, ranked)
    tree, prefixes = Tree(layout, states), Prefixes(states)
    pairs = zip(layout.fields, algebra.layout.kinds, events.columns, strict=True)
    present = [_Present(field.dtype, kind, column) for field, kind, column in pairs]
    columns: dict[str, pa.Array] = {}
    for window, first in enumerate(starts):
        counts, limbs = prefixes.query(first, stops)
        merged = tree.query(first, stops)._replace(counts=counts, limbs=limbs)
        for feature in (f for f in layout.features if f.window == window):
            if has_answer(layout, feature):
                with np.errstate(all="ignore"):
                    values, valid = answer(layout, merged, feature)
                if feature.dtype == String:
                    values = texts[feature.column][np.where(valid, values, 0)]
                columns[feature.name] = column_of(feature.dtype, values, valid)
            else:
                column = present[feature.column]
                columns[feature.name] = column.feature(feature, first, stops, counts[0] > 0)
    return columns


def _ranked(layout: Layout, events: Events) -> tuple[Layout, Events, dict[int, Matrix]]:
    """Strings of which extremes are asked as numbers in their order, and what these stand for."""
    texts: dict[int, Matrix] = {}
    asked = [Top(f.column, f.aggregation.function) for f in layout.features]
    tops = {
        top for top in asked if top.function in EXTREMES and layout.kinds[top.column] is Kind.TEXT
    }
    if not tops:
        return layout, events, texts
    columns = list(events.columns)
    kinds = list(layout.kinds)
    for column in {top.column for top in tops}:
        values, valid = columns[column]
        # Where there are no events something has to stand for the null.
        encoded = pa.array(np.append(values, ""), pa.string()).dictionary_encode()
        distinct = np.array(encoded.dictionary.to_pylist(), object)
        order = np.argsort(distinct)
        texts[column] = distinct[order]
        numbers = np.argsort(order)[encoded.indices.to_numpy()]
        columns[column] = Values(numbers[:-1].astype(np.int64), valid)
        kinds[column] = Kind.INTEGER
    ranked = copy.copy(layout)
    ranked.kinds = tuple(kinds)
    ranked.integer_tops = (*layout.integer_tops, *sorted(tops))
    return ranked, events._replace(columns=tuple(columns)), texts


class _Present:
    """
    The values of a column that are not null, and what is made of their places.

    Args:
        dtype: The column's type.
        kind: How it is packed.
        column: Its values.
    """

    def __init__(self, dtype: DataType, kind: Kind, column: Values) -> None:
        self._dtype = dtype
        self._kind = kind
        self._column = column

    @cached_property
    def _running(self) -> Matrix:
        """How many values there are before each event."""
        return np.concatenate([[0], np.cumsum(self._column.valid)])

    @cached_property
    def _values(self) -> Matrix:
        values: Matrix = self._column.values[self._column.valid]
        return values

    @cached_property
    def _hashes(self) -> Matrix:
        return hashes(self._kind, self._values)

    @cached_property
    def _selection(self) -> Selection:
        return Selection(self._values.astype(np.float64))

    @cached_property
    def _arrow(self) -> pa.Array:
        return column_of(self._dtype, self._values)

    def feature(self, feature: Feature, starts: Matrix, stops: Matrix, seen: Matrix) -> pa.Array:
        """
        The column of a feature that scalar states do not suffice for.

        Args:
            feature: The feature.
            starts: Where each query's window begins among the events.
            stops: Where it ends.
            seen: Whether it has any event.
        """
        starts, stops = self._running[starts], self._running[stops]
        function = feature.aggregation.function
        if function in LISTS:
            return self._lists(feature, starts, stops)
        if function == "approx_percentile":
            return self._percentiles(feature, starts, stops)
        return self._distinct(feature, starts, stops, seen)

    def _lists(self, feature: Feature, starts: Matrix, stops: Matrix) -> pa.Array:
        function, n = feature.aggregation.function, feature.aggregation.n
        if n is None:
            places = pa.array(stops - 1, mask=starts == stops)
            return self._arrow.take(places)
        if function in ("first", "last"):
            sizes = np.minimum(stops - starts, n)
            begins = starts if function == "first" else stops - sizes
            ends = np.cumsum(sizes)
            places = np.arange(sizes.sum()) + np.repeat(begins - (ends - sizes), sizes)
        else:
            places, sizes = self._distinct_places(function, n, starts, stops)
        return lists_of(feature.dtype, self._arrow.take(pa.array(places)), sizes)

    def _distinct_places(
        self, function: str, n: int, starts: Matrix, stops: Matrix
    ) -> tuple[Matrix, Matrix]:
        values = self._values.tolist()
        if function == "first_distinct":
            found = oldest_distinct(values, starts, stops, n)
        else:
            found = [places[::-1] for places in newest_distinct(values, starts, stops, n)]
        sizes = np.fromiter(map(len, found), np.int64, len(found))
        return np.fromiter(chain.from_iterable(found), np.int64, sizes.sum()), sizes

    def _percentiles(self, feature: Feature, starts: Matrix, stops: Matrix) -> pa.Array:
        part = feature.aggregation.percentile
        valid = starts < stops
        values = np.zeros(starts.size)
        if part is not None and valid.any():
            values[valid] = quantiles(self._selection, starts[valid], stops[valid], part)
        return column_of(feature.dtype, values, valid)

    def _distinct(self, feature: Feature, starts: Matrix, stops: Matrix, seen: Matrix) -> pa.Array:
        precision = feature.aggregation.precision or 0
        registers, ranks = placed(precision, self._hashes)
        values = distinct_estimates(precision, registers, ranks, starts, stops)
        return column_of(feature.dtype, values, seen)
