"""The point-in-time join: against a plain Python oracle, and each rule of contract §5."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any, NamedTuple

import pandas as pd
import pytest

from tecton.errors import InvalidEvents, NotFound, ViewNotLoaded
from tecton.rows import batch_sequence, encode_body
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import micros_of
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp
from tests.spark.scene import DAY, MINUTE, NOW, Scene, events_of, text, utc


class _Row(NamedTuple):
    """What the oracle knows of a row."""

    user: str
    at: int
    sequence: int
    clicked: int | None


def _oracle(rows: list[_Row], user: str, at: int, ttl: int, as_known: bool = False) -> int | None:
    """The newest row at a time, by walking over all of them."""
    seen = [
        row
        for row in rows
        if row.user == user and row.at <= at and not (as_known and row.sequence > at)
    ]
    if not seen:
        return None
    best = max(seen, key=lambda row: (row.at, row.sequence, encode_body([row.clicked])))
    return best.clicked if at - best.at <= ttl else None


def _clicks(frame: pd.DataFrame) -> list[int | None]:
    values = frame["click_events_fv__clicked"]
    assert values.dtype == pd.Int64Dtype()
    return [None if value is pd.NA else int(value) for value in values]


def test_training_frame_equals_brute_force(scene: Scene) -> None:
    """Each value is what an online read at that row's timestamp would have answered."""
    draw = random.Random(7)
    users = [f"u{number}" for number in range(60)]
    ttl = timedelta(minutes=12)
    state = scene.example(ttl=ttl, feature_start_time=utc(1))
    # Few distinct minutes, so that ties, duplicates and corrections abound.
    moments = [utc(2, 10) + draw.randrange(40) * MINUTE for _ in range(25)]
    values = [None, 0, 1, 2, 10, 2**53 + 1, -(2**63)]
    batch = [(draw.choice(users), draw.choice(moments), draw.choice(values)) for _ in range(500)]
    scene.write_batch(*batch)
    pushed: list[_Row] = []

    def push(count: int) -> None:
        for _ in range(count):
            picked = [
                (draw.choice(users), draw.choice(moments), draw.choice(values)) for _ in range(30)
            ]
            # Accepted at random times, before and after the events; sequences never repeat.
            start = micros_of(utc(2, 10)) + draw.randrange(40 * 60) * 1_000_000 + len(pushed)
            sequences = [start + 50_000 * number for number in range(30)]
            writer = draw.randrange(2)
            scene.push(state, *picked, sequences=sequences, writer=writer)
            pushed.extend(
                _Row(user, micros_of(at), sequence, clicked)
                for (user, at, clicked), sequence in zip(picked, sequences, strict=True)
            )

    push(4)
    scene.backfill(state)
    push(4)
    asked = events_of(
        *(
            (draw.choice([*users, "stranger"]), utc(2, 9, 55) + draw.randrange(60) * MINUTE)
            for _ in range(800)
        )
    )
    run = batch_sequence(NOW)
    rows = pushed + [_Row(user, micros_of(at), run, clicked) for user, at, clicked in batch]
    times = [micros_of(at.to_pydatetime()) for at in asked["timestamp"]]
    ttl_micros = ttl // timedelta(microseconds=1)

    def expected(as_known: bool) -> list[int | None]:
        return [
            _oracle(rows, user, at, ttl_micros, as_known)
            for user, at in zip(asked["user_id"], times, strict=True)
        ]

    assert _clicks(scene.train(state, asked).to_pandas()) == expected(False)
    assert _clicks(scene.train(state, asked, as_known=True).to_pandas()) == expected(True)
    assert _clicks(scene.train(state, asked, from_source=True).to_pandas()) == expected(False)
    taken = [row for row in rows if row not in pushed[120:]]
    rows[:] = taken
    assert _clicks(scene.train(state, asked, from_source=False).to_pandas()) == expected(False)


def test_pandas_events_come_back_as_they_were(scene: Scene) -> None:
    """A pandas input keeps its order, index, columns and types; every row is there once."""
    scene.write_batch(("a", utc(2, 1), 5), ("a", utc(2, 2), 2**53 + 1))
    state = scene.example()
    scene.backfill(state)
    events = pd.DataFrame(
        {
            "label": pd.Categorical(["x", "y", "x", "y"]),
            "user_id": ["a", None, "a", "a"],
            "when": pd.to_datetime(
                [utc(2, 2), utc(2, 3), None, utc(2, 2) - timedelta(microseconds=1)], utc=True
            ).tz_localize(None)
            + pd.Timedelta(999, "ns"),
            3: [{"any": 1}, None, (), 4.5],
        },
        index=pd.MultiIndex.from_tuples([(1, "q"), (1, "q"), (0, "r"), (9, "s")]),
    )
    before = events.copy(deep=True)

    answer = scene.train(state, events).to_pandas()

    pd.testing.assert_frame_equal(before, events)
    pd.testing.assert_frame_equal(events, answer[["label", "user_id", "when", 3]])
    assert _clicks(answer) == [2**53 + 1, None, None, 5]


def test_spark_events_keep_every_row(scene: Scene) -> None:
    """A Spark input keeps its columns and all its rows, equal ones included."""
    scene.write_batch(("a", utc(2, 1), 5))
    state = scene.example()
    scene.backfill(state)
    event = f"('a', timestamp'{text(utc(2, 2))}', map('k', 1))"
    events = scene.spark.sql(
        f"SELECT * FROM VALUES {event}, {event}, (null, null, null) "  # noqa: S608
        "AS t(user_id, `the time`, extra)"
    )

    answer = scene.train(state, events).to_spark()

    assert answer.columns == ["user_id", "the time", "extra", "click_events_fv__clicked"]
    found = [(row[0], row[2], row[3]) for row in answer.collect()]
    assert sorted(found, key=str) == [("a", {"k": 1}, 5), ("a", {"k": 1}, 5), (None, None, None)]


def test_ttl_is_inclusive_and_the_event_of_the_same_time_counts(scene: Scene) -> None:
    """An event is served while its age is at most the ttl; one at the very time is known."""
    scene.write_batch(("a", utc(1), 1))
    state = scene.example(ttl=DAY)
    scene.backfill(state)
    micro = timedelta(microseconds=1)
    asked = events_of(("a", utc(1) - micro), ("a", utc(1)), ("a", utc(2)), ("a", utc(2) + micro))

    assert _clicks(scene.train(state, asked).to_pandas()) == [None, 1, 1, None]


def test_the_whole_newest_row_is_taken(scene: Scene) -> None:
    """A null in the newest row does not bring an older value back."""
    state = scene.example(feature_start_time=None, ttl=None)
    scene.write_batch(("a", utc(1, 1), 1), ("a", utc(1, 2), None))
    asked = events_of(("a", utc(1, 1)), ("a", utc(1, 3)))

    assert _clicks(scene.train(state, asked, from_source=True).to_pandas()) == [1, None]


def test_types_come_back_exactly(scene: Scene) -> None:
    """Int64 as Int64, Bool as boolean, Timestamp as datetime64, nested as Python has it."""
    fields = (
        Field("k", Int64),
        Field("at", Timestamp),
        Field("b", Bool),
        Field("f", Float64),
        Field("i", Int64),
        Field("s", String),
        Field("t", Timestamp),
        Field("l", Array(Int64)),
        Field("m", Map(String, Float64)),
        Field("r", Struct([Field("x", Int64), Field("t", Timestamp)])),
    )
    source = build_source(fields=fields)
    view = build_view(source, join_keys=("k",), timestamp_field="at", ttl=None)
    state = build_state([source], [view])
    at = utc(2, 0, 0, 1)
    full = {
        "k": 2**63 - 1, "at": at, "b": True, "f": 0.1, "i": -(2**63), "s": "é\0\u2028",
        "t": at, "l": [2**53 + 1, None], "m": {"z": 1.5, "a": None}, "r": {"x": 1, "t": at},
    }  # fmt: skip
    empty = {**dict.fromkeys(full), "k": 1, "at": at}
    scene.push(state, full, empty)
    scene.backfill(state)
    asked = pd.DataFrame({"k": [1, 2**63 - 1, 3], "at": [at] * 3})

    answer = scene.train(state, asked).to_pandas()

    prefix = f"{view.name}__"
    found = answer.rename(columns=lambda name: name.removeprefix(prefix))
    assert list(found) == ["k", "at", "b", "f", "i", "l", "m", "r", "s", "t"]
    assert {name: str(found[name].dtype) for name in "bfilmrst"} == {
        "b": "boolean", "f": "float64", "i": "Int64", "l": "object", "m": "object",
        "r": "object", "s": "object", "t": "datetime64[us, UTC]",
    }  # fmt: skip
    assert {name: found[name][1] for name in "bfilmrst"} == {
        name: full[name] for name in "bfilmrst"
    }
    assert found.loc[[0, 2], list("bfilmrst")].isna().all(axis=None)


def test_from_source_false_needs_materialised_data(scene: Scene) -> None:
    """False reads materialised data alone and is an error if there is none."""
    state = scene.example(offline=False)

    with pytest.raises(NotFound, match="no materialised data"):
        scene.train(state, events_of(("a", utc(1))), from_source=False)


def test_a_view_whose_backfill_has_not_ended_is_not_read(scene: Scene) -> None:
    """Rows that are not there yet are an error, never nulls."""
    state = scene.example()

    with pytest.raises(ViewNotLoaded, match="backfill of feature view click_events_fv"):
        scene.train(state, events_of(("a", utc(1))))


def test_nothing_anywhere_gives_nulls(scene: Scene) -> None:
    """No batch source, no push table, no events: all that is fine."""
    source = build_source()
    state = build_state([source], [build_view(source)])

    assert _clicks(scene.train(state, events_of(("a", utc(1)))).to_pandas()) == [None]
    scene.backfill(state)
    assert _clicks(scene.train(state, events_of()).to_pandas()) == []
    assert _clicks(scene.train(state, events_of(("a", utc(1))), from_source=False).to_pandas()) == [
        None
    ]


@pytest.mark.parametrize(
    ("events", "timestamp_key", "message"),
    [
        (pd.DataFrame({"timestamp": [NOW]}), None, "no column `user_id`"),
        (pd.DataFrame({"user_id": ["a"]}), None, "not one timestamp column but none"),
        (pd.DataFrame({"user_id": ["a"], "t": [NOW], "u": [NOW]}), None, "but `t`, `u`"),
        (pd.DataFrame({"user_id": ["a"], "t": [NOW]}), "x", "timestamp_key `x` is not one column"),
        (pd.DataFrame({"user_id": ["a"], "t": ["2023"]}), "t", "must be a timestamp, it is object"),
        (pd.DataFrame({"user_id": [1], "t": [NOW]}), None, "must be String, it is int64"),
        (pd.DataFrame({"user_id": ["a", 1], "t": [NOW] * 2}), None, "it is 1 in some row"),
        (
            pd.DataFrame({"user_id": ["a"], "t": [NOW], "click_events_fv__clicked": [1]}),
            None,
            "column `click_events_fv__clicked` already",
        ),
        ([("a", NOW)], None, "must be a pandas or Spark DataFrame, they are a list"),
    ],
)
def test_wrong_events_are_said_so(
    scene: Scene, events: Any, timestamp_key: str | None, message: str
) -> None:
    """A missing, wrong or ambiguous column is a clear error."""
    source = build_source()
    state = build_state([source], [build_view(source)])

    with pytest.raises(InvalidEvents, match=message):
        scene.train(state, events, timestamp_key)
