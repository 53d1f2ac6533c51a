"""Batch sources: what is read, and what is refused with one line (contract §1 and §6)."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from tecton.applied import AppliedSource, BatchRows
from tecton.errors import SourceError
from tecton.spark.columns import column, ddl
from tecton.spark.sources import read_batch
from tecton.testing import build_source
from tecton.types import Array, Field, Float64, Int64, Map, String, Struct, Timestamp

BEFORE_1970 = -1_500
"""Nanoseconds: 1.5 µs before the epoch, which is in the second microsecond before it."""


def _source(uri: Path | str, *fields: Field, file_format: str = "parquet") -> AppliedSource:
    batch = BatchRows(uri=str(uri), file_format=file_format, timestamp_field=fields[0].name)
    return build_source(fields=fields, batch=batch)


def _column(kind: pa.DataType, *values: Any) -> pa.Array:
    return (
        pa.array(values, pa.int64()).cast(kind)
        if pa.types.is_timestamp(kind)
        else pa.array(values, kind)
    )


def test_times_of_any_unit_are_cut_to_microseconds(spark: SparkSession, tmp_path: Path) -> None:
    """Nanoseconds are floored, also before 1970; times without a zone are UTC."""
    file = tmp_path / "times.parquet"
    nanos = [BEFORE_1970, 1_700_000_000_123_456_789, None]
    micros = [-2, 1_700_000_000_123_456, None]
    kinds = {
        "naive_ns": _column(pa.timestamp("ns"), *nanos),
        "ns": _column(pa.timestamp("ns", "America/New_York"), *nanos),
        "naive_us": _column(pa.timestamp("us"), *micros),
        "us": _column(pa.timestamp("us", "UTC"), *micros),
        "nested": pa.array(
            [[{"t": n}] for n in nanos], pa.list_(pa.struct([("t", pa.timestamp("ns"))]))
        ),
    }
    pq.write_table(pa.table(kinds), file)
    scalars = [Field(name, Timestamp) for name in list(kinds)[:4]]
    nested = Field("nested", Array(Struct([Field("t", Timestamp)])))

    frame = read_batch(spark, _source(file, *scalars, nested))

    columns = [F.unix_micros(name) for name in list(kinds)[:4]]
    rows = frame.select(*columns, F.unix_micros(F.col("nested")[0]["t"])).collect()
    assert [(value,) * 5 for value in micros] == [tuple(row) for row in rows]


def test_times_do_not_depend_on_the_session_zone(spark: SparkSession, tmp_path: Path) -> None:
    """A zone-less time is UTC also in a notebook whose session is elsewhere."""
    at = int(datetime(2024, 3, 31, 2, 30, tzinfo=timezone.utc).timestamp() * 1_000_000)
    pq.write_table(pa.table({"t": _column(pa.timestamp("us"), at)}), tmp_path / "t.parquet")
    spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    try:
        frame = read_batch(spark, _source(tmp_path / "t.parquet", Field("t", Timestamp)))
        assert [(at,)] == [tuple(row) for row in frame.select(F.unix_micros("t")).collect()]
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_narrow_types_widen_and_other_columns_are_left(spark: SparkSession, tmp_path: Path) -> None:
    """Types convert without loss; columns that the schema does not name are left out."""
    file = tmp_path / "narrow.parquet"
    pq.write_table(
        pa.table(
            {
                "more": ["x"],
                "t": _column(pa.timestamp("ms", "UTC"), 5),
                "i": pa.array([3], pa.int16()),
                "u": pa.array([2**32 - 1], pa.uint32()),
                "f": pa.array([0.5], pa.float32()),
                "g": pa.array([7], pa.int32()),
                "s": pa.array(["a"]).dictionary_encode(),
                "m": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32())),
            }
        ),
        file,
    )
    fields = [Field("t", Timestamp), Field("i", Int64), Field("u", Int64), Field("f", Float64)]
    fields += [Field("g", Float64), Field("s", String), Field("m", Map(String, Int64))]

    frame = read_batch(spark, _source(file, *fields))

    assert (
        "t timestamp,i bigint,u bigint,f double,g double,s string,m map<string,bigint>"
        == ",".join(f"{name} {kind}" for name, kind in frame.dtypes)
    )
    assert (3, 2**32 - 1, 0.5, 7.0, "a", {"k": 1}) == tuple(frame.drop("t").collect()[0])


def test_folders_are_read_whole(spark: SparkSession, tmp_path: Path) -> None:
    """Files in folders inside the folder count, named `column=value` or not."""
    fields = [Field("t", Timestamp), Field("i", Int64)]
    for number, name in enumerate(["plain/x/a.parquet", "plain/b.parquet", "hive/i=2/c.parquet"]):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"t": _column(pa.timestamp("ns"), 0), "i": [number]})
        pq.write_table(table.drop_columns(["i"]) if "hive" in name else table, file)

    plain = read_batch(spark, _source(tmp_path / "plain", *fields))
    hive = read_batch(spark, _source(tmp_path / "hive", *fields))

    assert [0, 1] == sorted(row["i"] for row in plain.collect())
    assert [2] == [row["i"] for row in hive.collect()]


def test_delta_tables_are_read(spark: SparkSession, tmp_path: Path) -> None:
    """`file_format="delta"` reads a Delta table."""
    write_deltalake(str(tmp_path / "d"), pa.table({"t": _column(pa.timestamp("us", "UTC"), 1)}))

    frame = read_batch(spark, _source(tmp_path / "d", Field("t", Timestamp), file_format="delta"))

    assert 1 == frame.count()


@pytest.mark.parametrize(
    ("kind", "dtype", "seen"),
    [
        (pa.string(), Int64, "string"),
        (pa.int64(), Float64, "bigint"),
        (pa.float64(), Int64, "double"),
        (pa.int64(), String, "bigint"),
        (pa.int64(), Timestamp, "bigint"),
        (pa.date32(), Timestamp, "date"),
        (pa.uint64(), Int64, "decimal(20,0)"),
        (pa.list_(pa.string()), Array(Int64), "array<string>"),
    ],
)
def test_lossy_types_are_refused(
    spark: SparkSession, tmp_path: Path, kind: pa.DataType, dtype: Any, seen: str
) -> None:
    """A type that does not convert without loss names file, column, type seen and expected."""
    file = tmp_path / "x.parquet"
    # A column of nanoseconds beside it must not make its integers nanoseconds too.
    pq.write_table(pa.table({"t": _column(pa.timestamp("ns"), 1), "x": pa.nulls(1, kind)}), file)

    with pytest.raises(SourceError) as failure:
        read_batch(spark, _source(file, Field("t", Timestamp), Field("x", dtype)))

    assert str(failure.value) == (
        f"batch source {file}: column `x` is {seen}, which does not convert to {dtype}"
    )


def test_what_cannot_be_read_is_said_in_one_line(spark: SparkSession, tmp_path: Path) -> None:
    """Missing, empty, broken or mixed data names the file and the reason."""
    field = Field("t", Timestamp)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 or not")
    (tmp_path / "mixed").mkdir()
    for name, kind in (("a", "us"), ("b", "ns")):
        table = pa.table({"t": _column(pa.timestamp(kind), 1)})
        pq.write_table(table, tmp_path / "mixed" / f"{name}.parquet")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "other.parquet")

    def reason(name: str, file_format: str = "parquet") -> str:
        with pytest.raises(SourceError) as failure:
            read_batch(spark, _source(tmp_path / name, field, file_format=file_format))
        prefix = f"batch source {tmp_path / name}: "
        assert str(failure.value).startswith(prefix)
        return str(failure.value).removeprefix(prefix)

    assert "there is no such file or folder" == reason("lost.parquet")
    assert "there is no parquet file in it" == reason("empty")
    assert "it is not a parquet file" == reason("broken.parquet")
    assert "its files have schemas that do not fit together" == reason("mixed")
    assert "there is no column `t`, which must be Timestamp" == reason("other.parquet")
    assert "it is not a Delta table" == reason("empty", "delta")
    assert "there is no csv file in it" == reason("empty", "csv")
    assert "there is no such file or folder" == reason("lost.json", "json")


def test_job_refuses_places_that_plan_would_not_take(spark: SparkSession, tmp_path: Path) -> None:
    """What was applied earlier, under other settings or by another hand, counts for nothing."""
    field = Field("x", Int64)
    for uri in ("http://host/x", "jdbc:x", "s3://key:secret@bucket/x"):
        with pytest.raises(SourceError, match=r"batch source .* (is not taken|holds a password)"):
            read_batch(spark, _source(uri, field))
    with pytest.raises(SourceError, match="is in none of the allowed roots"):
        read_batch(spark, _source(tmp_path / "x", field), [str(tmp_path / "y")])


@pytest.mark.parametrize("file_format", ["parquet", "delta"])
def test_links_and_logs_lead_out_of_no_root(
    spark: SparkSession, tmp_path: Path, file_format: str
) -> None:
    """The files that are read are looked at, not only the folder that was named."""
    root, other = tmp_path / "root", tmp_path / "other 20"
    table = pa.table({"x": [1, 2]})
    for folder in (root, other):
        if file_format == "delta":
            write_deltalake(str(folder), table)
        else:
            folder.mkdir()
            pq.write_table(table, folder / "1.parquet")
    field = Field("x", Int64)
    roots = [str(root)]

    def read(allowed: list[str]) -> int:
        return read_batch(spark, _source(root, field, file_format=file_format), allowed).count()

    assert read(roots) == 2
    (inside,) = root.glob("*.parquet")
    (outside,) = other.glob("*.parquet")
    inside.unlink()
    inside.symlink_to(outside)
    assert read([*roots, str(other)]) == 2
    with pytest.raises(SourceError, match=r"leads to .* which is in none of the allowed roots"):
        read(roots)


def test_names_are_quoted_wherever_they_become_sql(spark: SparkSession) -> None:
    """Columns and fields of structs, whatever is in their names."""
    names = ["a`b", "a.b", "a b", "a,b", "x` string, `y", "é"]
    fields = [Field(name, Struct([Field(name, Int64)])) for name in names]
    frame = spark.createDataFrame([tuple((n,) for n in range(6))], ddl(fields))
    assert names == frame.columns
    picked = frame.select(*(column(name).getField(name) for name in names))
    assert [tuple(range(6))] == [tuple(row) for row in picked.collect()]
