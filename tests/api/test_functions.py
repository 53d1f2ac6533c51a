"""Views with a function: what `POST /ingest` answers, and what `get-features` then serves."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import AppliedAggregation, AppliedView, WorkspaceState
from tecton.testing import build_function_view, build_source, build_state, build_view
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp
from tests.api.conftest import TODAY, World, stamp

SOURCE = build_source(
    "clicks",
    (
        Field("user_id", String),
        Field("timestamp", Timestamp),
        Field("clicked", Int64),
        Field("ad", String),
    ),
)
KEYS = (Field("user_id", String), Field("timestamp", Timestamp))
RETURNED = (*KEYS, Field("doubled", Int64))
DOUBLED = """
def fv(record):
    return {
        "user_id": record["user_id"], "timestamp": record["timestamp"],
        "doubled": 2 * record["clicked"],
    }
"""


def view(
    function: str = DOUBLED, fields: Sequence[Field] = RETURNED, **changes: Any
) -> AppliedView:
    source = changes.pop("source", SOURCE)
    return build_function_view(source, textwrap.dedent(function), fields, name="fv", **changes)


def apply(world: World, *views: AppliedView, **changes: Any) -> WorkspaceState:
    source = changes.pop("source", SOURCE)
    return world.apply(build_state([source], views, name="w", **changes))


def body(*records: Any, dry_run: bool = False) -> Any:
    listed = {"clicks": [{"record": record} for record in records]}
    return {"workspace_name": "w", "dry_run": dry_run, "records": listed}


def click(clicked: int | None = 1, user: str = "u", ad: str = "a", **before: float) -> Any:
    return {"user_id": user, "timestamp": stamp(**before), "clicked": clicked, "ad": ad}


def counts(answer: Any) -> dict[str, str]:
    listed = answer.json["ingestMetrics"]["featureViewIngestMetrics"]
    return {one["featureViewName"]: one["onlineRecordIngestCount"] for one in listed}


def served(world: World, user: str = "u", name: str = "ad_ctr_feature_service") -> Any:
    asked = {"workspace_name": "w", "feature_service_name": name, "join_key_map": {"user_id": user}}
    answer = world.features({"params": asked})
    assert answer.status_code == 200, answer.json
    return answer.json["result"]["features"]


def record_errors(world: World, function: str, record: Any, **changes: Any) -> list[Any]:
    apply(world, view(function, **changes))
    before = world.contents()
    answer = world.send(body(record))
    assert answer.status_code == 400, answer.json
    assert before == world.contents()
    return [
        (error["featureViewName"], error["recordIndex"], error["errorMessage"])
        for error in answer.json["recordErrors"]
    ]


def test_returned_row_is_served_at_once(world: World) -> None:
    """The function runs before the answer."""
    apply(world, view())
    answer = world.send(body(click(4, hours=1), click(3, hours=2)))
    assert (answer.status_code, counts(answer)) == (200, {"fv": "2"})
    assert served(world) == ["8"]


def test_view_without_a_function_takes_the_record_as_it_is(world: World) -> None:
    """Each view of a source gets what it says."""
    apply(world, view(), build_view(SOURCE, name="plain"))
    answer = world.send(body(click(4)))
    assert counts(answer) == {"fv": "1", "plain": "1"}
    assert served(world) == ["8", "a", "4"]


def test_record_that_yields_no_row_changes_nothing(world: World) -> None:
    """It is taken all the same, and counts no row."""
    function = DOUBLED.replace("def fv", "def row") + (
        "\ndef fv(record):\n    return row(record) if record['clicked'] > 1 else None\n"
    )
    apply(world, view(function))
    assert counts(world.send(body(click(2, hours=2)))) == {"fv": "1"}
    assert counts(world.send(body(click(1, hours=1)))) == {"fv": "0"}
    assert served(world) == ["4"]


def test_one_record_yields_rows_for_several_keys(world: World) -> None:
    """A list is as many rows; of those with one identity the last counts."""
    function = """
    def fv(record):
        row = {"timestamp": record["timestamp"], "doubled": record["clicked"]}
        return [
            {**row, "user_id": "x", "doubled": 1}, {**row, "user_id": "y"},
            {**row, "user_id": "x", "doubled": 2},
        ]
    """
    apply(world, view(function))
    assert counts(world.send(body(click(7)))) == {"fv": "2"}
    assert [served(world, user) for user in "xyu"] == [["2"], ["7"], [None]]


def test_function_gets_values_of_the_declared_types(world: World) -> None:
    """Times are datetimes in UTC, never strings; nulls are None, also inside."""
    fields = (
        *KEYS,
        Field("n", Int64),
        Field("x", Float64),
        Field("is_new", Bool),
        Field("tags", Array(Struct([Field("at", Timestamp), Field("n", Int64)]))),
        Field("by_name", Map(String, Float64)),
        Field("missing", String),
    )
    function = """
    from datetime import datetime, timedelta, timezone

    def fv(record):
        at = record["timestamp"]
        assert type(at) is datetime and at.tzinfo is timezone.utc
        assert type(record["n"]) is int and type(record["x"]) is float
        assert record["is_new"] is True and record["missing"] is None
        assert type(record["tags"]) is list and record["tags"][1] is None
        first = record["tags"][0]
        assert type(first["at"]) is datetime and first["n"] is None
        assert record["by_name"] == {"a": 1.5, "b": None}
        first["at"] += timedelta(microseconds=1)
        return record
    """
    source = build_source("clicks", fields)
    apply(world, view(function, fields, source=source), source=source)
    record = {
        "user_id": "u",
        "timestamp": stamp(),
        "n": 2**63 - 1,
        "x": 3,
        "is_new": True,
        "tags": [{"at": "2023-01-02T00:00:00+01:00", "n": None}, None],
        "by_name": {"b": None, "a": 1.5},
        "missing": None,
    }
    answer = world.send(body(record))
    assert answer.status_code == 200, answer.json
    tags = [["2023-01-01T23:00:00.000001Z", None], None]
    expected = [{"a": 1.5, "b": None}, True, None, str(2**63 - 1), tags, 3.0]
    assert expected == served(world)


def test_views_do_not_see_each_others_changes(world: World) -> None:
    """Each function gets a copy of its own."""
    fields = (*KEYS, Field("list", Array(Int64)))
    source = build_source("clicks", fields)
    adds = "def fv(record):\n    record['list'].append(1)\n    return record\n"
    views = [build_function_view(source, adds, fields, name=name) for name in ("first", "second")]
    apply(world, *views, source=source)
    world.send(body({"user_id": "u", "timestamp": stamp(), "list": []}))
    assert served(world) == [["1"], ["1"]]


def test_pandas_function(world: World) -> None:
    """It gets a frame typed as training frames are, and returns one."""
    fields = (
        *KEYS,
        Field("n", Int64),
        Field("x", Float64),
        Field("is_new", Bool),
        Field("tags", Array(Int64)),
        Field("name", String),
    )
    function = """
    def fv(frame):
        types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
        assert types == {
            "user_id": "object", "timestamp": "datetime64[us, UTC]", "n": "Int64", "x": "float64",
            "is_new": "boolean", "tags": "object", "name": "object",
        }, types
        return frame.assign(n=frame["n"] + 1, name=frame["name"].str.upper())
    """
    source = build_source("clicks", fields)
    apply(world, view(function, fields, mode="pandas", source=source), source=source)
    record = {
        "user_id": "u",
        "timestamp": stamp(),
        "n": 2**62 + 1,
        "x": None,
        "is_new": None,
        "tags": [1, None],
        "name": "é",
    }
    answer = world.send(body(record))
    assert answer.status_code == 200, answer.json
    assert served(world) == [None, str(2**62 + 2), "É", ["1", None], None]


def test_aggregates_of_what_a_function_returns(world: World) -> None:
    """The schema is that after the transformation and before aggregation."""
    hour = AppliedAggregation(
        name="sum_1h", column="doubled", function="sum", time_window=timedelta(hours=1)
    )
    apply(world, view(aggregations=(hour,), ttl=None))
    world.send(body(click(1, minutes=3), click(2, minutes=2), click(5, hours=2)))
    assert 200 != world.send(body(click(1, hours=2))).status_code
    world.send(body(click(1, minutes=3), click(2, minutes=2)))
    assert served(world) == ["6"]


def test_event_key_is_that_of_the_record(world: World) -> None:
    """Rows of records with different event keys are different events, whatever is returned."""
    source = build_source(
        "clicks", (*KEYS, Field("clicked", Int64), Field("ad", String)), event_key=("ad",)
    )
    day = AppliedAggregation(
        name="sum_1d", column="doubled", function="sum", time_window=timedelta(days=1)
    )
    apply(world, view(source=source, aggregations=(day,), ttl=None), source=source)
    world.send(body(click(1, ad="a"), click(2, ad="b"), click(3, ad="b")))
    assert served(world) == ["8"]


def test_dry_run_runs_the_function_and_writes_nothing(world: World) -> None:
    """Also in a development workspace."""
    apply(world, view(), live=False)
    before = world.contents()
    answer = world.send(body(click(4), dry_run=True))
    assert (answer.status_code, counts(answer)) == (200, {"fv": "0"})
    wrong = world.send(body(click(4), click(None), dry_run=True))
    assert [error["recordIndex"] for error in wrong.json["recordErrors"]] == [1]
    assert before == world.contents()


def test_exception_names_line_and_message(world: World) -> None:
    """A person finds it: the view, the function, the line in it, what stands there."""
    function = """
    LIMIT = 0

    def helper(x):
        # of one
        return 1 / x

    def fv(record):
        return {"x": helper(LIMIT)}
    """
    [error] = record_errors(world, function, click())
    place = "function fv failed in line 3 of helper (`return 1 / x`)"
    assert error == ("fv", 0, f"{place}: ZeroDivisionError: division by zero")


def row_with(**values: str) -> str:
    changed = ", ".join(f"{name!r}: {value}" for name, value in values.items())
    return (
        "from datetime import datetime, timedelta, date\nfrom decimal import Decimal\n"
        "def fv(record):\n    row = {'user_id': 'u', 'timestamp': record['timestamp'], "
        f"'doubled': 1}}\n    return {{**row, {changed}}}\n"
    )


WRONG = {
    "text for an integer": (row_with(doubled="'2'"), "column `doubled`: expected Int64"),
    "float for an integer": (row_with(doubled="2.0"), "column `doubled`: expected Int64"),
    "bool for an integer": (row_with(doubled="True"), "column `doubled`: expected Int64"),
    "decimal": (row_with(doubled="Decimal(1)"), "(of type Decimal)"),
    "integer out of range": (row_with(doubled="2**63"), "column `doubled`: expected Int64"),
    "text for a time": (
        row_with(timestamp="record['timestamp'].isoformat()"),
        "column `timestamp`: expected Timestamp (a datetime with a time zone)",
    ),
    "naive time": (
        row_with(timestamp="datetime(2023, 1, 1)"),
        "(of type datetime without a time zone)",
    ),
    "date for a time": (row_with(timestamp="date(2023, 1, 1)"), "(of type date)"),
    "null key": (row_with(user_id="None"), "column `user_id` must not be null"),
    "null time": (row_with(timestamp="None"), "column `timestamp` must not be null"),
    "unknown column": (row_with(other="1"), "column `other` is not in the schema"),
    "lone surrogate": (row_with(user_id=r"'\ud800'"), "String without lone surrogates"),
    "missing column": (
        "def fv(record):\n    return {'user_id': 'u', 'timestamp': record['timestamp']}\n",
        "column `doubled` of the schema is missing",
    ),
    "no row": ("def fv(record):\n    return [1]\n", "expected a dict, a list of dicts or None"),
    "too many rows": (
        "def fv(record):\n    return [record] * 1001\n",
        "expected at most 1,000 rows of a record, saw 1,001",
    ),
    "NUL in a key": (row_with(user_id=r"'a\0'"), "join key `user_id` must not contain NUL"),
    "long key": (row_with(user_id="'x' * 513"), "join key `user_id` must be at most 512 bytes"),
    "time ahead": (
        row_with(timestamp="record['timestamp'] + timedelta(hours=1)"),
        "is more than 10 minutes ahead of the clock",
    ),
    "time before 1970": (
        row_with(timestamp="record['timestamp'] - timedelta(days=40000)"),
        "is before 1970",
    ),
    "time outside of the ttl": (
        row_with(timestamp="record['timestamp'] - timedelta(days=8)"),
        "timestamp value is outside of the serving TTL defined for Feature View fv",
    ),
    "exit": ("import sys\ndef fv(record):\n    sys.exit(1)\n", "SystemExit: 1"),
    "exception that cannot be shown": (
        "class E(Exception):\n    def __str__(self):\n        raise ValueError\n"
        "def fv(record):\n    raise E()\n",
        "line 2 of fv (`raise E()`)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_row_refuses_the_request(case: str, world: World) -> None:
    """The error names view and column, what was expected and what was seen; nothing is written."""
    function, expected = WRONG[case]
    [(name, index, message)] = record_errors(world, function, click())
    assert (name, index) == ("fv", 0)
    assert expected in message


def test_every_bad_record_of_every_kind_is_listed(world: World) -> None:
    """Those that the schema refuses, and those with which a function fails."""
    apply(world, view())
    answer = world.send(body(click(None), {"user_id": "u"}, click(1), click(None)))
    listed = [
        (error.get("featureViewName"), error["recordIndex"])
        for error in answer.json["recordErrors"]
    ]
    assert {("fv", 0), (None, 1), ("fv", 3)} == set(listed)
    assert served(world) == [None]


def test_record_may_lack_what_only_the_function_gives(world: World) -> None:
    """Join keys and timestamp are those of the returned row."""
    fields = (Field("who", String), Field("seconds", Int64))
    source = build_source("clicks", fields)
    function = """
    from datetime import datetime, timezone

    def fv(record):
        at = datetime.fromtimestamp(record["seconds"], timezone.utc)
        return {"user_id": record["who"] or "nobody", "timestamp": at, "doubled": 1}
    """
    apply(world, view(function, source=source), source=source)
    answer = world.send(body({"who": None, "seconds": int(TODAY.timestamp())}))
    assert answer.status_code == 200, answer.json
    assert served(world, "nobody") == ["1"]


@pytest.fixture
def quick(tmp_path: Path, redis_online: RedisOnlineStore, redis_url: str) -> Any:
    """A world in which a function may take 300 ms."""
    timeout = timedelta(milliseconds=300)
    world = World(tmp_path / "store", redis_online, redis_url, function_timeout=timeout)
    yield world
    world.close()


STOPS = {
    "slow": ("    while True:\n        pass\n", "took longer than 0.3 s for one record"),
    "holding the interpreter's lock": (
        "    ctypes.PyDLL(None).sleep(30)\n",
        "took longer than 0.3 s for one record",
    ),
    "exiting": ("    os._exit(7)\n", "ended its process with exit code 7"),
    "crashing": ("    ctypes.string_at(0)\n", "ended its process by signal 11 (SIGSEGV)"),
}


@pytest.mark.parametrize("case", STOPS)
def test_function_that_stops_its_process_fails_alone(case: str, quick: World) -> None:
    """A 500 with the view's name and the request's id; the next request is served."""
    code, reason = STOPS[case]
    function = f"import ctypes, os\n{DOUBLED.replace('def fv', 'def inner')}\ndef fv(record):\n"
    function += f"    if record['clicked'] != 13:\n        return inner(record)\n{code}"
    apply(quick, view(function))
    assert quick.send(body(click(1, hours=1))).status_code == 200
    before = quick.contents()
    answer = quick.send(body(click(2), click(13)))
    assert answer.status_code == 500
    error = answer.json["requestError"]
    assert error["errorType"] == "InternalError"
    assert error["errorMessage"] == (
        f"the function of Feature View fv {reason}; nothing was written, request id "
        f"{answer.headers['X-Request-ID']}"
    )
    assert before == quick.contents()
    assert quick.send(body(click(3))).status_code == 200
    assert served(quick) == ["6"]


def test_slow_function_holds_up_no_other_request(quick: World) -> None:
    """Other views are served meanwhile, with a function or without."""
    slow = "import time\ndef fv(record):\n    time.sleep(10)\n"
    other = build_source("other", SOURCE.fields)
    views = (view(slow), build_function_view(other, DOUBLED, RETURNED, name="quick"))
    quick.apply(build_state([SOURCE, other], views, name="w"))
    answers: list[int] = []
    sending = threading.Thread(target=lambda: answers.append(quick.send(body(click())).status_code))
    sending.start()
    request = {**body(), "records": {"other": [{"record": click(2)}]}}
    assert quick.send(request).status_code == 200
    sending.join()
    assert answers == [500]


def test_views_without_a_function_start_no_process(world: World) -> None:
    """The pool starts with the first record that needs it, and ends with the service."""
    before = {child.pid for child in psutil.Process().children()}
    plain = build_source("plain", SOURCE.fields)
    views = (view(), build_view(plain, name="plain"))
    world.apply(build_state([SOURCE, plain], views, name="w"))
    taken = world.send({**body(), "records": {"plain": [{"record": click()}]}})
    assert taken.status_code == 200
    assert before >= {child.pid for child in psutil.Process().children()}
    world.send(body(click()))
    started = {child.pid for child in psutil.Process().children()} - before
    assert started
    world.backend.functions.close()
    assert not started & {child.pid for child in psutil.Process().children()}


def test_functions_turned_off(
    tmp_path: Path, redis_online: RedisOnlineStore, redis_url: str
) -> None:
    """Views with a function refuse records then, and others take them."""
    world = World(tmp_path / "store", redis_online, redis_url, functions=False)
    plain = build_source("plain", SOURCE.fields)
    views = (view(), build_view(plain, name="plain"))
    world.apply(build_state([SOURCE, plain], views, name="w"))
    answer = world.send(body(click()))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "functions are turned off (TECTON_FUNCTIONS=off)" in answer.text
    other = {**body(), "records": {"plain": [{"record": click()}]}}
    assert world.send(other).status_code == 200
    world.close()


def test_emptied_redis_is_filled_by_the_same_function(world: World) -> None:
    """A replay of the push log runs the function again."""
    state = apply(world, view())
    world.send(body(click(4, "u"), click(5, "v")))
    world.online.client.flushall()
    world.online.mark_loaded([state.views[0].id])
    world.restart()
    world.ingest.recover()
    assert [served(world, user) for user in "uv"] == [["8"], ["10"]]


def test_history_of_a_view_runs_its_function(world: World) -> None:
    """A reload without a JVM reads pushed records, and takes what the function returns."""
    state = apply(world, view(), build_view(SOURCE, name="plain"))
    world.send(body(click(4, "u"), click(5, "v")))
    rows = [row for rows in world.backend.history.rows(state, state.views[0], None) for row in rows]
    assert [(row.key, row.body) for row in rows] == [('["u"]', b"[8]"), ('["v"]', b"[10]")]


LATER = {
    "fails": DOUBLED,
    "stops": "import os\n"
    + DOUBLED.replace(
        "    return", "    if record['clicked'] is None:\n        os._exit(1)\n    return"
    ),
}


@pytest.mark.parametrize("case", LATER)
def test_record_with_which_a_function_fails_later_is_passed_over(case: str, world: World) -> None:
    """A replay goes on; the other records' rows are there."""
    steady = DOUBLED.replace('2 * record["clicked"]', "1")
    state = apply(world, view(steady))
    world.send(body(click(1, "u"), click(None, "v"), click(3, "x")))
    later = msgspec.structs.replace(view(LATER[case]), id=state.views[0].id)
    world.apply(msgspec.structs.replace(state, version=2, views=(later,)))
    world.online.client.flushall()
    world.online.mark_loaded([later.id])
    world.restart()
    world.ingest.recover()
    assert [served(world, user) for user in "uvx"] == [["2"], [None], ["6"]]
