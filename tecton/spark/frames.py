"""
Frames of notebooks: pandas → Spark and back, exactly.

Values come back as Arrow batches that the workers have serialised, so that integers beyond 2^53,
nested values and times arrive as they are, whatever the session's settings and Spark's version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timezone
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

_ARROW = "spark.sql.execution.arrow.pyspark.enabled"
_UTC_MICROS = pa.timestamp("us", tz="UTC")


def to_pandas(frame: DataFrame) -> pd.DataFrame:
    """
    A frame as pandas holds it best.

    Args:
        frame: Of any columns.

    Returns:
        Integers of 64 bits as `Int64`, booleans as `boolean`, timestamps as
        `datetime64[us, UTC]`, arrays as lists, structs and maps as dicts (contract §5).
    """
    table = to_arrow(frame)
    series = [to_series(column).rename(name) for name, column in _columns(table)]
    return pd.concat(series, axis=1) if series else pd.DataFrame(index=range(table.num_rows))


def to_arrow(frame: DataFrame) -> pa.Table:
    """All rows of a frame, on the driver."""
    packed = frame.mapInArrow(_pack, "packed binary").collect()
    tables = [pa.ipc.open_stream(row["packed"]).read_all() for row in packed]
    if tables:
        return pa.concat_tables(tables)
    # Spark calls nobody for a partition without rows, so the types come from one made of none.
    return _empty(frame)


def to_series(column: pa.ChunkedArray) -> pd.Series:
    """A column as pandas holds it best; see `to_pandas`."""
    kind = column.type
    if _is_instant(kind):
        column = column.cast(_UTC_MICROS)
    if pa.types.is_nested(kind):
        plain = _plain(kind)
        values = [None if value is None else plain(value) for value in column.to_pylist()]
        return pd.Series(values, dtype=object)
    table = pa.table({"values": column})
    return table.to_pandas(types_mapper=_PANDAS_TYPES.get)["values"]


def from_pandas(spark: SparkSession, frame: pd.DataFrame, schema: str | None = None) -> DataFrame:
    """
    A pandas frame in Spark.

    Args:
        spark: The session.
        frame: Columns of `Int64`, strings, booleans and floats; missing values are nulls.
        schema: Of the same columns, in Spark's DDL; None: as Spark infers it.
    """
    with _arrow_enabled(spark):
        return spark.createDataFrame(frame, schema)


_PANDAS_TYPES = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def _pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        packed = pa.array([sink.getvalue().to_pybytes()], pa.binary())
        yield pa.RecordBatch.from_arrays([packed], names=["packed"])


def _empty(frame: DataFrame) -> pa.Table:
    one = frame.sparkSession.range(1).join(frame.limit(0), how="left")
    packed = one.drop("id").mapInArrow(_pack, "packed binary").collect()
    return pa.ipc.open_stream(packed[0]["packed"]).read_all().slice(0, 0)


def _plain(kind: pa.DataType) -> Callable[[Any], Any]:
    """What turns Arrow's Python value of a nested type into plain lists and dicts."""
    if pa.types.is_map(kind):
        item = _optional(kind.item_type)
        return lambda value: {k: item(v) for k, v in value}
    if pa.types.is_struct(kind):
        fields = {field.name: _optional(field.type) for field in kind}
        return lambda value: {name: plain(value[name]) for name, plain in fields.items()}
    if pa.types.is_list(kind):
        element = _optional(kind.value_type)
        return lambda value: [element(item) for item in value]
    if _is_instant(kind):
        return lambda value: value.astimezone(timezone.utc)
    return lambda value: value


def _is_instant(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind)) and kind.tz is not None


def _columns(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    return zip(table.column_names, table.columns, strict=True)


def _optional(kind: pa.DataType) -> Callable[[Any], Any]:
    plain = _plain(kind)
    return lambda value: None if value is None else plain(value)


@contextmanager
def _arrow_enabled(spark: SparkSession) -> Iterator[None]:
    """Without it Spark goes through Python row by row and stumbles over missing integers."""
    before = spark.conf.get(_ARROW, None)
    spark.conf.set(_ARROW, "true")
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(_ARROW)
        else:
            spark.conf.set(_ARROW, before)
