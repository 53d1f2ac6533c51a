"""States of any partition, merged in any order, answer what brute force does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecton.applied import AppliedView
from tecton.packed import pack_values
from tecton.types import Float64, Int64
from tecton.windows import Sealed, State, algebra_of, unpack
from tests.oracle import OracleEvent, differences, kept, oracle
from tests.window_views import (
    START,
    VIEWS,
    aggregation,
    streams,
    unpacked,
    windows_view,
)

times = st.integers(START, START + 900)


def merge_randomly(data: st.DataObject, view: AppliedView, events: list[OracleEvent]) -> State:
    """The state of events: cut in pieces, lifted, encoded or not, merged in random order."""
    algebra = algebra_of(view)
    pieces = data.draw(st.lists(st.integers(0, 5), min_size=len(events), max_size=len(events)))
    states = []
    for piece in set(pieces):
        part = [event for event, owner in zip(events, pieces, strict=True) if owner == piece]
        states.append(algebra.lift(unpacked(view, part)))
    states = data.draw(st.permutations(states))
    while len(states) > 1:
        count = data.draw(st.integers(2, len(states)))
        if data.draw(st.booleans()):
            merged = algebra.merge(states[:count])
        else:
            merged = algebra.decode(sealed(view, states[:count]))
        states = [*states[count:], merged]
    return algebra.merge(states)


def sealed(view: AppliedView, states: list[State]) -> Sealed:
    """The states as a store would give them back."""
    algebra = algebra_of(view)
    scalars = [algebra.encode_scalar(state) for state in states]
    assert {len(scalar) for scalar in scalars} <= {algebra.scalar_width}
    return Sealed(b"".join(scalars), [algebra.encode_bulky(state) for state in states])


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_states_merge_to_what_brute_force_gives(view: AppliedView, data: st.DataObject) -> None:
    """Whatever the partition and the order of merging, each window answers its events."""
    events = data.draw(streams(view))
    t = data.draw(times)
    algebra = algebra_of(view)
    windows = [
        [event for event in kept(view, events) if t - window < event.timestamp <= t]
        for window in algebra.windows
    ]
    states = [merge_randomly(data, view, window) for window in windows]
    expected = oracle(view, events, t)
    assert {} == differences(view, algebra.finalise(states), expected, events, t)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_reader_answers_what_brute_force_gives(view: AppliedView, data: st.DataObject) -> None:
    """Some events loose and the others sealed by segment: the answer at t is the window's."""
    events = data.draw(streams(view))
    t = data.draw(times)
    algebra = algebra_of(view)
    loose = []
    segments: list[list[OracleEvent]] = [[] for _ in algebra.windows]
    for event in kept(view, events):
        seen = [i for i, w in enumerate(algebra.windows) if t - w < event.timestamp <= t]
        if not seen or data.draw(st.booleans()):
            loose.append(event)
        else:
            segments[seen[0]].append(event)
    stored = [
        sealed(view, [algebra.lift(unpacked(view, part)) for part in (s[::2], s[1::2]) if part])
        for s in segments
    ]
    got = algebra.answer(t, unpacked(view, loose), stored)
    expected = oracle(view, events, t)
    if got is None:
        got = dict.fromkeys(expected)
    assert {} == differences(view, got, expected, events, t)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_encoded_states_are_the_same_when_read_back(view: AppliedView, data: st.DataObject) -> None:
    """parse(encode(state)) encodes to the same bytes."""
    algebra = algebra_of(view)
    state = algebra.lift(unpacked(view, kept(view, data.draw(streams(view)))))
    written = sealed(view, [state])
    assert written == sealed(view, [algebra.decode(written)])


def values_at(view: AppliedView, events: list[OracleEvent], t: int) -> dict[str, Any] | None:
    """The answer from loose events alone."""
    return algebra_of(view).answer(t, unpacked(view, events))


def number_view(*functions: str) -> AppliedView:
    """Functions over 100 µs of `integer` and `number`."""
    columns = {"integer": Int64, "number": Float64}
    return windows_view(columns, [aggregation(c, f, 100) for c in columns for f in functions])


def number_events(*numbers: Any, column: str = "number") -> list[OracleEvent]:
    """An event a µs with these values of one column; the other is null."""
    blank = {"integer": None, "number": None}
    return [OracleEvent(START + i, b"", i, 0, {**blank, column: n}) for i, n in enumerate(numbers)]


def test_large_numbers_do_not_swallow_small_ones() -> None:
    """A large number that leaves the window leaves nothing of itself behind."""
    view = number_view("sum")
    events = number_events(1e16, 1.0, 2.0)
    got = values_at(view, events, START + 100)
    assert got is not None
    assert got["number_sum_100"] == 3.0


def test_int64_sums_are_exact_and_null_out_of_range() -> None:
    """Sums of Int64 are exact, and null where they leave ±2^63."""
    view = number_view("sum")
    top = 2**63 - 1
    for numbers, expected in (
        ((top, 1, -1), top),
        ((top, 1), None),
        ((-(2**63), -1), None),
        ((-(2**63), -1, 1), -(2**63)),
        ((top,) * 50 + (-top,) * 49, top),
    ):
        got = values_at(view, number_events(*numbers, column="integer"), START + 99)
        assert got is not None
        assert got["integer_sum_100"] == expected


def test_windows_open_at_the_old_end_and_close_at_the_new() -> None:
    """(t − w, t]: an event exactly one window old is out, one at t is in."""
    view = number_view("count")
    events = number_events(1.0)
    assert values_at(view, events, START - 1) is None
    assert values_at(view, events, START) == {"integer_count_100": 0, "number_count_100": 1}
    assert values_at(view, events, START + 99) == {"integer_count_100": 0, "number_count_100": 1}
    assert values_at(view, events, START + 100) is None


def test_infinities_follow_ieee() -> None:
    """∞ − ∞ is NaN, and nothing has a distance from ∞."""
    view = number_view("sum", "mean", "max", "min", "var_pop")
    got = values_at(view, number_events("Infinity", 1.0), START + 50)
    assert got is not None
    numbers = {name.split("_")[1]: got[name] for name in got if name.startswith("number")}
    infinity = {"sum": "Infinity", "mean": "Infinity", "max": "Infinity"}
    assert numbers == {**infinity, "min": 1.0, "var": "NaN"}
    got = values_at(view, number_events("Infinity", "-Infinity"), START + 50)
    assert got is not None
    assert (got["number_sum_100"], got["number_mean_100"]) == ("NaN", "NaN")


LARGE = (1.5e308, 1.5e308, 1e308)


def test_sum_that_leaves_the_doubles_on_its_way_comes_back() -> None:
    """The mean of finite numbers is finite, and so is a sum that is."""
    view = number_view("sum", "mean")
    got = values_at(view, number_events(*LARGE, *(-number for number in LARGE)), START + 50)
    assert got is not None
    assert abs(got["number_sum_100"]) < 1e299
    got = values_at(view, number_events(1.5e308, 1.5e308), START + 50)
    assert got is not None
    assert (got["number_sum_100"], got["number_mean_100"]) == ("Infinity", 1.5e308)


def test_strided_bodies_are_read_in_place() -> None:
    """Bodies may be a window of wider rows, as they stand in a store's bytes."""
    view = number_view("sum")
    events = number_events(0.5, None, "NaN", 2.0, -0.0)
    bodies = [pack_values(view, event.values) for event in events]
    rows = np.frombuffer(b"".join(b"1234567" + body + b"tail" for body in bodies), np.uint8)
    matrix = rows.reshape(5, -1)[:, 7:-4]
    layout = algebra_of(view).layout
    times = np.array([event.timestamp for event in events])
    got, expected = unpack(layout, times, matrix), unpack(layout, times, bodies)
    for mine, theirs in zip(got.columns, expected.columns, strict=True):
        assert mine.valid.tolist() == theirs.valid.tolist()
        assert mine.values.tolist() == theirs.values.tolist()
