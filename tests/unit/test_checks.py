"""The rules on definitions (contract §1): each broken one is reported, all at once."""

# ruff: noqa: DTZ001 - definitions take naive times, which mean UTC

from __future__ import annotations

import dataclasses
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecton import (
    BatchSource,
    BatchTriggerType,
    Entity,
    FeatureService,
    FileConfig,
    PushConfig,
    StreamFeatureView,
    StreamSource,
)
from tecton.checks import check
from tecton.checks.batch_files import converts
from tecton.definitions import Definition
from tecton.errors import Problem
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp

ROOT = Path("/nowhere")
SCHEMA = [Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)]
START = datetime(2022, 1, 1)
BEYOND_9999 = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14)))
"""A time that UTC has no year for."""


def source(**changes: Any) -> StreamSource:
    """A right source, but for the changes."""
    arguments = {"name": "impressions", "schema": SCHEMA, "stream_config": PushConfig()}
    return StreamSource(**{**arguments, **changes})


def user(**changes: Any) -> Entity:
    """A right entity, but for the changes."""
    return Entity(**{"name": "user", "join_keys": "user_id", **changes})


def manual(end: Any) -> dict[str, Any]:
    """Changes that make a view one with a manual trigger."""
    return {
        "batch_trigger": BatchTriggerType.MANUAL,
        "manual_trigger_backfill_end_time": end,
    }


def view(**changes: Any) -> StreamFeatureView:
    """A right view, but for the changes."""
    arguments = {
        "name": "clicks",
        "source": source(),
        "entities": [user()],
        "online": True,
        "offline": True,
        "feature_start_time": START,
        "ttl": timedelta(days=7),
    }
    return StreamFeatureView(**{**arguments, **changes})


def service(*features: Any, **changes: Any) -> FeatureService:
    """A service of these features."""
    return FeatureService(**{"name": "svc", "features": list(features), **changes})


def found(*definitions: Definition, root: Path = ROOT) -> list[tuple[str, str]]:
    """Name and field of each problem."""
    return [(problem.what.split()[-1], problem.field) for problem in check(definitions, root)]


def messages(*definitions: Definition, root: Path = ROOT) -> str:
    """All messages, one a line."""
    return "\n".join(problem.message for problem in check(definitions, root))


def parquet(path: Path, **columns: pa.Array) -> Path:
    """A parquet file."""
    pq.write_table(pa.table(columns), path)
    return path


def batch(uri: object = "s3://bucket/x", **changes: Any) -> FileConfig:
    """A batch configuration."""
    return FileConfig(**{"uri": uri, "file_format": "parquet", **changes})


def test_right_definitions_have_no_problem() -> None:
    """The documentation's example can be applied."""
    one = view(source=source(batch_config=batch(timestamp_field="timestamp")))
    assert found(one, service(one)) == []


def test_all_problems_are_reported_at_once_with_file_object_and_field() -> None:
    """Each problem says where it is, on what, and what to do."""
    bad = view(ttl=timedelta(0), feature_start_time=None, entities=[user(name="a b")])
    problems = check([bad], ROOT)
    assert {(problem.what, problem.field) for problem in problems} == {
        ('Entity "a b"', "name"),
        ("StreamFeatureView clicks", "feature_start_time"),
        ("StreamFeatureView clicks", "ttl"),
    }
    for problem in problems:
        file, _, line = problem.where.rpartition(":")
        assert file.endswith("test_checks.py")
        assert int(line) > 0


def test_place_is_relative_to_the_repo() -> None:
    """People know their files by their place in the repo."""
    (problem,) = check([user(owner=3)], Path(__file__).parent)
    assert problem.where.startswith("test_checks.py:")


def test_referenced_objects_are_checked_once() -> None:
    """An object that a view uses counts even if no module has it."""
    shared = source(schema=None)
    one = view(source=shared)
    bad = [one, view(source=shared, name="other", entities=one.entities)]
    assert found(*bad) == [("impressions", "schema")]
    assert found(service(view(entities=[user(join_keys=[])]))) == [
        ("user", "join_keys"),
        ("clicks", "entities"),
    ]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "-a", ".a", "a\n", "é", "x" * 129, None, 3, "a\0"]
)
def test_name_that_could_not_be_a_path_or_a_key(name: object) -> None:
    """Names become folders, keys and columns."""
    assert [problem.field for problem in check([user(name=name)], ROOT)] == ["name"]


@pytest.mark.parametrize("name", ["a", "_a", "0", "a.b-c_d", "x" * 128])
def test_good_names(name: str) -> None:
    """Letters, digits, `_`, `.` and `-`."""
    assert found(user(name=name)) == []


def test_two_objects_of_one_name() -> None:
    """Two of one kind and name are refused, also if only case differs; kinds are apart."""
    assert found(user(), user()) == [("user", "name")]
    assert found(user(), user(name="USER")) == [("USER", "name")]
    assert found(view(name="same", source=source(name="same")), user(name="same2")) == []
    assert "test_checks.py" in messages(user(), user())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", 3),
        ("owner", ["a"]),
        ("tags", ["a"]),
        ("tags", {"a": 1}),
        ("prevent_destroy", "yes"),
    ],
)
def test_what_every_object_has_is_of_its_type(field: str, value: object) -> None:
    """Wrong types are told before anything is stored."""
    assert found(user(**{field: value})) == [("user", field)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", "\ud800"),
        ("owner", "a\udfff"),
        ("tags", {"\ud800": "a"}),
        ("tags", {"a": "\ud800"}),
    ],
)
def test_lone_surrogate_is_no_text(field: str, value: object) -> None:
    """The store keeps UTF-8, which has no lone surrogates."""
    (problem,) = check([user(**{field: value})], ROOT)
    assert problem.field == field
    assert "lone surrogate" in problem.message
    problem.message.encode()


# Entities


def test_default_join_key_must_be_a_column_name() -> None:
    """The entity's name is its join key; not every name can be a column."""
    assert found(Entity(name="my-user")) == [("my-user", "join_keys")]
    assert found(Entity(name="user_id")) == []


@pytest.mark.parametrize(
    "keys",
    [[], "", "a b", 3, [3], ["_date"], ["_Sequence"], [Field("a", Float64)], [Field("a", str)]],
)
def test_wrong_join_keys(keys: object) -> None:
    """Join keys are columns of type String or Int64."""
    assert found(user(join_keys=keys)) == [("user", "join_keys")]


# Sources


def test_schema_is_required_with_a_push_config() -> None:
    """Records are checked against it."""
    assert found(source(schema=None)) == [("impressions", "schema")]
    assert found(source(schema=[])) == [("impressions", "schema")]
    assert found(source(schema=["user_id"])) == [("impressions", "schema")]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field("x", str), "a type of `tecton.types`"),
        (Field("x", "Int64"), "a type of `tecton.types`"),
        (Field("x", Struct), "a type of `tecton.types`"),
        (Field("x", Array(int)), "a type of `tecton.types`"),
        (Field("x", Map(Int64, String)), "String for the keys of a Map"),
        (Field("x", Map(String, Array(None))), "a type of `tecton.types`"),
        (Field("x", Struct([])), "without fields"),
        (Field("x", Struct([Field("a", Int64), Field("A", Int64)])), "twice"),
        (Field("clicked", Int64), "twice"),
        (Field("CLICKED", Int64), "twice"),
        (Field("a-b", Int64), "a column name"),
        (Field("1a", Int64), "a column name"),
        (Field("_origin", Int64), "a column of the system"),
    ],
)
def test_wrong_columns(field: Field, words: str) -> None:
    """Unknown types and names that cannot be columns are refused."""
    bad = source(schema=[*SCHEMA, field])
    assert words in messages(bad)
    assert all(name.startswith("schema.") for _, name in found(bad))


def test_source_without_push_config_is_refused() -> None:
    """Other streams come with a later version."""
    assert ("impressions", "stream_config") in found(source(stream_config=None))
    bad = view(source=source(stream_config="kafka"))
    assert found(bad) == [("impressions", "stream_config"), ("clicks", "source")]


@pytest.mark.parametrize(
    "key", ["missing", ["clicked", "clicked"], ["tags"], 3, [3], {"clicked": 1}]
)
def test_wrong_event_key(key: Any) -> None:
    """Event keys are columns of the schema whose values can be compared."""
    fields = [*SCHEMA, Field("tags", Array(String))]
    bad = source(schema=fields, stream_config=PushConfig(event_key=key))
    assert set(found(bad)) == {("impressions", "stream_config.event_key")}


@pytest.mark.parametrize("key", ["user_id", "timestamp"])
def test_event_key_is_apart_from_join_keys_and_timestamp(key: str) -> None:
    """Those tell events apart anyway."""
    bad = view(source=source(stream_config=PushConfig(event_key=key)))
    assert found(bad) == [("clicks", "source")]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"uri": ""}, "uri"),
        ({"uri": None}, "uri"),
        ({"uri": "file://[x"}, "uri"),
        ({"uri": "file:/x%00"}, "uri"),
        ({"uri": "x" * 5000}, "uri"),
        ({"uri": "s3://b/\ud800"}, "uri"),
        ({"file_format": "orc"}, "file_format"),
        ({"file_format": None}, "file_format"),
        ({"timestamp_field": "missing"}, "timestamp_field"),
        ({"timestamp_field": "clicked"}, "timestamp_field"),
        ({"timestamp_field": ["timestamp"]}, "timestamp_field"),
        ({"timestamp_format": "yyyy"}, "timestamp_format"),
        ({"post_processor": print}, "post_processor"),
        ({"schema_uri": "s3://b/schema"}, "schema_uri"),
        ({"schema_override": SCHEMA}, "schema_override"),
        ({"data_delay": timedelta(seconds=-1)}, "data_delay"),
        ({"data_delay": 3600}, "data_delay"),
    ],
)
def test_wrong_batch_config(changes: dict[str, Any], field: str) -> None:
    """Every argument of a FileConfig is either understood or refused."""
    bad = source(batch_config=batch(**changes))
    assert found(bad) == [("impressions", f"batch_config.{field}")]


def test_batch_config_of_another_kind() -> None:
    """A path alone is no configuration."""
    assert found(source(batch_config="x.parquet")) == [("impressions", "batch_config")]


def test_batch_source_is_refused() -> None:
    """It cannot be applied yet, and is not ignored."""
    one = BatchSource(name="history", batch_config=batch())
    assert found(one) == [("history", "batch_config")]


# Batch files


def test_relative_file_starts_at_the_repo(tmp_path: Path) -> None:
    """A relative uri is one of the feature repo's own files."""
    one = source(batch_config=batch("data/x.parquet"))
    assert f"{tmp_path}/data/x.parquet does not exist" in messages(one, root=tmp_path)
    (tmp_path / "data").mkdir()
    parquet(
        tmp_path / "data/x.parquet",
        user_id=pa.array(["a"]),
        timestamp=pa.array([1], pa.timestamp("ns")),
        clicked=pa.array([1], pa.int32()),
        extra=pa.array([None]),
    )
    assert found(one, root=tmp_path) == []
    assert found(source(batch_config=batch((tmp_path / "data/x.parquet").as_uri()))) == []


def test_missing_and_wrong_columns_are_named(tmp_path: Path) -> None:
    """`tecton apply` says which column is missing or of the wrong type."""
    file = parquet(
        tmp_path / "x.parquet",
        user_id=pa.array([1]),
        timestamp=pa.array([date(2022, 1, 1)]),
        CLICKED=pa.array([1]),
    )
    problems = check([source(batch_config=batch(str(file)))], ROOT)
    assert [problem.field for problem in problems] == ["batch_config.uri"] * 3
    text = "\n".join(problem.message for problem in problems)
    assert f"column `user_id` of {file} is int64, which does not convert to String" in text
    assert "`timestamp`" in text
    assert f"{file} has no column `clicked` (its columns: user_id, timestamp, CLICKED)" in text


def test_folder_of_files_is_checked_by_its_first(tmp_path: Path) -> None:
    """Hidden files are not data, and columns of Hive partitions are in the path."""
    folder = tmp_path / "data" / "user_id=a"
    folder.mkdir(parents=True)
    (tmp_path / "data" / "_temporary").mkdir()
    one = source(batch_config=batch(str(tmp_path / "data")))
    assert "without a parquet file" in messages(one)
    parquet(tmp_path / "data" / "_temporary" / "0.parquet", x=pa.array([1]))
    at = pa.array([1], pa.timestamp("us", "America/New_York"))
    parquet(folder / "1.parquet", timestamp=at, clicked=pa.array([1]))
    assert found(one) == []


def test_file_that_is_not_parquet(tmp_path: Path) -> None:
    """A broken file is a problem, not a crash."""
    (tmp_path / "x.parquet").write_text("not parquet")
    text = messages(source(batch_config=batch("x.parquet")), root=tmp_path)
    assert "cannot be read as parquet" in text
    assert "\n" not in text


@pytest.mark.parametrize("uri", ["s3://b/x", "dbfs:/x", "/data/*.parquet", "abfss://c@a/x"])
def test_files_elsewhere_are_left_to_the_jobs(uri: str) -> None:
    """What is not cheaply read here is checked when it is read."""
    assert found(source(batch_config=batch(uri))) == []


def test_repo_in_a_folder_whose_name_is_no_text() -> None:
    """The uri that is stored begins with the repo's folder."""
    one = source(batch_config=batch("*.parquet"))
    assert found(one, root=Path("/nowhere/\udcff")) == [("impressions", "batch_config.uri")]


def test_missing_delta_table(tmp_path: Path) -> None:
    """A local Delta table must be there too."""
    one = source(batch_config=batch(str(tmp_path / "table"), file_format="delta"))
    assert found(one) == [("impressions", "batch_config.uri")]


@pytest.mark.parametrize(
    ("arrow", "dtype", "is_right"),
    [
        (pa.int8(), Int64, True),
        (pa.uint32(), Int64, True),
        (pa.uint64(), Int64, False),
        (pa.float64(), Int64, False),
        (pa.bool_(), Int64, False),
        (pa.float32(), Float64, True),
        (pa.int32(), Float64, True),
        (pa.int64(), Float64, False),
        (pa.decimal128(10, 2), Float64, False),
        (pa.timestamp("s"), Timestamp, True),
        (pa.timestamp("ns", "Asia/Tokyo"), Timestamp, True),
        (pa.date32(), Timestamp, False),
        (pa.string(), String, True),
        (pa.large_string(), String, True),
        (pa.dictionary(pa.int32(), pa.string()), String, True),
        (pa.dictionary(pa.int32(), pa.int64()), String, False),
        (pa.binary(), String, False),
        (pa.bool_(), Bool, True),
        (pa.int8(), Bool, False),
        (pa.list_(pa.int16()), Array(Int64), True),
        (pa.large_list(pa.string()), Array(Int64), False),
        (pa.int64(), Array(Int64), False),
        (pa.struct([("a", pa.int8()), ("b", pa.int8())]), Struct([Field("a", Int64)]), True),
        (pa.struct([("b", pa.int8())]), Struct([Field("a", Int64)]), False),
        (pa.map_(pa.string(), pa.float32()), Map(String, Float64), True),
        (pa.map_(pa.int64(), pa.float32()), Map(String, Float64), False),
    ],
    ids=str,
)
def test_conversions_without_loss(arrow: pa.DataType, dtype: Any, is_right: bool) -> None:
    """Batch data has the schema's columns, with types that convert without loss."""
    assert converts(arrow, dtype) is is_right


# Views


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ttl": timedelta(0)}, "ttl"),
        ({"ttl": timedelta(days=-1)}, "ttl"),
        ({"ttl": 7}, "ttl"),
        ({"ttl": timedelta.max}, "ttl"),
        ({"batch_schedule": timedelta(0)}, "batch_schedule"),
        ({"batch_schedule": "1d"}, "batch_schedule"),
        ({"max_backfill_interval": timedelta(0)}, "max_backfill_interval"),
        ({"expected_feature_freshness": timedelta(0)}, "expected_feature_freshness"),
        ({"online": 1}, "online"),
        ({"offline": None}, "offline"),
        ({"monitor_freshness": "no"}, "monitor_freshness"),
        ({"alert_email": 3}, "alert_email"),
        ({"alert_email": "\ud800"}, "alert_email"),
        ({"feature_start_time": None}, "feature_start_time"),
        ({"feature_start_time": None, "offline": False}, "feature_start_time"),
        ({"feature_start_time": None, "online": False}, "feature_start_time"),
        ({"feature_start_time": "2022-01-01"}, "feature_start_time"),
        ({"batch_trigger": "MANUAL"}, "batch_trigger"),
        ({"manual_trigger_backfill_end_time": START}, "manual_trigger_backfill_end_time"),
        (manual("2022-01-01"), "manual_trigger_backfill_end_time"),
        (manual(START - timedelta(1)), "manual_trigger_backfill_end_time"),
        ({"feature_start_time": datetime(1969, 12, 31)}, "feature_start_time"),
        ({"feature_start_time": datetime.min.replace(tzinfo=timezone.utc)}, "feature_start_time"),
        ({"feature_start_time": BEYOND_9999}, "feature_start_time"),
        ({"feature_start_time": pd.NaT}, "feature_start_time"),
        ({"timestamp_field": "missing"}, "timestamp_field"),
        ({"timestamp_field": "clicked"}, "timestamp_field"),
        ({"timestamp_field": 3}, "timestamp_field"),
        ({"entities": []}, "entities"),
        ({"entities": None}, "entities"),
        ({"entities": "user"}, "entities"),
        ({"entities": ["user"]}, "entities"),
        ({"entities": [user(), user()]}, "entities"),
        ({"source": None}, "source"),
        ({"source": BatchSource}, "source"),
    ],
)
def test_wrong_view(changes: dict[str, Any], field: str) -> None:
    """Each argument is checked, and no other is blamed."""
    problems = check([view(**changes)], ROOT)
    views = {problem.field for problem in problems if problem.what.startswith("StreamFeatureView")}
    assert views == {field}


def test_batch_triggers() -> None:
    """Jobs run by the schedule, by hand, or not at all for batch rows."""
    assert found(view(batch_trigger=BatchTriggerType.NO_BATCH_MATERIALIZATION)) == []
    assert found(view(**manual(None))) == []
    assert found(view(**manual(START + timedelta(1)))) == []


def test_start_time_is_needed_for_materialisation_only() -> None:
    """A view that is neither online nor offline may leave it out."""
    assert found(view(online=False, offline=False, feature_start_time=None)) == []


@pytest.mark.parametrize(
    ("one", "field"),
    [
        (view(aggregation_interval=timedelta(1)), "aggregation_interval"),
        (view(stream_processing_mode="TIME_INTERVAL"), "stream_processing_mode"),
    ],
)
def test_what_comes_later_is_refused(one: StreamFeatureView, field: str) -> None:
    """What would change values is refused with one clear sentence, not ignored."""
    (problem,) = check([one], ROOT)
    assert problem.field == field
    assert problem.message.startswith("is not supported yet (")


def test_continuous_processing_is_what_happens() -> None:
    """The mode that 0.8 calls CONTINUOUS changes nothing."""
    assert found(view(stream_processing_mode="continuous")) == []


def test_join_key_that_is_not_in_the_schema() -> None:
    """The message lists what is there."""
    bad = view(entities=[user(join_keys=["ad_id"])])
    assert found(bad) == [("clicks", "entities")]
    assert "join key `ad_id` is not in the schema of StreamSource impressions" in messages(bad)
    assert "`user_id`, `timestamp`, `clicked`" in messages(bad)


def test_join_key_of_another_type() -> None:
    """Join keys are String or Int64, and an entity's Field agrees with the schema."""
    by_time = view(entities=[user(), user(name="t", join_keys="timestamp")])
    assert ("clicks", "entities") in found(by_time)
    by_number = view(entities=[user(join_keys=[Field("user_id", Int64)])])
    assert "is Int64 in Entity user and String in the schema" in messages(by_number)


def test_timestamp_field_must_be_said_if_there_are_several() -> None:
    """It may be left out if the schema has one Timestamp."""
    two = source(schema=[*SCHEMA, Field("seen_at", Timestamp)])
    assert "several Timestamps (`timestamp`, `seen_at`)" in messages(view(source=two))
    assert found(view(source=two, timestamp_field="seen_at")) == []


def test_schema_without_a_timestamp() -> None:
    """There is no event without a time."""
    none = source(schema=[SCHEMA[0], SCHEMA[2]])
    assert found(view(source=none)) == [("clicks", "timestamp_field")]


def test_view_and_batch_rows_have_one_timestamp() -> None:
    """Periods are cut by the same column that is stored."""
    fields = [*SCHEMA, Field("seen_at", Timestamp)]
    two = source(schema=fields, batch_config=batch(timestamp_field="seen_at"))
    assert found(view(source=two, timestamp_field="timestamp")) == [("clicks", "timestamp_field")]


def test_view_without_features() -> None:
    """Join keys and timestamp alone are no features."""
    assert found(view(source=source(schema=SCHEMA[:2]))) == [("clicks", "source")]


# Feature services


@pytest.mark.parametrize(
    "features",
    [
        [],
        None,
        ["clicks"],
        [view()[["missing"]]],
        [view()[[]]],
        [view()["clicked"]],
        [view()[["clicked", "clicked"]]],
        [view().with_name("a b")],
        [view().with_join_key_map({"ad_id": "x"})],
        [view().with_join_key_map({"user_id": "a b"})],
        [view().with_join_key_map({"user_id": 3})],
    ],
)
def test_wrong_features(features: Any) -> None:
    """Unknown features and keys are refused."""
    problems = check([FeatureService(name="svc", features=features)], ROOT)
    assert {(problem.what, problem.field) for problem in problems} == {
        ("FeatureService svc", "features")
    }


def test_service_of_a_view_that_is_not_online() -> None:
    """Its reads could never be answered, so it is refused, unless it is for training alone."""
    for offline in (True, False):
        one = view(online=False, offline=offline)
        for taken in (one, one.with_name("n"), one[["clicked"]]):
            bad = service(view(name="other", source=one.source, entities=one.entities), taken)
            assert found(bad) == [("svc", "features")]
            text = messages(bad)
            assert "get-features" in text
            assert "set online=True on clicks" in text
            assert "online_serving_enabled=False" in text
        assert found(service(one, online_serving_enabled=False)) == []


def test_view_twice_needs_two_names() -> None:
    """Two features of one online name are refused."""
    one = view()
    assert found(service(one, one)) == [("svc", "features")]
    assert found(service(one, one.with_name("Clicks"))) == [("svc", "features")]
    assert found(service(one, one.with_name("again"))) == []


def test_offline_columns_are_told_apart() -> None:
    """`a__b` + `c` and `a` + `b__c` would be one column."""
    fields = [Field("user_id", String), Field("t", Timestamp)]
    one = view(name="a", source=source(name="s1", schema=[*fields, Field("b__c", Int64)]))
    two = view(
        name="a__b",
        source=source(name="s2", schema=[*fields, Field("c", Int64)]),
        entities=one.entities,
    )
    assert "both the column" in messages(service(one, two))


def test_join_keys_of_one_name_have_one_type() -> None:
    """A request gives a key once, for all views."""
    numbered = source(name="numbered", schema=[Field("user_id", Int64), *SCHEMA[1:]])
    one = view()
    two = view(name="other", source=numbered, entities=one.entities)
    assert found(service(one, two)) == [("svc", "features")]
    assert found(service(one, two.with_join_key_map({"user_id": "user_no"}))) == []


def test_two_keys_mapped_to_one() -> None:
    """Each join key of a view has a name of its own."""
    fields = [*SCHEMA, Field("ad_id", String)]
    one = view(source=source(schema=fields), entities=[user(join_keys=["user_id", "ad_id"])])
    bad = one.with_join_key_map({"ad_id": "user_id"})
    assert found(service(bad)) == [("svc", "features")]


GARBAGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=3),
    st.lists(st.integers() | st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.timedeltas(),
    st.just(user()),
    st.just(view()),
    st.just(PushConfig()),
    st.just(Int64),
    st.just([Field(3, [])]),
)


@pytest.mark.parametrize("kind", [Entity, StreamSource, StreamFeatureView, FeatureService])
@given(st.data())
def test_no_value_of_any_argument_breaks_the_checks(kind: Any, data: st.DataObject) -> None:
    """Constructors accept any value; the checks answer with problems, never with a crash."""
    makes: dict[Any, Any] = {
        Entity: user,
        StreamSource: source,
        StreamFeatureView: view,
        FeatureService: lambda **changes: service(**{"features": [view()], **changes}),
    }
    arguments = [field.name for field in dataclasses.fields(kind) if field.init]
    names = data.draw(st.sets(st.sampled_from(arguments), min_size=1, max_size=3))
    one = makes[kind](**{name: data.draw(GARBAGE) for name in names if name != "options"})
    assert all(isinstance(problem, Problem) for problem in check([one, service(view())], ROOT))


@pytest.mark.parametrize("uri", ["http://host/x", "ftp://host/x", "S3://b/x", "s3:b", "a:b"])
def test_batch_data_of_other_places_is_refused(uri: str) -> None:
    """One sentence with what is taken."""
    (problem,) = check([source(batch_config=batch(uri))], ROOT)
    assert problem.field == "batch_config.uri"
    assert problem.message.startswith(f'"{uri}" is not taken: batch data is a path, or a URI')


def test_batch_data_outside_the_roots_is_refused(tmp_path: Path) -> None:
    """Relative paths, links and folders that hold links included."""
    repo, data, other = tmp_path / "repo", tmp_path / "data", tmp_path / "other"
    columns = {
        "user_id": pa.array(["a"]),
        "timestamp": pa.array([0], pa.timestamp("us", "UTC")),
        "clicked": pa.array([1]),
    }
    for folder in (repo, data, other):
        folder.mkdir()
        parquet(folder / "x.parquet", **columns)
    (data / "links").mkdir()
    (data / "links" / "x.parquet").symlink_to(other / "x.parquet")
    (repo / "link").symlink_to(data)

    def problems(uri: str) -> list[str]:
        one = source(batch_config=batch(uri))
        return [problem.message for problem in check([one], repo, [str(data), "s3://bucket/ok"])]

    for uri in (str(data / "x.parquet"), "link/x.parquet", "s3://bucket/ok/x"):
        assert problems(uri) == []
    for uri in (str(other), "x.parquet", "../data/x.parquet", "s3://bucket/okay/x"):
        (message,) = problems(uri)
        assert f"is in none of the allowed roots ({data}, s3://bucket/ok)" in message
    (message,) = problems(str(data / "links"))
    assert f"{data}/links/x.parquet leads out of the allowed roots" in message


@pytest.mark.parametrize("name", ["a`b", "a.b", "a b", 'a"b', "a'b", "a;b", "a/b", "é", "a\n"])
def test_column_that_would_need_quotes_is_refused(name: str) -> None:
    """In a schema and inside of a Struct, with one sentence."""
    for field in (Field(name, Int64), Field("struct", Struct([Field(name, Int64)]))):
        (problem,) = check([source(schema=[*SCHEMA, field])], ROOT)
        assert "expected a column name (1 to 128 letters, digits and `_`" in problem.message
