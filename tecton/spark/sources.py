"""
Batch sources: files or tables → a frame with exactly the source's schema.

Columns are checked before any row is read: types convert without loss or not at all (contract §1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it has no types
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType

from tecton.applied import AppliedSource, BatchRows
from tecton.errors import SourceError
from tecton.locations import holds, refusal
from tecton.periods import Period
from tecton.spark.columns import column
from tecton.spark.opened import FILE, Opened, footers, open_batch, with_file
from tecton.spark.partitions import within_times
from tecton.spark.processed import processed
from tecton.spark.spelled import Spelling, converted, faults
from tecton.types import Field, Timestamp


def read_batch(
    spark: SparkSession,
    source: AppliedSource,
    roots: Sequence[str] = (),
    period: Period | None = None,
) -> DataFrame:
    """
    The rows of a batch source, typed as the stream source's schema says.

    Args:
        spark: The session.
        source: A source with batch rows.
        roots: Where its files must be; none: anywhere.
        period: Which rows are wanted: others may be left out, and are where that saves reading.
            Those without a timestamp may be left out with the folder that they are in.

    Raises:
        SourceError: The data may not be read from there, is missing or unreadable, or a column
            is missing or of a type that would not convert without loss; one line.
    """
    batch = source.batch
    if batch is None:
        raise SourceError(f"stream source {source.name} has no batch_config")
    _check_places(batch, roots)
    try:
        frame, spellings = _opened(spark, source, batch, roots, period)
    except SourceError as exc:
        raise SourceError(f"batch source {batch.uri}: {exc}") from exc
    except (PySparkException, Py4JError, pa.ArrowException, OSError) as exc:
        raise SourceError(f"batch source {batch.uri}: {_reason(exc, batch.file_format)}") from exc
    if period is not None:
        frame = within_times(frame, batch.timestamp_field, period)
    seen = {field.name: field.dataType for field in frame.schema}
    columns = (
        converted(column(name), seen[name], dtype, spellings[name]).alias(name)
        for name, dtype in ((field.name, field.dtype) for field in source.fields)
    )
    return frame.select(*columns)


def _opened(
    spark: SparkSession,
    source: AppliedSource,
    batch: BatchRows,
    roots: Sequence[str],
    period: Period | None,
) -> tuple[DataFrame, Mapping[str, Spelling]]:
    """The frame that holds the source's columns, and how each of them is spelled."""
    opened = open_batch(spark, batch, source.fields, period)
    _check_files(opened.files, roots)
    frame = opened.frame
    if batch.post_processor is not None:
        frame = processed(frame.drop(FILE), batch.post_processor)
    elif _has_times_as_text(frame, source, opened):
        frame = with_file(frame)
    nanos = _nanosecond_columns(spark, frame, opened, source)
    spellings = {
        field.name: _spelling(frame, opened, batch, field, nanos) for field in source.fields
    }
    found = [
        f for field in source.fields for f in faults(frame.schema, field, spellings[field.name])
    ]
    if found:
        raise SourceError("; ".join(found))
    return frame, spellings


def _check_places(batch: BatchRows, roots: Sequence[str]) -> None:
    for uri in filter(None, (batch.uri, batch.schema_uri)):
        reason = refusal(uri, roots)
        if reason is not None:
            raise SourceError(f"batch source {uri} {reason}")


def _has_times_as_text(frame: DataFrame, source: AppliedSource, opened: Opened) -> bool:
    """Are there texts in parquet or Delta files of which a message would have to name the file?"""
    if FILE in frame.columns:
        return False
    texts = {f.name for f in frame.schema if isinstance(f.dataType, StringType)} - opened.texts
    return any(field.dtype == Timestamp and field.name in texts for field in source.fields)


def _spelling(
    frame: DataFrame, opened: Opened, batch: BatchRows, field: Field, nanos: set[str]
) -> Spelling:
    is_read = batch.post_processor is None
    is_text = is_read and field.name in opened.texts
    # What a folder's name says is known before its files are.
    is_in_file = FILE in frame.columns and not (is_text and batch.file_format != "csv")
    return Spelling(
        timestamp_format=batch.timestamp_format,
        is_nanos=field.name in nanos,
        is_text=is_text,
        place=f"batch source {batch.uri}",
        name=field.name,
        file=column(FILE) if is_in_file else None,
    )


def _check_files(files: Sequence[str], roots: Sequence[str]) -> None:
    """The files that a folder, a link in it or a table's log leads to are in the roots too."""
    for file in files if roots else ():
        if not any(holds(root, file) for root in roots):
            raise SourceError(
                f"it leads to {file}, which is in none of the allowed roots "
                f"({', '.join(roots)}); put the file itself there"
            )


def _nanosecond_columns(
    spark: SparkSession, frame: DataFrame, opened: Opened, source: AppliedSource
) -> set[str]:
    """The columns whose bigints are nanoseconds since the epoch, not just integers."""
    if source.batch is None or source.batch.file_format != "parquet":
        return set()
    candidates = {
        field.name
        for field in source.fields
        if any(faults(frame.schema, field, Spelling(is_nanos=False)))
        and not any(faults(frame.schema, field, Spelling(is_nanos=True)))
    }
    if not candidates:
        return candidates
    for schema in footers(spark, opened.files):
        candidates = {name for name in candidates if _is_nanos(schema, name)}
    return candidates


def _is_nanos(schema: pa.Schema, name: str) -> bool:
    at = schema.get_field_index(name)
    return at >= 0 and "timestamp[ns" in str(schema.field(at).type)


def _reason(exc: Exception, file_format: str) -> str:
    """Why the data cannot be opened, in one line."""
    text = str(exc)
    for sign, reason in _REASONS:
        if sign in text:
            return reason.format(file_format=file_format)
    return text.partition("\n")[0]


_REASONS: Sequence[tuple[str, str]] = (
    ("PATH_NOT_FOUND", "there is no such file or folder"),
    ("UNABLE_TO_INFER_SCHEMA", "there is no {file_format} file in it"),
    ("DELTA_TABLE_NOT_FOUND", "it is not a Delta table"),
    ("is not a Delta table", "it is not a Delta table"),
    ("CANNOT_MERGE_SCHEMAS", "its files have schemas that do not fit together"),
    ("Failed merging schema", "its files have schemas that do not fit together"),
    ("is not a Parquet file", "it is not a parquet file"),
    ("CANNOT_READ_FILE_FOOTER", "it is not a parquet file"),
)
