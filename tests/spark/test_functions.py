"""Views with a function in jobs and training frames: the rows that the service serves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import PySparkException

from tecton.applied import AppliedAggregation, AppliedSource, WorkspaceState
from tecton.errors import FunctionsUnavailable, TectonError
from tecton.functions.transformation import turned_off
from tecton.rows import canonical, decode_body
from tecton.spark.failures import one_line
from tecton.testing import build_function_view, build_source, build_state, build_view
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp
from tests.spark.scene import DAY, MINUTE, Scene, events_of, utc

KEYS = (Field("user_id", String), Field("timestamp", Timestamp))
CLICKS = (*KEYS, Field("clicked", Int64))
RETURNED = (*KEYS, Field("doubled", Int64))
DOUBLED = """
def fv(record):
    if record["clicked"] == 0:
        return None
    return {
        "user_id": record["user_id"].lower(), "timestamp": record["timestamp"],
        "doubled": 2 * record["clicked"],
    }
"""
PANDAS = """
def fv(frame):
    frame = frame[frame["clicked"] != 0]
    return frame.assign(
        user_id=frame["user_id"].str.lower(), doubled=2 * frame["clicked"]
    ).drop(columns="clicked")
"""


def state_of(
    scene: Scene,
    function: str = DOUBLED,
    fields: Sequence[Field] = RETURNED,
    source: AppliedSource | None = None,
    **changes: Any,
) -> WorkspaceState:
    source = source or scene.source()
    view = build_function_view(source, textwrap.dedent(function), fields, **changes)
    return build_state([source], [view])


def failure(scene: Scene, state: WorkspaceState) -> str:
    with pytest.raises((PySparkException, TectonError)) as raised:
        scene.backfill(state)
    return one_line(raised.value)


@pytest.mark.parametrize("function", [DOUBLED, PANDAS], ids=["python", "pandas"])
def test_backfill_and_frontfill_and_frame_run_the_function(scene: Scene, function: str) -> None:
    """The same in batch rows, in pushed records before and after, offline and online."""
    mode = "pandas" if "frame" in function else "python"
    state = state_of(scene, function, mode=mode)
    scene.write_batch(
        ("A", utc(1, 1), 1), ("B", utc(1, 2), 0), ("B", utc(2, 2), 5), (None, utc(2, 3), 0)
    )
    scene.push(state, ("C", utc(3, 1), 3), ("A", utc(3, 1), 4), ("A", utc(3, 2), 0))
    scene.backfill(state)
    assert scene.offline(state) == [
        ("batch", "a", utc(1, 1), 2),
        ("batch", "b", utc(2, 2), 10),
        ("push", "a", utc(3, 1), 8),
        ("push", "c", utc(3, 1), 6),
    ]
    assert [b"[8]", b"[10]", b"[6]"] == scene.served(state, "a", "b", "c")
    scene.push(state, ("C", utc(3, 3), 7), ("C", utc(3, 4), 0))
    asked = events_of(("a", utc(2)), ("a", utc(3, 5)), ("c", utc(3, 5)), ("C", utc(3, 5)))
    for options in ({}, {"from_source": True}):
        frame = scene.train(state, asked, **options).to_pandas()
        assert frame["click_events_fv__doubled"].fillna(-1).tolist() == [2, 8, 14, -1]
    scene.clock.advance(DAY)
    scene.frontfill(state)
    assert ("push", "c", utc(3, 3), 14) in scene.offline(state)
    frame = scene.train(state, asked, from_source=False).to_pandas()
    assert frame["click_events_fv__doubled"].fillna(-1).tolist() == [2, 8, 14, -1]


def test_report_counts_source_rows_and_feature_rows(scene: Scene) -> None:
    """What the function drops, and what collapses, is told apart."""
    state = state_of(scene)
    scene.write_batch(("A", utc(1, 1), 1), ("a", utc(1, 1), 2), ("B", utc(1, 2), 0))
    [report] = [report for report in scene.backfill(state)[:-1] if report.rows]
    assert (report.rows, report.kept, report.collapsed, report.keyless) == (3, 1, 1, 0)


def test_one_record_yields_several_rows(scene: Scene) -> None:
    """Of those with one identity the last counts; a pushed one replaces that of the batch."""
    function = """
    def fv(record):
        row = {"user_id": record["user_id"], "timestamp": record["timestamp"]}
        both = [{**row, "doubled": 1}, {**row, "doubled": 0}]
        return [*both, {**row, "user_id": "all", "doubled": record["clicked"]}]
    """
    state = state_of(scene, function)
    scene.write_batch(("a", utc(1, 1), 4))
    scene.push(state, ("a", utc(1, 1), 5))
    scene.backfill(state)
    assert [b"[0]", b"[5]"] == scene.served(state, "a", "all")
    frame = scene.train(state, events_of(("a", utc(2)), ("all", utc(2)))).to_pandas()
    assert frame["click_events_fv__doubled"].tolist() == [0, 5]


def test_event_key_of_the_record_tells_rows_apart(scene: Scene) -> None:
    """It is kept beside what the function returns, and is no feature."""
    source = scene.source(event_key=("clicked",))
    hour = AppliedAggregation(
        name="n", column="doubled", function="sum", time_window=timedelta(hours=1)
    )
    function = DOUBLED.replace('2 * record["clicked"]', "1")
    state = state_of(scene, function, source=source, aggregations=(hour,), ttl=None)
    at = utc(3, 11, 30)
    scene.write_batch(("a", utc(1, 1), 1), ("a", utc(1, 1), 2), ("a", utc(1, 1), 2))
    scene.push(state, ("a", at, 1), ("a", at, 2), ("a", at, 2), ("a", at + MINUTE, 2))
    scene.backfill(state)
    asked = events_of(("a", utc(1, 1)), ("a", at), ("a", utc(3, 12)))
    for options in ({}, {"from_source": True}, {"from_source": False}):
        frame = scene.train(state, asked, **options).to_pandas()
        assert frame["click_events_fv__n"].tolist() == [2, 2, 3]
    table = scene.stores.offline_table(state, state.views[0])
    assert "_event_clicked" in table.read(table.version() or 0).columns


@pytest.mark.parametrize("has_function", [False, True], ids=["as it is", "by a function"])
def test_nested_values_and_nulls_go_through(scene: Scene, has_function: bool) -> None:
    """Array, Struct and Map, with nulls inside, from batch and pushed records alike."""
    fields = (
        *KEYS,
        Field("tags", Array(Struct([Field("at", Timestamp), Field("n", Int64)]))),
        Field("by_name", Map(String, Float64)),
        Field("deep", Map(String, Array(Map(String, Int64)))),
        Field("one", Struct([Field("x", Float64), Field("list", Array(String))])),
        Field("is_new", Bool),
    )
    source = scene.source(columns=build_source(fields=fields).columns)
    plain = build_state([source], [build_view(source)])
    same = state_of(scene, "def fv(record):\n    return record\n", fields, source)
    state = same if has_function else plain
    tags = [{"at": utc(1, 0, 1, 7), "n": None}, None]
    deep = {"x": [{"y": None, "z": 2**63 - 1}, None], "w": None}
    values = {"tags": tags, "by_name": {"b": None, "a": 1.5}, "deep": deep, "is_new": None}
    record = {"user_id": "a", "timestamp": utc(1, 1), **values, "one": {"x": None, "list": [None]}}
    nothing = {**dict.fromkeys([field.name for field in fields]), "timestamp": utc(1, 2)}
    rows = [record, {**nothing, "user_id": "b"}]
    schema = pa.schema([(field.name, field.dtype.arrow()) for field in fields])
    pq.write_table(pa.Table.from_pylist(_with_items(rows), schema), scene.batch_uri)
    scene.push(state, {**record, "user_id": "c"}, {**nothing, "user_id": "d"})
    scene.backfill(state)
    stored = [decode_body(body or b"") for body in scene.served(state, *"abcd")]
    assert stored[0] == stored[2] == list(canonical(fields[2:], record).values())
    assert stored[1] == stored[3] == [None] * 5
    asked = events_of(*((user, utc(3)) for user in "abcd"))
    for options in ({}, {"from_source": True}, {"from_source": False}):
        frame = scene.train(state, asked, **options).to_pandas()
        found = frame[[f"click_events_fv__{name}" for name in ("tags", "by_name", "deep", "one")]]
        for first, second in ((0, 2), (1, 3)):
            assert found.iloc[first].tolist() == found.iloc[second].tolist()
        assert found.iloc[0].tolist() == [tags, {"a": 1.5, "b": None}, deep, record["one"]]
        assert found.iloc[1].tolist() == [None] * 4


def _with_items(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their maps as Arrow takes them."""
    maps = [{**row, "by_name": row["by_name"] and list(row["by_name"].items())} for row in rows]
    deep = [
        row["deep"]
        and [
            (key, item and [one and list(one.items()) for one in item])
            for key, item in row["deep"].items()
        ]
        for row in rows
    ]
    return [{**row, "deep": one} for row, one in zip(maps, deep, strict=True)]


FAILS = {
    "exception": (
        "def fv(record):\n    return {'x': 1 / (record['clicked'] - 2)}\n",
        "Feature View click_events_fv: function fv failed in line 2 of fv (`return {'x': 1 / "
        '(record[\'clicked\'] - 2)}`): ZeroDivisionError; the record: user_id "b", timestamp "',
    ),
    "wrong type": (
        "def fv(record):\n    return {'user_id': 'u', 'timestamp': record['timestamp'], "
        "'doubled': 'secret'}\n",
        "column `doubled`: expected Int64 (an integer in ±2^63), saw a value of type str; "
        "the record: user_id",
    ),
    "timestamp out of the period": (
        "from datetime import timedelta\ndef fv(record):\n    record['timestamp'] += "
        "timedelta(days=30)\n    return {'doubled': record.pop('clicked'), **record}\n",
        "out of the period",
    ),
    "text that does not run": ("raise ValueError('no')\n", "does not run here: ValueError: no"),
}


@pytest.mark.parametrize("case", FAILS)
def test_function_that_fails_stops_the_job(case: str, scene: Scene) -> None:
    """With the line and the record's keys, and nothing else that is in it."""
    function, expected = FAILS[case]
    state = state_of(scene, function)
    scene.write_batch(("b", utc(1, 1), 2))
    told = failure(scene, state)
    assert expected in told
    assert "secret" not in told.partition("; the record")[0].replace("'secret'", "")
    assert scene.offline(state) == []


def test_pushed_record_with_which_a_function_fails_stops_the_job(scene: Scene) -> None:
    """As one of the batch source does."""
    state = state_of(scene, "def fv(record):\n    return 1 / 0\n")
    scene.write_batch()
    scene.push(state, ("a", utc(3, 1), 1))
    assert 'ZeroDivisionError; the record: user_id "a"' in failure(scene, state)


NOT_BY_ITSELF = {
    "mean of all": "def fv(f):\n    f['doubled'] = (f.pop('clicked') * 0 + len(f))\n    return f\n",
    "sorted and numbered anew": (
        "def fv(f):\n    f['doubled'] = f.pop('clicked')\n"
        "    return f.sort_values('doubled', ascending=False).reset_index(drop=True)\n"
    ),
    "fails on many": (
        "def fv(f):\n    assert len(f) == 1\n    f['doubled'] = f.pop('clicked')\n    return f\n"
    ),
}


@pytest.mark.parametrize("case", NOT_BY_ITSELF)
def test_pandas_function_must_treat_each_row_by_itself(case: str, scene: Scene) -> None:
    """A row's features must not depend on which others were computed with it."""
    state = state_of(scene, NOT_BY_ITSELF[case], mode="pandas")
    scene.write_batch(*(("a", utc(1, 1) + n * MINUTE, n) for n in range(20)))
    assert "gives something else" in failure(scene, state)


def test_pandas_function_may_drop_the_index(scene: Scene) -> None:
    """Then records go one at a time, so that each row is that of its record."""
    function = (
        "def fv(f):\n    f['doubled'] = f.pop('clicked')\n"
        "    return f[f['doubled'] % 3 == 0].reset_index(drop=True)\n"
    )
    state = state_of(scene, function, mode="pandas", source=scene.source(event_key=("clicked",)))
    scene.write_batch(*(("a", utc(1, 1) + n * MINUTE, n) for n in range(20)))
    scene.backfill(state)
    assert [row[3] for row in scene.offline(state)] == [0, 3, 6, 9, 12, 15, 18]


def test_functions_turned_off(scene: Scene) -> None:
    """A job says so, on the driver."""
    state = turned_off(state_of(scene))
    scene.write_batch(("a", utc(1, 1), 1))
    with pytest.raises(FunctionsUnavailable, match="functions are turned off"):
        scene.backfill(state)
