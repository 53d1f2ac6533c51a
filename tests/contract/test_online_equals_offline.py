"""
Redis, training frames and brute force answer the same, for every function (contract §1, values).

No JVM: `WindowFrames` gets the sorted Arrow batches that Spark would hand over.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tecton import window_frames
from tecton.adapters.redis_client import connect
from tecton.adapters.redis_windows import RedisWindows
from tecton.applied import AppliedView
from tecton.packed import Kind, kind_of, pack_values
from tecton.rows import BATCH_SEQUENCE_OFFSET, Event, FeatureRow
from tecton.timestamps import parse_rfc3339
from tecton.types import DataType, Float64, Timestamp
from tecton.window_frames import (
    AT,
    IDENTITY,
    KEY,
    KNOWN,
    MARK,
    SEQUENCE,
    TIE,
    WindowFrames,
    value_name,
)
from tests.oracle import OracleEvent, differences, oracle
from tests.window_views import COLUMNS, START, VALUES, every_function, windows_view

WINDOWS = (3, 60, 1000)
_FUNCTIONS = every_function(COLUMNS, WINDOWS, (2,), (5,), (0.5,))
_PLAIN = {name: dtype for name, dtype in COLUMNS.items() if kind_of(dtype) is Kind.INTEGER}
VIEWS = {
    "all types": windows_view(COLUMNS, _FUNCTIONS),
    "event key": windows_view(COLUMNS, _FUNCTIONS, event_key=["integer"]),
    "fixed width": windows_view(
        _PLAIN, every_function(_PLAIN, WINDOWS, (2,), (5,), (0.5,)), event_key=["integer"]
    ),
}
LATER_MS = 1000 * 365 * 86_400_000
FRESH = count()
ASKED = "asked"


class Stream(NamedTuple):
    """Writes of one key in the order of their coming, and times to read at."""

    events: list[OracleEvent]
    times: list[int]


class _Write(NamedTuple):
    """A write before it has a sequence.

    Args:
        step: µs after the beginning.
        identity: Which event of its time.
        run: A batch run, or None if pushed.
        repeats: How often it comes again, 7 µs apart.
        values: Canonical.
    """

    step: int
    identity: bytes
    run: int | None
    repeats: int
    values: Mapping[str, Any]


_STEPS = st.integers(0, 5) | st.integers(0, 70) | st.sampled_from([997, 999, 1000, 1001, 2500])


def writes(view: AppliedView) -> st.SearchStrategy[list[_Write]]:
    """Ties, gaps, bursts, nulls and extremes."""
    identities = [b"one_____", b"two_____", b"\xff" * 8] if view.event_key else [b""]
    values = {field.name: st.none() | VALUES[field.dtype] for field in view.value_fields}
    write = st.builds(
        _Write,
        _STEPS,
        st.sampled_from(identities),
        st.none() | st.integers(0, 1),
        st.sampled_from([1, 1, 1, 1, 3, 40]),
        st.fixed_dictionaries(values),
    )
    return st.lists(write, min_size=1, max_size=15)


def stream(view: AppliedView, drawn: Sequence[_Write], times: Sequence[int], seed: int) -> Stream:
    """The same write can come again; a batch run has one row of each identity."""
    events: dict[Any, OracleEvent] = {}
    for number, write in enumerate(drawn, 1):
        for repeat in range(write.repeats):
            timestamp = START + write.step + 7 * repeat
            is_batch = write.run is not None
            sequence = write.run - BATCH_SEQUENCE_OFFSET if is_batch else 100 * number + repeat
            # A rank among the rows of one time in one run; only an event key makes several of them.
            tie = number if is_batch and view.event_key else 0
            event = OracleEvent(timestamp, write.identity, sequence, tie, write.values)
            events.setdefault((timestamp, write.identity, sequence), event)
    listed = list(events.values())
    chance = random.Random(seed)
    listed += chance.choices(listed, k=len(listed) // 3)
    chance.shuffle(listed)
    return Stream(listed, [START + time for time in times])


def streams(view: AppliedView) -> st.SearchStrategy[Stream]:
    times = st.lists(_STEPS | st.integers(-10, 4000), max_size=4)
    return st.builds(stream, st.just(view), writes(view), times, st.integers(0, 99))


@pytest.fixture
def store(redis_url: str) -> RedisWindows:
    """A store on a Redis; each example has keys of its own."""
    return RedisWindows(connect(redis_url))


def online(
    store: RedisWindows, view: AppliedView, given: Stream, seed: int
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """What Redis answers at the asked times that it can be asked for, before and after sealing."""
    key = f'["{next(FRESH)}"]'
    rows = [
        FeatureRow(
            view.id,
            key,
            event.timestamp,
            event.sequence,
            pack_values(view, event.values),
            LATER_MS,
            Event(view, event.identity, event.tie),
        )
        for event in given.events
    ]
    chance = random.Random(seed)
    while rows:
        size = chance.randint(1, len(rows))
        store.upsert(rows[:size])
        rows = rows[size:]
        if chance.random() < 0.5:
            store.tidy()
    newest = max(event.timestamp for event in given.events)
    for _ in range(2):
        for t in [newest, *(time for time in given.times if time > newest)]:
            [answer] = store.aggregate([(view, key)], t)
            nothing = dict.fromkeys((feature.name for feature in view.features), None)
            assert answer is None or answer.at == t
            yield t, nothing if answer is None else answer.values
        while store.tidy():
            pass


def offline(
    view: AppliedView, given: Sequence[Stream], as_known: bool, sizes: int
) -> list[list[Mapping[str, Any]]]:
    """What training frames answer for each stream at each of its times."""
    rows = [
        {**_arrow_row(view, event), **_key(number, 0)}
        for number, one in enumerate(given)
        for event in one.events
    ]
    places = [(number, t) for number, one in enumerate(given) for t in one.times]
    rows += [{**_key(number, 1), AT: t, ASKED: place} for place, (number, t) in enumerate(places)]
    random.Random(len(rows)).shuffle(rows)
    rows.sort(key=lambda row: row[KEY])
    table = pa.Table.from_pylist(rows, _schema(view))
    names = [feature.name for feature in view.features]
    found: dict[int, Mapping[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_frames, "ROWS_AT_ONCE", sizes)
        frames = WindowFrames(view, names, as_known)
        for asked, answers in frames.answers(table.to_batches(max_chunksize=sizes), [ASKED]):
            told = answers.to_pylist()
            found |= zip(asked.column(ASKED).to_pylist(), told, strict=True)
    assert sorted(found) == list(range(len(places)))
    answered = iter(range(len(places)))
    return [[_canonical(view, found[next(answered)]) for _ in one.times] for one in given]


def _key(number: int, is_question: int) -> Mapping[str, int]:
    """Of every two keys both have one hash, and only the further bits tell them apart."""
    return {KEY: number // 2, MARK: number * 2 + is_question}


def _schema(view: AppliedView) -> pa.Schema:
    values = [
        (value_name(number), pa.string() if kind_of(field.dtype) is Kind.TEXT else _plain(field))
        for number, field in enumerate(view.aggregated_fields)
    ]
    numbers = [(name, pa.int64()) for name in (KEY, AT, SEQUENCE, IDENTITY, KNOWN, ASKED)]
    small = [(name, pa.int32()) for name in (MARK, TIE)]
    return pa.schema([*numbers, *small, *values])


def _plain(field: Any) -> pa.DataType:
    return pa.float64() if field.dtype == Float64 else pa.int64()


def _arrow_row(view: AppliedView, event: OracleEvent) -> dict[str, Any]:
    return {
        AT: event.timestamp,
        SEQUENCE: event.sequence,
        TIE: event.tie,
        IDENTITY: int.from_bytes(event.identity, "big", signed=True),
        KNOWN: known(event),
        **{
            value_name(number): _native(field.dtype, event.values[field.name])
            for number, field in enumerate(view.aggregated_fields)
        },
    }


def _native(dtype: DataType, value: Any) -> Any:
    if value is None:
        return None
    if dtype == Timestamp:
        return parse_rfc3339(value)
    if dtype == Float64:
        return None if value == "NaN" else dtype.to_native(value)
    kind = kind_of(dtype)
    if kind is Kind.PRESENCE:
        return 0
    return value if kind is Kind.TEXT else int(value)


def known(event: OracleEvent) -> int:
    """From when on an event counts in a frame `as_known`: a batch row from its own time."""
    return max(event.timestamp, START + event.sequence)


def _canonical(view: AppliedView, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        feature.name: None
        if answer[feature.name] is None
        else feature.dtype.from_native(answer[feature.name])
        for feature in view.features
    }


@pytest.mark.parametrize("name", VIEWS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), seed=st.integers(0, 99))
def test_redis_answers_what_brute_force_gives(
    store: RedisWindows, name: str, data: st.DataObject, seed: int
) -> None:
    """Late, repeated and corrected events in any order, before and after sealing."""
    view = VIEWS[name]
    drawn = data.draw(streams(view))
    for t, got in online(store, view, drawn, seed):
        expected = oracle(view, drawn.events, t)
        assert {} == differences(view, got, expected, drawn.events, t)


@pytest.mark.parametrize("as_known", [False, True])
@pytest.mark.parametrize("name", VIEWS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), sizes=st.sampled_from([1, 2, 7, 50, 100_000]))
def test_training_frames_answer_what_brute_force_gives(
    name: str, as_known: bool, data: st.DataObject, sizes: int
) -> None:
    """Several keys, cut into batches anywhere; `as_known` leaves out what was accepted later."""
    view = VIEWS[name]
    drawn = data.draw(st.lists(streams(view), min_size=1, max_size=3))
    answered = offline(view, drawn, as_known, sizes)
    for one, answers in zip(drawn, answered, strict=True):
        for t, got in zip(one.times, answers, strict=True):
            events = [event for event in one.events if not as_known or known(event) <= t]
            assert {} == differences(view, got, oracle(view, events, t), events, t)
