"""`stores.WindowStore`: what every implementation keeps."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import count, permutations
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tecton.adapters.redis_client import connect
from tecton.adapters.redis_windows import RedisWindows
from tecton.applied import AppliedAggregation, AppliedView
from tecton.errors import StoreUnavailable
from tecton.packed import identity_hash, pack_values
from tecton.rows import Event, FeatureRow
from tecton.stores import Aggregated, WindowStore
from tecton.testing import NOW, InMemoryWindows
from tecton.timestamps import MICROSECOND, micros_of
from tecton.types import Float64, Int64, String
from tests.oracle import OracleEvent, differences, oracle
from tests.redis_places import place_of
from tests.window_views import windows_view

AT = micros_of(NOW)
SECOND = 1_000_000
HOUR = 3600 * SECOND
LATER_MS = 1000 * 365 * 86_400_000
KEY = '["k"]'
FRESH = count()


@pytest.fixture(params=["memory", "single", "cluster, restricted"])
def store(request: pytest.FixtureRequest) -> WindowStore:
    """An empty store."""
    if request.param == "memory":
        return InMemoryWindows()
    return RedisWindows(connect(place_of(request).url))


def aggregation(function: str, window: int = HOUR, **parameters: Any) -> AppliedAggregation:
    return AppliedAggregation(
        name=f"{function}_{window}",
        column="x",
        function=function,
        time_window=window * MICROSECOND,
        **parameters,
    )


SUMS = windows_view({"x": Int64}, [aggregation("sum"), aggregation("sum", 60 * SECOND)])
SUM, SUM_OF_MINUTE = f"sum_{HOUR}", f"sum_{60 * SECOND}"
KEYED = windows_view({"x": Int64, "e": Int64}, [aggregation("sum")], event_key=["e"])
TEXTS = windows_view({"x": String}, [aggregation("count"), aggregation("max")])


def row(
    timestamp: int = AT,
    x: Any = 1,
    sequence: int = 1,
    *,
    view: AppliedView = SUMS,
    key: str = KEY,
    identity: bytes = b"",
    tie: int = 0,
) -> FeatureRow:
    body = pack_values(view, {"x": x})
    return FeatureRow(view.id, key, timestamp, sequence, body, LATER_MS, Event(view, identity, tie))


def read(store: WindowStore, now: int = AT, view: AppliedView = SUMS) -> Aggregated | None:
    return store.aggregate([(view, KEY)], now)[0]


def seal(store: WindowStore) -> None:
    """Tidy until nothing is left."""
    for _ in range(1000):
        if not store.tidy():
            return
    raise AssertionError("tidying does not end")


def test_events_in_the_window_are_aggregated(store: WindowStore) -> None:
    """An aggregate at t covers t − window < timestamp ≤ t, exactly."""
    store.upsert([row(AT - HOUR, 1), row(AT - HOUR + 1, 2), row(AT, 4), row(AT - 60 * SECOND, 8)])
    assert read(store) == Aggregated(AT, {SUM: 14, SUM_OF_MINUTE: 4})
    assert read(store, AT + 1) == Aggregated(AT + 1, {SUM: 12, SUM_OF_MINUTE: 4})


def test_key_without_events_is_none(store: WindowStore) -> None:
    """A key that was never offered has no aggregates; others of the request do."""
    store.upsert([row()])
    expected = [None, Aggregated(AT, {SUM: 1, SUM_OF_MINUTE: 1}), None]
    other = windows_view({"x": Int64}, [aggregation("sum")])
    assert expected == store.aggregate([(SUMS, '["x"]'), (SUMS, KEY), (other, KEY)], AT)
    assert store.aggregate([], AT) == []


def test_window_without_events_is_none(store: WindowStore) -> None:
    """Where the longest window is empty there is nothing to serve, and a shorter one is null."""
    store.upsert([row(AT)])
    assert read(store, AT + HOUR - 1) == Aggregated(AT + HOUR - 1, {SUM: 1, SUM_OF_MINUTE: None})
    assert read(store, AT + HOUR) is None


def test_windows_end_at_an_event_that_is_later_than_now(store: WindowStore) -> None:
    """t is now or, if later, the newest timestamp stored for the key in the view."""
    store.upsert([row(AT - HOUR, 1), row(AT - HOUR + 5, 2), row(AT + 4, 4)])
    store.upsert([row(AT + HOUR, 9, key='["other"]')])
    assert read(store, AT - 10) == Aggregated(AT + 4, {SUM: 6, SUM_OF_MINUTE: 4})


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_later_write_of_an_identity_replaces(store: WindowStore, order: Sequence[int]) -> None:
    """Of one identity the event with the greatest (sequence, body) counts, whatever comes first."""
    rows = [row(AT, 7, 3), row(AT, 5, 2), row(AT, 6, -(2**53) + 9)]
    for number in order:
        store.upsert([rows[number]])
    assert read(store) == Aggregated(AT, {SUM: 7, SUM_OF_MINUTE: 7})


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_greater_body_replaces_within_a_run(store: WindowStore, order: Sequence[int]) -> None:
    """Batch rows of one run have one sequence; the greater bytes decide."""
    rows = [row(AT, 1, -5), row(AT, 2, -5)]
    for number in order:
        store.upsert([rows[number]])
    assert read(store) == Aggregated(AT, {SUM: 2, SUM_OF_MINUTE: 2})


def test_null_replaces_a_value(store: WindowStore) -> None:
    """A correction can take a value away; the event still counts as one."""
    store.upsert([row(AT, 7, 1, view=TEXTS_OF_NUMBERS)])
    store.upsert([row(AT, None, 2, view=TEXTS_OF_NUMBERS)])
    expected = Aggregated(AT, {f"count_{HOUR}": 0, f"sum_{HOUR}": None})
    assert expected == read(store, view=TEXTS_OF_NUMBERS)


TEXTS_OF_NUMBERS = windows_view({"x": Int64}, [aggregation("count"), aggregation("sum")])


def test_event_keys_tell_events_of_one_time_apart(store: WindowStore) -> None:
    """With an event key several events of a key share a timestamp, each once."""
    rows = [
        row(AT, x, sequence, view=KEYED, identity=identity_hash([event_key]))
        for event_key, sequence, x in [(1, 1, 1), (2, 2, 10), (1, 3, 100), (3, 4, 1000)]
    ]
    store.upsert(rows)
    store.upsert(rows[:1])
    assert read(store, view=KEYED) == Aggregated(AT, {SUM: 1110})


def test_many_events_of_one_microsecond(store: WindowStore) -> None:
    """However many events share a timestamp, each counts."""
    rows = [row(AT, 1, view=KEYED, identity=identity_hash([i])) for i in range(1500)]
    store.upsert([*rows, row(AT + 1, 1, view=KEYED, identity=identity_hash([0]))])
    for _ in range(2):
        assert read(store, view=KEYED) == Aggregated(AT + 1, {SUM: 1501})
        seal(store)


def test_strings_of_any_length(store: WindowStore) -> None:
    """Strings are stored as they are, also many long ones."""
    texts = ["", "é" * 30_000, "\x00", "z", *(f"{i:05d}" * 9_000 for i in range(100))]
    store.upsert([row(AT - i * SECOND, text, view=TEXTS) for i, text in enumerate(texts)])
    expected = {f"count_{HOUR}": len(texts), f"max_{HOUR}": "é" * 30_000}
    for _ in range(2):
        assert read(store, view=TEXTS) == Aggregated(AT, expected)
        seal(store)


@pytest.mark.parametrize("timestamp", [-1, -(2**60), 2**53, 2**53 + 1, 2**62])
def test_event_of_another_age_is_left_out(store: WindowStore, timestamp: int) -> None:
    """Batch rows before 1970 or after 2255 are no error; no window reaches them."""
    store.upsert([row(timestamp, 5)])
    assert read(store) is None
    store.upsert([row(timestamp, 5), row(AT, 1)])
    assert read(store) == Aggregated(AT, {SUM: 1, SUM_OF_MINUTE: 1})


@pytest.mark.parametrize("timestamp", [0, 1, 2**53 - 1])
def test_event_of_the_first_and_the_last_microsecond(store: WindowStore, timestamp: int) -> None:
    """From 1970 to 2255 every microsecond counts."""
    store.upsert([row(timestamp, 5)])
    assert read(store, timestamp) == Aggregated(timestamp, {SUM: 5, SUM_OF_MINUTE: 5})


def test_old_events_are_forgotten(store: WindowStore) -> None:
    """Events that left every window, and late ones that come after, change no answer."""
    for day in range(40):
        start = AT + day * 24 * HOUR
        store.upsert([row(start + i * SECOND, i) for i in range(200)])
        store.upsert([row(start - 3 * HOUR, 9)])
    newest = AT + 39 * 24 * HOUR + 199 * SECOND
    for _ in range(2):
        assert read(store, newest) == Aggregated(
            newest, {SUM: sum(range(200)), SUM_OF_MINUTE: sum(range(140, 200))}
        )
        seal(store)


def test_correction_after_sealing_counts(store: WindowStore) -> None:
    """What was summarised is summarised anew after a late event or a correction."""
    rows = [row(AT - i * SECOND, 1) for i in range(3000)]
    store.upsert(rows)
    seal(store)
    assert read(store) == Aggregated(AT, {SUM: 3000, SUM_OF_MINUTE: 60})
    store.upsert([row(AT - 1234 * SECOND, 101, 2), row(AT - 1234 * SECOND + 1, 1000)])
    for _ in range(2):
        assert read(store) == Aggregated(AT, {SUM: 4100, SUM_OF_MINUTE: 60})
        seal(store)


def test_writers_at_once_lose_nothing(store: WindowStore) -> None:
    """Any number of threads may write, tidy and read; every event counts once."""
    numbers = list(range(4000))
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        shuffled = random.Random(seed).sample(numbers, len(numbers))
        for start in range(0, len(shuffled), 50):
            store.upsert([row(AT - i * SECOND // 2, i) for i in shuffled[start : start + 50]])
            if start % 200 == 0:
                store.tidy()
                read(store)

    run_at_once([lambda seed=seed: write(seed) for seed in range(3)], failures)
    assert failures == []
    for _ in range(2):
        assert read(store) == Aggregated(AT, {SUM: sum(numbers), SUM_OF_MINUTE: sum(range(120))})
        seal(store)


def run_at_once(calls: Sequence[Callable[[], None]], failures: list[BaseException]) -> None:
    def caught(call: Callable[[], None]) -> None:
        try:
            call()
        except (AssertionError, StoreUnavailable, ValueError, KeyError, RuntimeError) as exc:
            failures.append(exc)

    threads = [Thread(target=caught, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


FLOATS = windows_view(
    {"x": Float64, "e": Int64},
    [
        aggregation(function, window)
        for window in (10, SECOND, 100 * SECOND)
        for function in ("count", "sum", "mean", "min", "max", "var_pop", "stddev_samp")
    ],
    event_key=["e"],
)
VALUES = st.sampled_from([None, 0.0, 1.0, -2.5, 1e16, -1e16, 0.1, 7.0])
STEPS = st.one_of(st.integers(0, 3), st.integers(0, 2 * SECOND), st.integers(0, 120 * SECOND))
EVENTS = st.lists(st.tuples(STEPS, st.integers(0, 2), st.integers(-2, 3), VALUES), min_size=1)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(events=EVENTS, repeats=st.integers(1, 12), later=STEPS, seed=st.integers(0, 9))
def test_answers_are_those_of_brute_force(
    store: WindowStore, events: list[Any], repeats: int, later: int, seed: int
) -> None:
    """Ties, gaps, late events, duplicates and corrections, in any order, before and after tidying:
    every answer is that of all events together."""
    offered = [
        OracleEvent(AT + step + 37 * n, identity_hash([event_key]), sequence, 0, {"x": x})
        for n in range(repeats)
        for step, event_key, sequence, x in events
    ]
    key = f'["{next(FRESH)}"]'
    rows = [
        row(e.timestamp, e.values["x"], e.sequence, view=FLOATS, key=key, identity=e.identity)
        for e in offered
    ]
    random.Random(seed).shuffle(rows)
    half = len(rows) // 2
    store.upsert(rows[:half])
    seal(store)
    store.upsert(rows[half:])
    now = AT + later
    at = max(now, max(e.timestamp for e in offered))
    for _ in range(2):
        answered = store.aggregate([(FLOATS, key)], now)[0]
        if at - 100 * SECOND >= max(e.timestamp for e in offered):
            assert answered is None
        else:
            assert answered is not None
            assert answered.at == at
            expected = oracle(FLOATS, offered, at)
            assert differences(FLOATS, answered.values, expected, offered, at) == {}
        seal(store)
