"""Batch sources of text: csv and json, and what folders' names say (docs/sources.md)."""

from __future__ import annotations

import bz2
import gzip
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.applied import AppliedFunction, AppliedSource, BatchRows, PartitionColumn
from tecton.batch_config import schema_json
from tecton.errors import SourceError
from tecton.functions.transformation import turned_off
from tecton.periods import Period
from tecton.spark.failures import FAILURES, one_line
from tecton.spark.sources import read_batch
from tecton.testing import build_source, build_state
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp

AT = Field("t", Timestamp)
SCALARS = [AT, Field("s", String), Field("i", Int64), Field("f", Float64), Field("b", Bool)]


def _source(uri: Path, *fields: Field, file_format: str = "csv", **arguments: Any) -> AppliedSource:
    batch = BatchRows(uri=str(uri), file_format=file_format, timestamp_field="t", **arguments)
    return build_source(fields=fields, batch=batch)


def _values(frame: DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Rows in the order of the files, times as microseconds."""
    shown = [F.unix_micros(n).alias(n) if n == "t" else F.col(n) for n in names or frame.columns]
    return [tuple(row) for row in frame.select(*shown).collect()]


def _micros(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() * 1_000_000)


def _failure(frame: DataFrame) -> str:
    with pytest.raises(FAILURES) as failure:
        frame.collect()
    return one_line(failure.value)


@pytest.fixture(autouse=True)
def _zone(spark: SparkSession) -> Iterator[None]:
    """What is read does not depend on the session's time zone."""
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    yield
    spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_csv_cells(spark: SparkSession, tmp_path: Path) -> None:
    """Types come from the schema; columns go by the header; an empty cell is null, "" is not."""
    (tmp_path / "x.csv").write_bytes(
        b"\xef\xbb\xbfmore,b,f,i,s,t\r\n"
        b'1,true,NaN,9007199254740993,"a ""b"", \\n\r\nc",2024-03-10 02:30:00.1234567\r\n'
        b'2,FALSE,-1e-3,-9223372036854775808,"",2024-03-10T02:30:00+02:00\r\n'
        b"3,,,,,\r\n"
    )

    first, second, third = _values(read_batch(spark, _source(tmp_path / "x.csv", *SCALARS)))

    assert (_micros("2024-03-10 02:30:00.123456"), 'a "b", \\n\nc', 2**53 + 1) == first[:3]
    assert math.isnan(first[3])
    assert (_micros("2024-03-10 00:30"), "", -(2**63), -0.001, False) == second
    assert (None,) * 5 == third


def test_csv_and_json_may_be_compressed(spark: SparkSession, tmp_path: Path) -> None:
    """By the files' names, in folders named anyhow."""
    for number, (name, pack) in enumerate(
        [("a.csv", bytes), ("x/b.csv.gz", gzip.compress), ("x/y/c.csv.bz2", bz2.compress)]
    ):
        file = tmp_path / "csv" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pack(f"t,i\n2024-01-01T00:00Z,{number}\n".encode()))
        lines = tmp_path / "json" / name
        lines.parent.mkdir(parents=True, exist_ok=True)
        lines.write_bytes(pack(b'{"t": "2024-01-01T00:00Z", "i": %d}\n\n' % number))

    for file_format in ("csv", "json"):
        source = _source(tmp_path / file_format, AT, Field("i", Int64), file_format=file_format)
        assert [0, 1, 2] == sorted(row["i"] for row in read_batch(spark, source).collect())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,x\n", 'column `i`: expected Int64 (an integer in ±2^63), saw "x", in file:'),
        ("1,1.0\n", 'saw "1.0"'),
        ("1,9223372036854775808\n", 'saw "9223372036854775808"'),
        ("yesterday,1\n", "column `t`: expected Timestamp (as 2023-01-02T00:25:06Z), saw"),
        ("2024-02-30T00:00:00Z,1\n", "column `t`"),
        ("1\n", "alformed"),
        ("2024-01-01T00:00:00Z,1,2\n", "alformed"),
    ],
)
def test_wrong_csv_ends_the_job(
    spark: SparkSession, tmp_path: Path, rows: str, message: str
) -> None:
    """A cell that is no value of its type is never a null: column, text and file are named."""
    (tmp_path / "x.csv").write_text("t,i\n" + rows.replace("1,", "2024-01-01T00:00:00Z,", 1))
    if rows == "1\n":
        (tmp_path / "x.csv").write_text("t,i\n2024-01-01T00:00:00Z\n")
    source = _source(tmp_path / "x.csv", AT, Field("i", Int64))
    assert message in _failure(read_batch(spark, source))


def test_csv_files_with_columns_in_another_order(spark: SparkSession, tmp_path: Path) -> None:
    """Values never slip into another column: such a folder is refused."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.csv").write_text("t,i,j\n2024-01-01T00:00Z,1,2\n")
    (tmp_path / "d" / "2.csv").write_text("t,j,i\n2024-01-01T00:00Z,2,1\n")
    frame = read_batch(spark, _source(tmp_path / "d", AT, Field("i", Int64)))
    assert "header" in _failure(frame)
    with pytest.raises(SourceError, match="there is no column `k`, which must be Int64"):
        read_batch(spark, _source(tmp_path / "d", AT, Field("k", Int64)))


def test_json_lines(spark: SparkSession, tmp_path: Path) -> None:
    """Nested types and integers beyond 2^53 exactly; what is missing is null, the rest left."""
    (tmp_path / "x.json").write_text(
        '{"t": "2024-01-01T00:00:00Z", "i": 9223372036854775807, "f": 1, "more": [1],'
        ' "n": {"m": {"k": ["2024-01-01 01:00", null]}}}\n'
        '{"f": "Infinity", "n": null}\n'
    )
    nested = Field("n", Struct([Field("m", Map(String, Array(Timestamp)))]))
    fields = [AT, Field("i", Int64), Field("f", Float64), nested]

    frame = read_batch(spark, _source(tmp_path / "x.json", *fields, file_format="json"))

    inner = F.unix_micros(F.col("n.m")["k"][0])
    rows = [tuple(row) for row in frame.select(F.unix_micros("t"), "i", "f", inner).collect()]
    midnight = _micros("2024-01-01")
    assert [
        (midnight, 2**63 - 1, 1.0, midnight + 3_600_000_000),
        (None, None, math.inf, None),
    ] == rows


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"i": "1"}', 'column `i`: expected Int64 (an integer in ±2^63), saw "1", in file:'),
        ('{"n": {"x": [1, 2.5]}}', "column `n.x[1]`: expected Int64"),
        ('{"t": 1704067200}', "column `t`: expected Timestamp"),
        ('{"i": 1', "expected JSON"),
        ('{"t": "2024"}', "column `t`: expected Timestamp (as 2023-01-02T00:25:06Z), saw"),
    ],
)
def test_wrong_json_ends_the_job(
    spark: SparkSession, tmp_path: Path, line: str, message: str
) -> None:
    """As with csv: the column, the value and the file."""
    (tmp_path / "x.json").write_text('{"i": 1}\n' + line + "\n")
    nested = Field("n", Struct([Field("x", Array(Int64))]))
    source = _source(tmp_path / "x.json", AT, Field("i", Int64), nested, file_format="json")
    assert message in _failure(read_batch(spark, source))


@pytest.mark.parametrize(
    ("timestamp_format", "text", "expected"),
    [
        ("dd/MM/yyyy HH:mm:ss", "10/03/2024 02:30:00", "2024-03-10 02:30"),
        ("yyyy-MM-dd'T'hh:mm:ss.SSS'Z'", "2024-03-10T12:30:00.500Z", "2024-03-10 12:30:00.5"),
        ("yyyyMMddHHmmssXXX", "20240310023000+01:00", "2024-03-10 01:30"),
        ("dd/MM/yyyy HH:mm", "2024-03-10T02:30:00Z", "2024-03-10 02:30"),
        ("yyyy-MM-dd", "2024-03-10", "2024-03-10"),
        ("epoch_seconds", "1710037800", "2024-03-10 02:30"),
        ("epoch_nanos", "-1500", "1969-12-31 23:59:59.999998"),
    ],
)
def test_times_by_their_format(
    spark: SparkSession, tmp_path: Path, timestamp_format: str, text: str, expected: str
) -> None:
    """By the format, else as RFC 3339 (the documentation); without a zone they are UTC."""
    (tmp_path / "x.csv").write_text(f"t\n{text}\n")
    (tmp_path / "x.json").write_text(f'{{"t": "{text}"}}\n')
    pq.write_table(pa.table({"t": [text]}), tmp_path / "x.parquet")
    for file_format in ("csv", "json", "parquet"):
        source = _source(
            tmp_path / f"x.{file_format}",
            AT,
            file_format=file_format,
            timestamp_format=timestamp_format,
        )
        assert [(_micros(expected),)] == _values(read_batch(spark, source))


def test_dates_and_numbers_are_times_where_the_format_says_so(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Without a format both are refused."""
    day = datetime(2024, 3, 10, tzinfo=timezone.utc).date()
    pq.write_table(pa.table({"t": pa.array([day, None])}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"t": pa.array([-1, 1_500])}), tmp_path / "n.parquet")
    for name, given, expected in (
        ("d", "yyyy-MM-dd", [(_micros("2024-03-10"),), (None,)]),
        ("n", "epoch_millis", [(-1_000,), (1_500_000,)]),
    ):
        plain = _source(tmp_path / f"{name}.parquet", AT, file_format="parquet")
        with pytest.raises(SourceError, match="does not convert to Timestamp"):
            read_batch(spark, plain)
        source = _source(
            tmp_path / f"{name}.parquet", AT, file_format="parquet", timestamp_format=given
        )
        assert expected == _values(read_batch(spark, source))


# Folders


def _hive(folder: Path, names: Sequence[str], file_format: str) -> None:
    """A folder for each name, with two rows of that day's first hour and number."""
    for number, name in enumerate(names):
        file = folder / name / f"1.{file_format}"
        file.parent.mkdir(parents=True)
        times = [f"2024-01-{number + 1:02}T00:{minute:02}:00Z" for minute in (0, 30)]
        if file_format == "parquet":
            at = pa.array([_micros(t.removesuffix("Z")) for t in times], pa.timestamp("us", "UTC"))
            pq.write_table(pa.table({"t": at, "i": [number, number]}), file)
        elif file_format == "csv":
            file.write_text("t,i\n" + "".join(f"{t},{number}\n" for t in times))
        else:
            file.write_text("".join(f'{{"t": "{t}", "i": {number}}}\n' for t in times))


def _day(first: int, last: int) -> Period:
    return Period(*(datetime(2024, 1, day, tzinfo=timezone.utc) for day in (first, last)))


def _files_read(frame: DataFrame) -> int:
    """As Spark's own plan says: how many files it has found worth opening."""
    frame.collect()
    plan = frame._jdf.queryExecution().executedPlan()
    while "InMemoryFileIndex" not in plan.simpleString(1000) or plan.children().size():
        inner = getattr(plan, "executedPlan", None)
        plan = (
            plan.executedPlan()
            if "AdaptiveSparkPlan" in plan.nodeName()
            else plan.children().apply(0)
        )
        del inner
    return int(plan.metrics().apply("numFiles").value())


@pytest.mark.parametrize("file_format", ["parquet", "csv", "json"])
def test_folders_of_other_days_are_not_read(
    spark: SparkSession, tmp_path: Path, file_format: str
) -> None:
    """Partition columns that tell the time prune to the period; unknown folders are read."""
    names = [f"month=1/day={day}" for day in ("1", "02", "3", "4")]
    _hive(tmp_path / "x", [*names, "month=1/day=__HIVE_DEFAULT_PARTITION__"], file_format)
    partitions = tuple(PartitionColumn(part, part) for part in ("month", "day"))
    source = _source(
        tmp_path / "x", AT, Field("i", Int64), file_format=file_format, partitions=partitions
    )

    assert 2 == _files_read(read_batch(spark, source, period=_day(2, 3)))
    assert 5 == _files_read(read_batch(spark, source))
    chosen = read_batch(spark, source, period=_day(2, 3))
    chosen = chosen.where(F.unix_micros("t") < _micros("2024-01-03"))
    assert {1} == {row["i"] for row in chosen.collect()}


def test_columns_of_folders_have_their_declared_types(spark: SparkSession, tmp_path: Path) -> None:
    """`user=007` is a String as it is written, a day is a time by its format."""
    _hive(tmp_path / "x", ["user=007/at=2024-01-01", "user=a b/at=2024-01-02"], "parquet")
    fields = [Field("user", String), Field("at", Timestamp), Field("i", Int64)]
    source = _source(tmp_path / "x", AT, *fields, file_format="parquet")
    frame = read_batch(spark, source)
    assert "column `at`: expected Timestamp" in _failure(frame.select("at"))
    dated = _source(
        tmp_path / "x", AT, *fields, file_format="parquet", timestamp_format="yyyy-MM-dd"
    )
    rows = read_batch(spark, dated).select("user", F.unix_micros("at")).distinct().collect()
    days = [("007", _micros("2024-01-01")), ("a b", _micros("2024-01-02"))]
    assert days == sorted(tuple(row) for row in rows)


def test_timestamp_in_the_folders_names_prunes_by_itself(
    spark: SparkSession, tmp_path: Path
) -> None:
    """The partition column is the event timestamp."""
    _hive(tmp_path / "x", [f"at=2024-01-0{day}" for day in (1, 2, 3)], "parquet")
    fields = [Field("at", Timestamp), Field("i", Int64)]
    batch = BatchRows(
        uri=str(tmp_path / "x"),
        file_format="parquet",
        timestamp_field="at",
        timestamp_format="yyyy-MM-dd",
    )
    frame = read_batch(spark, build_source(fields=fields, batch=batch))
    start, end = (F.lit(at) for at in _day(2, 3))
    chosen = frame.where((F.col("at") >= start) & (F.col("at") < end))
    assert 1 == _files_read(chosen)
    assert [1, 1] == [row["i"] for row in chosen.collect()]


def test_period_reaches_the_files_of_parquet(spark: SparkSession, tmp_path: Path) -> None:
    """Row groups of other times are passed over by their statistics."""
    _hive(tmp_path / "x", ["1"], "parquet")
    source = _source(tmp_path / "x", AT, Field("i", Int64), file_format="parquet")
    frame = read_batch(spark, source, period=_day(2, 3))
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert "PushedFilters: [Or(IsNull(t),And(GreaterThanOrEqual(t" in plan
    assert 0 == frame.count()


# Schemas and functions


def test_schema_override_reads_by_its_own_types(spark: SparkSession, tmp_path: Path) -> None:
    """csv by the names in the header, json and parquet as Spark does; then types must convert."""
    (tmp_path / "x.csv").write_text("i,more,t\n007,x,2024-01-01 00:00:00\n")
    (tmp_path / "x.json").write_text('{"i": 7, "t": "2024-01-01T00:00:00Z"}\n')
    schema = T.StructType(
        [T.StructField("t", T.TimestampType()), T.StructField("i", T.ShortType())]
    )
    for name in ("csv", "json"):
        source = _source(
            tmp_path / f"x.{name}",
            AT,
            Field("i", Int64),
            file_format=name,
            schema_override=schema_json(schema),
        )
        assert [(_micros("2024-01-01"), 7)] == _values(read_batch(spark, source))
    texts = _source(
        tmp_path / "x.csv",
        AT,
        Field("i", String),
        schema_override=schema_json(schema),
    )
    with pytest.raises(SourceError, match="column `i` is smallint, which does not convert"):
        read_batch(spark, texts)
    other = schema_json(T.StructType([T.StructField("k", T.LongType())]))
    with pytest.raises(SourceError, match="does not name `k` of the schema_override"):
        read_batch(spark, _source(tmp_path / "x.csv", AT, schema_override=other))


def test_schema_uri_stands_for_all_files(spark: SparkSession, tmp_path: Path) -> None:
    """The footers of other files are not read; columns that they lack are null."""
    _hive(tmp_path / "x", ["d=1", "d=2"], "parquet")
    at = pa.array([1], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"t": at}), tmp_path / "x" / "d=1" / "2.parquet")
    fields = [AT, Field("i", Int64), Field("d", Int64)]
    source = _source(
        tmp_path / "x",
        *fields,
        file_format="parquet",
        schema_uri=str(tmp_path / "x" / "d=2" / "1.parquet"),
    )
    rows = read_batch(spark, source).select("i", "d").collect()
    assert [(0, 1), (0, 1), (1, 2), (1, 2), (None, 1)] == sorted(
        (tuple(row) for row in rows), key=lambda row: (row[0] is None, row)
    )
    with pytest.raises(SourceError, match=r"is in none of the allowed roots"):
        read_batch(spark, source, [str(tmp_path / "x" / "d=1")])


PROCESSOR = """
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

STEP = 1

def more(value):
    return value + STEP

def post(frame):
    add = F.udf(more, LongType())
    return frame.select(F.to_timestamp("at").alias("t"), add(F.col("n").cast("bigint")).alias("i"))
"""


def _processed(path: Path, source: str = PROCESSOR, mode: str = "pyspark") -> AppliedSource:
    function = AppliedFunction(name="post", mode=mode, source=source)
    return _source(path, AT, Field("i", Int64), post_processor=function)


def test_post_processor_makes_the_columns(spark: SparkSession, tmp_path: Path) -> None:
    """It gets what Spark reads, and its own functions go to the executors with it."""
    (tmp_path / "x.csv").write_text("at,n\n2024-01-01 00:00:00,1\n")
    frame = read_batch(spark, _processed(tmp_path / "x.csv"))
    assert [(_micros("2024-01-01"), 2)] == _values(frame)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return frame.toPandas()", "returned a DataFrame, not a Spark DataFrame"),
        ("return None", "returned a NoneType, not a Spark DataFrame"),
        ("raise KeyError(1)", "post failed: KeyError: 1 in line 2 of post (`raise KeyError(1)`)"),
        ("return frame", "there is no column `t`, which must be Timestamp"),
        ("return frame.select('nothing')", "post failed: "),
    ],
)
def test_what_a_post_processor_does_wrong_is_said(
    spark: SparkSession, tmp_path: Path, body: str, message: str
) -> None:
    """One line that names the source and the function."""
    (tmp_path / "x.csv").write_text("at,n\n2024-01-01 00:00:00,1\n")
    with pytest.raises(SourceError) as failure:
        read_batch(spark, _processed(tmp_path / "x.csv", f"def post(frame):\n    {body}\n"))
    assert str(failure.value).startswith(f"batch source {tmp_path}/x.csv: ")
    assert message in str(failure.value)


def test_post_processors_do_not_run_where_functions_are_off(
    spark: SparkSession, tmp_path: Path
) -> None:
    """As every function of a feature repo."""
    (tmp_path / "x.csv").write_text("at,n\n")
    state = turned_off(build_state([_processed(tmp_path / "x.csv")], []))
    with pytest.raises(SourceError, match="TECTON_FUNCTIONS=off"):
        read_batch(spark, state.sources[0])
