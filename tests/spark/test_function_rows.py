"""Any function, any record: the rows of the service and those of the jobs are the same rows."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tecton.adapters.history import MICROS
from tecton.applied import AppliedAggregation, AppliedView, WorkspaceState
from tecton.arrow_rows import feature_rows
from tecton.functions.calling import InProcess
from tecton.functions.transformation import transformation_of
from tecton.logged import rows_of
from tecton.rows import FeatureRow, canonical, encode_key
from tecton.spark.offline_table import row_fields
from tecton.spark.returned import _running
from tecton.stores import LogEntry
from tecton.testing import build_function_view, build_source, build_state
from tecton.timestamps import from_micros
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp
from tests.spark.scene import MINUTE, Scene, events_of, utc

FIELDS = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("n", Int64),
    Field("x", Float64),
    Field("is_new", Bool),
    Field("at", Timestamp),
    Field("words", Array(String)),
    Field("one", Struct([Field("a", Int64), Field("times", Array(Timestamp))])),
    Field("by_name", Map(String, Float64)),
    Field("tx", Int64),
)
AT = datetime(2023, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)

PYTHON = """
from datetime import timedelta

def fv(record):
    n = record["n"]
    if n is not None and n % {drop} == 0:
        return None
    rows = []
    for number in range({rows}):
        row = dict(record)
        row["user_id"] += str(number % {keys})
        row["timestamp"] += timedelta(microseconds=number // 2)
        row["x"] = None if row["x"] is None else row["x"] * 1.5 + number
        row["words"] = sorted({{word for word in row["words"] or [] if word}})
        row["by_name"] = {{**(row["by_name"] or {{}}), "n": n}}
        if record["one"] is not None:
            times = [record["at"], *(record["one"]["times"] or [])]
            row["one"] = {{**record["one"], "times": times}}
        rows.append(row)
    return rows[0] if {rows} == 1 else rows
"""
PANDAS = """
import pandas as pd

def fv(frame):
    frame = frame[frame["n"].isna() | (frame["n"] % {drop} != 0)].copy()
    frame["user_id"] = frame["user_id"] + "0"
    frame["timestamp"] = frame["timestamp"] + pd.Timedelta(microseconds={keys})
    frame["x"] = frame["x"] * 1.5
    frame["n"] = frame["n"] // 2
    frame["is_new"] = ~frame["is_new"]
    return pd.concat([frame] * {rows})
"""

integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
times = st.integers(0, 2**52).map(from_micros)
texts = st.text(st.characters(codec="utf-8"), max_size=5)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from(["a", "b", "é"]),
            "timestamp": st.integers(0, 3).map(lambda step: AT + step * timedelta(seconds=1)),
            "n": maybe(integers),
            "x": maybe(floats),
            "is_new": maybe(st.booleans()),
            "at": maybe(times),
            "words": maybe(st.lists(maybe(texts), max_size=3)),
            "one": maybe(
                st.fixed_dictionaries(
                    {"a": maybe(integers), "times": maybe(st.lists(maybe(times), max_size=2))}
                )
            ),
            "by_name": maybe(st.dictionaries(texts, maybe(floats), max_size=2)),
            "tx": st.integers(0, 2),
        }
    ),
    max_size=12,
)
PARAMETERS = st.fixed_dictionaries(
    {"drop": st.integers(1, 4), "rows": st.integers(1, 4), "keys": st.integers(1, 3)}
)


def state_of(function: str, mode: str, is_aggregating: bool) -> WorkspaceState:
    source = build_source(fields=FIELDS, event_key=("tx",))
    aggregations = (
        AppliedAggregation(name="s", column="x", function="sum", time_window=timedelta(days=1)),
        AppliedAggregation(name="m", column="at", function="max", time_window=timedelta(days=1)),
    )
    changes = {"aggregations": aggregations, "ttl": None} if is_aggregating else {}
    return build_state([source], [build_function_view(source, function, FIELDS, mode, **changes)])


def by_service(state: WorkspaceState, records: Sequence[Mapping[str, Any]]) -> list[FeatureRow]:
    """The rows of a replay, which are those of ingest."""
    source = state.sources[0]
    entries = [
        LogEntry(source.id, number, 1, 1, msgspec.json.encode(canonical(FIELDS, record)))
        for number, record in enumerate(records)
    ]
    return rows_of(state, entries, InProcess())


def by_job(state: WorkspaceState, records: Sequence[Mapping[str, Any]]) -> list[FeatureRow]:
    """The rows of a job's step on an executor, by way of Arrow."""
    source, view = state.sources[0], state.views[0]
    transformation = transformation_of(view, source)
    assert transformation is not None
    sequence = Field("_sequence", Int64)
    names = [*(field.name for field in FIELDS), "_sequence"]
    rows = [
        {**record, "by_name": record["by_name"] and list(record["by_name"].items()), "_sequence": n}
        for n, record in enumerate(records)
    ]
    schema = pa.schema([(f.name, f.dtype.arrow()) for f in (*FIELDS, sequence)])
    [batch] = pa.Table.from_pylist(rows, schema).select(names).to_batches() or [None]
    if batch is None:
        return []
    run = _running(transformation, ["_sequence"], (*row_fields(view), sequence), None)
    return [row for one in run([batch]) for row in _feature_rows(view, one)]


def _feature_rows(view: AppliedView, batch: pa.RecordBatch) -> list[FeatureRow]:
    micros = pc.cast(batch.column(view.timestamp_field), pa.int64())
    ties = pa.array([0] * batch.num_rows, pa.int32())
    arrays = [*batch.columns, micros, ties]
    whole = pa.RecordBatch.from_arrays(arrays, names=[*batch.schema.names, MICROS, "_tie"])
    return list(feature_rows(view, whole, MICROS))


def plain(rows: Sequence[FeatureRow]) -> list[Any]:
    return sorted(
        (row.key, row.timestamp, row.sequence, row.body, row.event and row.event.identity)
        for row in rows
    )


@given(records=RECORDS, parameters=PARAMETERS, is_aggregating=st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_python_function_gives_the_same_rows_everywhere(
    records: list[dict[str, Any]], parameters: dict[str, int], is_aggregating: bool
) -> None:
    """Key, time, body and identity, with nulls and extremes, to the last bit."""
    state = state_of(PYTHON.format(**parameters), "python", is_aggregating)
    assert plain(by_service(state, records)) == plain(by_job(state, records))


@given(records=RECORDS, parameters=PARAMETERS, is_aggregating=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pandas_function_gives_the_same_rows_everywhere(
    records: list[dict[str, Any]], parameters: dict[str, int], is_aggregating: bool
) -> None:
    """A frame of one row and a frame of all give each record the same."""
    state = state_of(PANDAS.format(**parameters), "pandas", is_aggregating)
    assert plain(by_service(state, records)) == plain(by_job(state, records))


def test_stores_agree_on_a_random_stream(scene: Scene) -> None:
    """What jobs load and frames compute is what the service would have written."""
    chance = random.Random(6)
    function = """
def fv(record):
    if record["clicked"] % 5 == 0:
        return None
    rows = []
    for number in range(record["clicked"] % 3 + 1):
        rows.append({
            "user_id": record["user_id"] + str(number), "timestamp": record["timestamp"],
            "squared": record["clicked"] ** 2,
        })
    return rows
"""
    source = scene.source()
    fields = (*FIELDS[:2], Field("squared", Int64))
    state = build_state([source], [build_function_view(source, function, fields)])
    stream = [
        (chance.choice("ab"), utc(1) + chance.randrange(40) * 60 * MINUTE, chance.randrange(30))
        for _ in range(120)
    ]
    # At each time one record, so that batch and push need not be told apart here.
    stream = list({record[1]: record for record in stream}.values())
    scene.write_batch(*stream[::2])
    scene.push(state, *stream[1::2])
    scene.backfill(state)
    names = [field.name for field in source.fields]
    entries = [
        LogEntry(
            source.id,
            number,
            1,
            1,
            msgspec.json.encode(canonical(source.fields, dict(zip(names, record, strict=True)))),
        )
        for number, record in enumerate(stream)
    ]
    newest: dict[str, FeatureRow] = {}
    for row in rows_of(state, entries, InProcess()):
        if row.key not in newest or row.order > newest[row.key].order:
            newest[row.key] = row
    users = [first + second for first in "ab" for second in "012"]
    expected = [newest[encode_key([user])].body for user in users]
    assert expected == scene.served(state, *users)
    asked = events_of(*((user, utc(3)) for user in users))
    for options in ({}, {"from_source": True}, {"from_source": False}):
        frame = scene.train(state, asked, **options).to_pandas()
        found = [b"[%d]" % value for value in frame["click_events_fv__squared"]]
        assert expected == found
