"""
Batch sources: a file or folder → a frame with exactly the source's schema.

Columns are checked before any row is read. Types convert without loss or not at all
(contract §1); timestamps of any unit are cut to microseconds, those without a zone are UTC.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it has no types
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.applied import AppliedSource, BatchRows
from tecton.errors import SourceError
from tecton.locations import holds, refusal
from tecton.spark.columns import column, utc_micros
from tecton.types import (
    Array,
    Bool,
    DataType,
    Field,
    Float64,
    Int64,
    Map,
    String,
    Struct,
    Timestamp,
)

_NANOS_AS_LONG = "spark.sql.legacy.parquet.nanosAsLong"
_WIDER = {
    Bool: (T.BooleanType,),
    Int64: (T.ByteType, T.ShortType, T.IntegerType, T.LongType),
    Float64: (T.ByteType, T.ShortType, T.IntegerType, T.FloatType, T.DoubleType),
    String: (T.StringType,),
}
"""Which Spark types hold no value that the declared type does not."""


def read_batch(spark: SparkSession, source: AppliedSource, roots: Sequence[str] = ()) -> DataFrame:
    """
    The rows of a batch source, typed as the stream source's schema says.

    Args:
        spark: The session.
        source: A source with batch rows.
        roots: Where its files must be; none: anywhere.

    Raises:
        SourceError: The data may not be read from there, is missing or unreadable, or a column
            is missing or of a type that would not convert without loss; one line.
    """
    batch = source.batch
    if batch is None:
        raise SourceError(f"stream source {source.name} has no batch_config")
    if batch.file_format not in ("parquet", "delta"):
        raise SourceError(
            f"batch source {batch.uri}: file format {batch.file_format} cannot be read yet; "
            "use parquet or delta"
        )
    reason = refusal(batch.uri, roots)
    if reason is not None:
        raise SourceError(f"batch source {batch.uri} {reason}")
    try:
        frame = _open(spark, batch)
        _check_files(frame, batch, roots)
        nanos = _nanosecond_columns(spark, frame, source)
    except (PySparkException, Py4JError, pa.ArrowException, OSError) as exc:
        raise SourceError(f"batch source {batch.uri}: {_reason(exc)}") from exc
    faults = [
        fault
        for field in source.fields
        for fault in _faults(frame.schema, field, field.name in nanos)
    ]
    if faults:
        raise SourceError(f"batch source {batch.uri}: {'; '.join(faults)}")
    seen = {field.name: field.dataType for field in frame.schema}
    return frame.select(
        *(
            _convert(column(field.name), seen[field.name], field.dtype).alias(field.name)
            for field in source.fields
        )
    )


def _open(spark: SparkSession, batch: BatchRows) -> DataFrame:
    if batch.file_format == "delta":
        return spark.read.format("delta").load(batch.uri)
    # Nanoseconds are bigints to Spark, or nothing. Set for good: frames are read after this.
    spark.conf.set(_NANOS_AS_LONG, "true")
    nested = _parquet(spark).option("recursiveFileLookup", "true").parquet(batch.uri)
    try:
        direct = _parquet(spark).parquet(batch.uri)
    except PySparkException as exc:
        if "UNABLE_TO_INFER_SCHEMA" not in str(exc):
            raise
        return nested
    # Spark passes over folders inside a folder unless they are named `column=value`.
    return nested if len(nested.inputFiles()) > len(direct.inputFiles()) else direct


def _check_files(frame: DataFrame, batch: BatchRows, roots: Sequence[str]) -> None:
    """The files that a folder, a link in it or a table's log leads to are in the roots too."""
    for file in frame.inputFiles() if roots else ():
        if not any(holds(root, file) for root in roots):
            raise SourceError(
                f"batch source {batch.uri} leads to {file}, which is in none of the allowed roots "
                f"({', '.join(roots)}); put the file itself there"
            )


def _parquet(spark: SparkSession) -> DataFrameReader:
    # All footers are read, so that one file of another schema is found before any row is.
    return spark.read.option("mergeSchema", "true")


def _nanosecond_columns(spark: SparkSession, frame: DataFrame, source: AppliedSource) -> set[str]:
    """The columns whose bigints are nanoseconds since the epoch, not just integers."""
    candidates = {
        field.name
        for field in source.fields
        if any(_faults(frame.schema, field, nanos=False))
        and not any(_faults(frame.schema, field, nanos=True))
    }
    if not candidates:
        return candidates
    for schema in _footers(spark, frame.inputFiles()):
        candidates = {name for name in candidates if "timestamp[ns" in str(schema.field(name).type)}
    return candidates


def _footers(spark: SparkSession, files: Sequence[str]) -> Iterator[pa.Schema]:
    """The schemas of the files as they were written: of each local one, else of the smallest."""
    if all(file.startswith("file:") for file in files):
        for file in files:
            yield pq.read_schema(url2pathname(urlsplit(file).path))
        return
    sizes = spark.read.format("binaryFile").load(list(files)).select("path", "length")
    [smallest] = sizes.orderBy("length").limit(1).collect()
    [content] = spark.read.format("binaryFile").load(smallest["path"]).select("content").collect()
    yield pq.read_schema(io.BytesIO(content["content"]))


def _faults(schema: T.StructType, field: Field, nanos: bool) -> Iterator[str]:
    found = [seen for seen in schema if seen.name == field.name]
    if not found:
        yield f"there is no column `{field.name}`, which must be {field.dtype}"
    elif len(found) > 1:
        yield f"there are {len(found)} columns `{field.name}`, there must be one"
    elif not _converts(found[0].dataType, field.dtype, nanos):
        seen_type = found[0].dataType.simpleString()
        yield f"column `{field.name}` is {seen_type}, which does not convert to {field.dtype}"


def _converts(seen: T.DataType, dtype: DataType, nanos: bool) -> bool:
    if isinstance(dtype, Array):
        return isinstance(seen, T.ArrayType) and _converts(
            seen.elementType, dtype.element_type, nanos
        )
    if isinstance(dtype, Struct):
        return isinstance(seen, T.StructType) and not any(
            fault for field in dtype.fields for fault in _faults(seen, field, nanos)
        )
    if isinstance(dtype, Map):
        return (
            isinstance(seen, T.MapType)
            and _converts(seen.keyType, dtype.key_type, nanos)
            and _converts(seen.valueType, dtype.value_type, nanos)
        )
    if dtype == Timestamp:
        is_nanos = nanos and isinstance(seen, T.LongType)
        return is_nanos or isinstance(seen, (T.TimestampType, T.TimestampNTZType))
    return isinstance(seen, _WIDER[dtype])


def _convert(value: Column, seen: T.DataType, dtype: DataType) -> Column:
    if isinstance(seen, T.ArrayType) and isinstance(dtype, Array):
        element_type, inner = seen.elementType, dtype.element_type
        return F.transform(value, lambda item: _convert(item, element_type, inner))
    if isinstance(seen, T.MapType) and isinstance(dtype, Map):
        value_type, inner = seen.valueType, dtype.value_type
        return F.transform_values(value, lambda _, item: _convert(item, value_type, inner))
    if isinstance(seen, T.StructType) and isinstance(dtype, Struct):
        types = {field.name: field.dataType for field in seen}
        fields = [
            _convert(value.getField(f.name), types[f.name], f.dtype).alias(f.name)
            for f in dtype.fields
        ]
        return F.when(value.isNotNull(), F.struct(*fields))
    if dtype != Timestamp:
        return value.cast(dtype.spark)
    if isinstance(seen, T.LongType):
        # Not `/`, which is of doubles; floored, so that times before 1970 are cut as others are.
        return F.timestamp_micros(_floor_div(value, 1000))
    return F.timestamp_micros(utc_micros(value, seen))


def _floor_div(value: Column, divisor: int) -> Column:
    whole = value - F.pmod(value, F.lit(divisor))
    return F.call_function("div", whole, F.lit(divisor))


def _reason(exc: Exception) -> str:
    """Why the data cannot be opened, in one line."""
    text = str(exc)
    for sign, reason in _REASONS:
        if sign in text:
            return reason
    return text.partition("\n")[0]


_REASONS: Sequence[tuple[str, str]] = (
    ("PATH_NOT_FOUND", "there is no such file or folder"),
    ("UNABLE_TO_INFER_SCHEMA", "there is no parquet file in it"),
    ("DELTA_TABLE_NOT_FOUND", "it is not a Delta table"),
    ("is not a Delta table", "it is not a Delta table"),
    ("CANNOT_MERGE_SCHEMAS", "its files have schemas that do not fit together"),
    ("Failed merging schema", "its files have schemas that do not fit together"),
    ("is not a Parquet file", "it is not a parquet file"),
    ("CANNOT_READ_FILE_FOOTER", "it is not a parquet file"),
)
