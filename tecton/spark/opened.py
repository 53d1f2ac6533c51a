"""
Files of each format → a frame of what is in them, before its columns are looked at.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.applied import BatchRows
from tecton.batch_text import JsonLine, with_times_as_text
from tecton.errors import SourceError
from tecton.locations import for_files, for_spark
from tecton.periods import Period
from tecton.spark.columns import column, ddl
from tecton.spark.partitions import partition_names, within_partitions
from tecton.types import Field, ValueMismatch

FILE = "#file"
"""The column with the file that a row comes from; no column of a schema has such a name."""

_NANOS_AS_LONG = "spark.sql.legacy.parquet.nanosAsLong"
_TIME_PARSER = "spark.sql.legacy.timeParserPolicy"
_PARTITION_TYPES = "spark.sql.sources.partitionColumnTypeInference.enabled"
_VALUE = "value"
_CSV = {
    "header": "true",
    # The order of columns in each file is that of its own header, or the job ends.
    "enforceSchema": "false",
    # RFC 4180: a quoted cell may hold line breaks, and quotes that are doubled.
    "multiLine": "true",
    "escape": '"',
    # A cell of nothing is null and `""` is an empty text: no cell is this.
    "nullValue": "\0",
    # A row with a cell too many or too few is found also when its other cells are not needed.
    "columnPruning": "false",
    "mode": "FAILFAST",
    "timeZone": "UTC",
}
_JSON = {"mode": "FAILFAST", "timeZone": "UTC"}


class Opened(NamedTuple):
    """What is in a batch source.

    Args:
        frame: Its rows; of csv and json with `#file`.
        texts: The columns whose values are texts, whatever they shall be.
        files: Their URIs.
    """

    frame: DataFrame
    texts: frozenset[str]
    files: Sequence[str]


def open_batch(
    spark: SparkSession, batch: BatchRows, fields: Sequence[Field], period: Period | None
) -> Opened:
    """
    Open a batch source.

    Args:
        spark: The session.
        batch: Where and how it is read.
        fields: What it is read for; of json without a schema of its own nothing else is taken.
        period: Which rows are wanted; folders that can hold none of them are passed over.

    Raises:
        PySparkException: It is missing or unreadable.
        SourceError: Its schema cannot be told.
    """
    # Nanoseconds are bigints to Spark, or nothing. Set for good: frames are read after this.
    spark.conf.set(_NANOS_AS_LONG, "true")
    if batch.timestamp_format is not None:
        # Spark 3 would end the job where its parser of times differs from that of Spark 2.
        spark.conf.set(_TIME_PARSER, "CORRECTED")
    if batch.file_format == "delta":
        frame = spark.read.format("delta").load(for_spark(batch.uri))
        files = frame.inputFiles()
        return Opened(_chosen(frame, batch, period), frozenset(), files)
    with _folders_as_text(spark):
        frame = _OPEN[batch.file_format](spark, batch)
    files = frame.inputFiles()
    if not files:
        raise SourceError(f"there is no {batch.file_format} file in it")
    names = set(frame.columns)
    in_path = partition_names(batch.uri, files) & names
    frame = _chosen(frame, batch, period)
    if batch.file_format != "parquet":
        frame = with_file(frame)
    if _is_declared_json(batch):
        frame = _json_rows(frame, batch, fields, sorted(in_path))
    is_csv = batch.file_format == "csv" and batch.schema_override is None
    is_text = names if is_csv and batch.post_processor is None else in_path
    return Opened(frame, frozenset(is_text), files)


def _chosen(frame: DataFrame, batch: BatchRows, period: Period | None) -> DataFrame:
    if period is None:
        return frame
    return within_partitions(frame, batch.partitions, period)


def footers(spark: SparkSession, files: Sequence[str]) -> Iterator[pa.Schema]:
    """The schemas of parquet files as written: of each if they are local, else of the smallest."""
    if all(file.startswith("file:") for file in files):
        for file in files:
            yield pq.read_schema(for_files(file))
        return
    sizes = spark.read.format("binaryFile").load(list(files)).select("path", "length")
    [smallest] = sizes.orderBy("length").limit(1).collect()
    [content] = spark.read.format("binaryFile").load(smallest["path"]).select("content").collect()
    yield pq.read_schema(io.BytesIO(content["content"]))


@contextmanager
def _folders_as_text(spark: SparkSession) -> Iterator[None]:
    """The values in folders' names stay as they are: `user=007` is no 7."""
    before = spark.conf.get(_PARTITION_TYPES, None)
    spark.conf.set(_PARTITION_TYPES, "false")
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(_PARTITION_TYPES)
        else:
            spark.conf.set(_PARTITION_TYPES, before)


def with_file(frame: DataFrame) -> DataFrame:
    """A frame as it was read, with `#file`."""
    names = [column(name) for name in frame.columns]
    return frame.select(*names, F.col("_metadata.file_path").alias(FILE))


def _parquet(spark: SparkSession, batch: BatchRows) -> DataFrame:
    schema = _schema(spark, batch, lambda reader, uri: reader.parquet(uri).schema)

    def read(**options: str) -> DataFrame:
        # Without a schema all footers are read, so that one file of another schema is found
        # before any row is.
        reader = spark.read.options(**options) if schema is None else spark.read.schema(schema)
        return reader.options(**options, mergeSchema="true").parquet(for_spark(batch.uri))

    return _whole(read)


def _csv(spark: SparkSession, batch: BatchRows) -> DataFrame:
    # A function gets what Spark makes of the cells, as documented; otherwise they stay texts.
    infer = "false" if batch.post_processor is None else "true"

    def schema_of(reader: DataFrameReader, uri: str) -> T.StructType:
        return reader.options(**_CSV, inferSchema=infer).csv(uri).schema

    declared = _schema(spark, batch, schema_of)

    def read(**options: str) -> DataFrame:
        reader, uri = spark.read.options(**_CSV, **options), for_spark(batch.uri)
        if declared is None:
            return reader.options(inferSchema=infer).csv(uri)
        return reader.schema(_by_header(declared, reader.csv(uri).schema)).csv(uri)

    return _whole(read)


def _by_header(declared: T.StructType, seen: T.StructType) -> T.StructType:
    """A schema in the order of a file's header; what it does not name is text."""
    known = {field.name: field for field in declared}
    missing = sorted(known.keys() - {field.name for field in seen})
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing)
        raise SourceError(f"the header of its files does not name {listed} of the schema_override")
    return T.StructType([known.get(field.name, field) for field in seen])


def _json(spark: SparkSession, batch: BatchRows) -> DataFrame:
    if _is_declared_json(batch):
        return _whole(lambda **options: spark.read.options(**options).text(for_spark(batch.uri)))
    schema = _schema(spark, batch, lambda reader, uri: reader.options(**_JSON).json(uri).schema)

    def read(**options: str) -> DataFrame:
        reader = spark.read.options(**_JSON, **options)
        reader = reader if schema is None else reader.schema(schema)
        return reader.json(for_spark(batch.uri))

    return _whole(read)


_OPEN: dict[str, Callable[[SparkSession, BatchRows], DataFrame]] = {
    "parquet": _parquet,
    "csv": _csv,
    "json": _json,
}


def _whole(read: Callable[..., DataFrame]) -> DataFrame:
    """A folder with all that is below it: Spark passes over folders not named `column=value`."""
    nested = read(recursiveFileLookup="true")
    try:
        direct = read()
    except PySparkException as exc:
        if "UNABLE_TO_INFER_SCHEMA" not in str(exc):
            raise
        return nested
    return nested if len(nested.inputFiles()) > len(direct.inputFiles()) else direct


def _override(batch: BatchRows) -> T.StructType | None:
    if batch.schema_override is None:
        return None
    return T.StructType.fromJson(json.loads(batch.schema_override))


def _schema(
    spark: SparkSession, batch: BatchRows, infer: Callable[[DataFrameReader, str], T.StructType]
) -> T.StructType | None:
    """The schema that was given, or that of the files which were named for it."""
    override = _override(batch)
    if override is not None or batch.schema_uri is None:
        return override
    reader = spark.read.option("recursiveFileLookup", "true")
    return infer(reader, for_spark(batch.schema_uri))


def _is_declared_json(batch: BatchRows) -> bool:
    """Is json read by the stream source's own schema?"""
    return (
        batch.file_format == "json"
        and batch.schema_override is None
        and batch.post_processor is None
    )


def _json_rows(
    lines: DataFrame, batch: BatchRows, fields: Sequence[Field], in_path: Sequence[str]
) -> DataFrame:
    """Lines → the declared columns, times still as text; columns of the path stay."""
    read = [field for field in fields if field.name not in in_path]
    typed = [Field(field.name, with_times_as_text(field.dtype)) for field in read]
    kept = [column(name).cast("string").alias(name) for name in (*in_path, FILE)]
    # As bytes, so that what is no UTF-8 is found and not replaced.
    given = lines.select(column(_VALUE).cast("binary").alias(_VALUE), *kept)
    schema = ",".join([ddl(typed), *(f"`{name.replace('`', '``')}` string" for name in in_path)])
    return given.mapInArrow(
        _line_reader(batch, read, typed, in_path), f"{schema},`{FILE}` string".lstrip(",")
    )


def _line_reader(
    source: BatchRows, read: Sequence[Field], typed: Sequence[Field], in_path: Sequence[str]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow`."""
    place, timestamp_format = source.uri, source.timestamp_format
    names = [field.name for field in typed]

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        line_reader = JsonLine(read, timestamp_format)
        for batch in batches:
            is_line = [bool(line.strip()) for line in batch.column(0).to_pylist()]
            lines = batch.filter(pa.array(is_line, pa.bool_()))
            values = [
                _values(line_reader, line, place, lines, number)
                for number, line in enumerate(lines.column(0).to_pylist())
            ]
            read_columns = zip(*values, strict=True) if values else ([] for _ in names)
            arrays = [
                pa.array(list(of_column), field.dtype.arrow())
                for of_column, field in zip(read_columns, typed, strict=True)
            ]
            rest = lines.columns[1:]
            yield pa.RecordBatch.from_arrays([*arrays, *rest], names=[*names, *in_path, FILE])

    return rows


def _values(
    line_reader: JsonLine, line: bytes, place: str, lines: pa.RecordBatch, number: int
) -> list[Any]:
    try:
        return line_reader.read(line)
    except ValueMismatch as exc:
        where = f"column `{exc.path}`: " if exc.path else ""
        file = lines.column(lines.num_columns - 1)[number].as_py()
        raise SourceError(f"batch source {place}: {where}{exc}, in {file}") from None
