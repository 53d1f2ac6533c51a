"""
From scalar states to the values of features, for many states at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tecton.packed import Kind
from tecton.windows.layout import Feature, Layout, Matrix
from tecton.windows.scalars import Scalars

_HALF = 32
_LOW = (1 << _HALF) - 1


class Answer(NamedTuple):
    """What one function gives of one column, for each state.

    Args:
        values: int64 or float64.
        valid: Where it is not null.
    """

    values: Matrix
    valid: Matrix


def answer(layout: Layout, states: Scalars, feature: Feature) -> Answer:
    """
    A feature's value for each state, whatever its window.

    Infinities make numpy warn: the caller says `np.errstate(all="ignore")`.

    Args:
        layout: Of the view.
        states: Each is of the events of a window.
        feature: Of a function that scalars suffice for: `has_answer`.
    """
    return _FUNCTIONS[feature.aggregation.function](layout, states, feature)


def has_answer(layout: Layout, feature: Feature) -> bool:
    """Whether scalar states suffice for a feature."""
    function = feature.aggregation.function
    is_text = layout.kinds[feature.column] is Kind.TEXT
    return function in _FUNCTIONS and (function == "count" or not is_text)


def _count(layout: Layout, states: Scalars, feature: Feature) -> Answer:
    return Answer(states.counts[1 + feature.column], states.counts[0] > 0)


def _halves(layout: Layout, states: Scalars, column: int) -> tuple[Matrix, Matrix]:
    """The exact sum as high × 2³² + low with 0 ≤ low < 2³²."""
    row = layout.limbs.index(column)
    low = states.limbs[row + len(layout.limbs)]
    return states.limbs[row] + (low >> _HALF), low & _LOW


def _sum(layout: Layout, states: Scalars, feature: Feature) -> Answer:
    column = feature.column
    n = states.counts[1 + column]
    if column in layout.limbs:
        high, low = _halves(layout, states, column)
        fits = (high >= -(1 << (_HALF - 1))) & (high < 1 << (_HALF - 1))
        return Answer((high << _HALF) | low, (n > 0) & fits)
    sums = states.sums[layout.sums.index(column)]
    # A sum of finite values can leave the range of doubles on its way and come back.
    means = states.means[layout.means.index(column)]
    return Answer(np.where(np.isfinite(sums), sums, means * n), n > 0)


def _mean(layout: Layout, states: Scalars, feature: Feature) -> Answer:
    column = feature.column
    n = states.counts[1 + column]
    if column in layout.limbs:
        high, low = _halves(layout, states, column)
        return Answer((high * 2.0**_HALF + low) / np.maximum(n, 1), n > 0)
    sums = states.sums[layout.sums.index(column)]
    means = states.means[layout.means.index(column)]
    return Answer(np.where(np.isfinite(sums), sums / np.maximum(n, 1), means), n > 0)


def _spread(sample: bool, root: bool) -> Callable[[Layout, Scalars, Feature], Answer]:
    def spread(layout: Layout, states: Scalars, feature: Feature) -> Answer:
        n = states.counts[1 + feature.column]
        squares = states.squares[layout.spreads.index(feature.column)]
        values = squares / np.maximum(n - sample, 1)
        return Answer(np.sqrt(values) if root else values, n > sample)

    return spread


def _top(function: str) -> Callable[[Layout, Scalars, Feature], Answer]:
    def top(layout: Layout, states: Scalars, feature: Feature) -> Answer:
        wanted = (feature.column, function)
        if wanted in layout.integer_tops:
            values = states.integer_tops[layout.integer_tops.index(wanted)]
            values = ~values if function == "min" else values
        else:
            values = states.float_tops[layout.float_tops.index(wanted)]
            # A zero has no sign here, also when it is turned round.
            values = 0.0 - values if function == "min" else values
        return Answer(values, states.counts[1 + feature.column] > 0)

    return top


_FUNCTIONS: dict[str, Callable[[Layout, Scalars, Feature], Answer]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "max": _top("max"),
    "min": _top("min"),
    "var_pop": _spread(sample=False, root=False),
    "var_samp": _spread(sample=True, root=False),
    "stddev_pop": _spread(sample=False, root=True),
    "stddev_samp": _spread(sample=True, root=True),
}
