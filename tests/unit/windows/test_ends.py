"""Lists of first and last values, merged in any order, are those of all events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecton.packed import Kind
from tecton.types import Array, Int64
from tecton.windows import Events, Values
from tecton.windows.ends import Ends
from tecton.windows.layout import Feature
from tests.window_views import aggregation

Row = tuple[int, int, int, int, int]
"""Timestamp, sequence, tie, identity, value; few of each, so that all kinds of ties occur."""

rows = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(-1, 1),
        st.integers(0, 1),
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    unique_by=lambda row: row[:4],
    max_size=40,
)


def events_of(rows: list[Row]) -> Events:
    """Events of a view with an event key."""
    table = np.array(sorted(rows), np.int64).reshape(-1, 5).T
    values = Values(table[4], np.ones(len(rows), np.bool_))
    return Events(table[0], (values,), table[1], table[2], table[3].astype(np.uint64))


def distinct(values: list[int]) -> list[int]:
    """Each value where it first appears."""
    return list(dict.fromkeys(values))


EXPECTED = {
    "first": lambda values, n: values[:n],
    "last": lambda values, n: values[-n:],
    "first_distinct": lambda values, n: distinct(values)[:n],
    "last_distinct": lambda values, n: distinct(values[::-1])[:n][::-1],
}


@pytest.mark.parametrize("function", EXPECTED)
@given(data=st.data())
@settings(deadline=None)
def test_merged_lists_are_those_of_all_events(function: str, data: st.DataObject) -> None:
    """Ties of time are broken by sequence, tie and identity, whichever partial they are in."""
    given_rows = data.draw(rows)
    n = data.draw(st.integers(1, 4))
    end, _, is_distinct = function.partition("_")
    ends = Ends(0, Kind.INTEGER, n, end == "last", bool(is_distinct), has_key=True)
    # A partial often holds a slice of time, as a node does, so that some need no look at all.
    count = data.draw(st.integers(1, 8))
    by_time = data.draw(st.booleans())
    pieces: list[list[Row]] = [[] for _ in range(count)]
    for at, row in enumerate(sorted(given_rows)):
        owner = at * count // len(given_rows) if by_time else data.draw(st.integers(0, count - 1))
        pieces[owner].append(row)
    partials = data.draw(st.permutations([ends.lift(events_of(piece)) for piece in pieces]))
    feature = Feature(aggregation("x", function, 1, n=n), 0, 0, Array(Int64))
    values = [row[4] for row in sorted(given_rows)]
    expected = EXPECTED[function](values, n) or None
    assert expected == ends.value(ends.merge(partials), feature)
    assert ends.merge(partials) == ends.lift(events_of(given_rows))
