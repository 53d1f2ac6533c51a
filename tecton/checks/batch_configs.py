"""
The rules of where batch data is and how it is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from tecton.batch_config import absolute_uri, schema_json
from tecton.batch_text import pattern_fault
from tecton.checks.batch_files import Reading, check_file
from tecton.checks.findings import LONGEST, Finding, Findings, expected, is_utf8, no_text
from tecton.checks.schemas import SCALARS, check_timestamp, columns_of, listed
from tecton.definitions import DatetimePartitionColumn, FileConfig, StreamSource
from tecton.functions.capture import capture
from tecton.functions.refusals import CannotCapture
from tecton.functions.transformation import TURNED_OFF
from tecton.locations import is_inside, refusal
from tecton.types import Field, show

FILE_FORMATS = ("parquet", "csv", "json", "delta")
DATE_PARTS = ("year", "month", "day", "hour", "date")
_DIRECTIVES = re.compile(r"%(.)")


def check_batch_config(
    source: StreamSource,
    config: FileConfig,
    root: Path,
    batch_roots: Sequence[str],
    are_functions_on: bool,
) -> Findings:
    """
    The rules of a `FileConfig`.

    Args:
        source: Whose it is.
        config: The config.
        root: Where relative paths start.
        batch_roots: Where batch data must be; none: anywhere.
        are_functions_on: May functions be planned and run?
    """
    delay = config.data_delay
    if not isinstance(delay, timedelta) or not timedelta(0) <= delay <= LONGEST:
        yield expected("batch_config.data_delay", "a timedelta of 0 or more", delay)
    columns = columns_of(source)
    if columns:
        field = "batch_config.timestamp_field"
        yield from check_timestamp(field, config.timestamp_field, columns, "the schema")
    if config.file_format not in FILE_FORMATS:
        rule = '"parquet", "csv", "json" or "delta"'
        yield expected("batch_config.file_format", rule, config.file_format)
    yield from _columns_of_csv(source, config)
    yield from _timestamp_format(config)
    yield from _schemas(config)
    yield from _partitions(config)
    yield from _post_processor(config, root, are_functions_on)
    yield from _uris(source, config, root, batch_roots)


def _of_file(argument: str, message: str) -> Finding:
    return Finding(f"batch_config.{argument}", message)


def _columns_of_csv(source: StreamSource, config: FileConfig) -> Findings:
    if config.file_format != "csv" or config.post_processor is not None:
        return
    nested = [name for name, dtype in columns_of(source).items() if dtype not in SCALARS]
    if nested:
        yield _of_file(
            "file_format",
            f"a cell of csv holds no Array, Struct or Map ({listed(nested)}); use json or parquet, "
            "or make them in a post_processor",
        )


def _timestamp_format(config: FileConfig) -> Findings:
    given = config.timestamp_format
    if given is None:
        return
    if not isinstance(given, str) or not given:
        yield expected("batch_config.timestamp_format", "a pattern as yyyy-MM-dd HH:mm:ss", given)
        return
    fault = pattern_fault(given)
    if fault is not None:
        yield _of_file(
            "timestamp_format",
            f"{show(given)} {fault}; write it in Spark's pattern letters, as yyyy-MM-dd HH:mm:ss",
        )


def _schemas(config: FileConfig) -> Findings:
    override = config.schema_override
    if override is not None and schema_json(override) is None:
        yield expected("batch_config.schema_override", "a pyspark.sql.types.StructType", override)
    if config.schema_uri is not None and override is not None:
        yield _of_file("schema_uri", "is not read when there is a schema_override; leave one out")
    elif config.schema_uri is not None and config.file_format == "delta":
        yield _of_file("schema_uri", "means nothing for a Delta table, which knows its schema")
    if override is not None and config.file_format == "delta":
        yield _of_file("schema_override", "means nothing for a Delta table, which knows its schema")


def _partitions(config: FileConfig) -> Findings:
    place = "batch_config.datetime_partition_columns"
    given = config.datetime_partition_columns
    if given is None:
        return
    if not isinstance(given, (list, tuple)):
        yield expected(place, "a list of DatetimePartitionColumn", given)
        return
    for one in given:
        if not isinstance(one, DatetimePartitionColumn):
            yield expected(place, "a list of DatetimePartitionColumn", one)
            continue
        if not isinstance(one.column_name, str) or not one.column_name:
            yield expected(f"{place}.column_name", "the name of a column", one.column_name)
        if one.datepart not in DATE_PARTS:
            yield expected(f"{place}.datepart", f"one of {', '.join(DATE_PARTS)}", one.datepart)
        if one.format_string is not None and not _is_format(one.format_string):
            rule = "%Y, %m, %d and %H with other characters between, as %Y-%m"
            yield expected(f"{place}.format_string", rule, one.format_string)


def _is_format(given: object) -> bool:
    if not isinstance(given, str):
        return False
    directives = _DIRECTIVES.findall(given)
    return bool(directives) and set(directives) <= set("YmdH") and not given.endswith("%")


def _post_processor(config: FileConfig, root: Path, are_functions_on: bool) -> Findings:
    function = config.post_processor
    if function is None:
        return
    if not callable(function):
        yield expected("batch_config.post_processor", "a function", function)
        return
    if not are_functions_on:
        message = f"{TURNED_OFF}; set it to on, or leave the function out"
        yield _of_file("post_processor", message)
        return
    try:
        capture(function, root)
    except CannotCapture as exc:
        yield _of_file("post_processor", str(exc))


def _uris(
    source: StreamSource, config: FileConfig, root: Path, batch_roots: Sequence[str]
) -> Findings:
    uri, findings = _uri("uri", config.uri, root, batch_roots)
    yield from findings
    if config.schema_uri is not None:
        schema_uri, findings = _uri("schema_uri", config.schema_uri, root, batch_roots)
        yield from findings
        if uri and schema_uri and not is_inside(schema_uri, uri):
            yield _of_file(
                "schema_uri", f"{show(config.schema_uri)} is not below the uri; correct it"
            )
    if not uri or config.file_format not in FILE_FORMATS:
        return
    fields = [Field(name, dtype) for name, dtype in columns_of(source).items()]
    is_plain = config.post_processor is None and config.schema_override is None
    reading = Reading(config.file_format, fields if is_plain else (), config.timestamp_format)
    for message in check_file(uri, reading, batch_roots):
        yield _of_file("uri", message)


def _uri(
    argument: str, given: object, root: Path, batch_roots: Sequence[str]
) -> tuple[str | None, Sequence[Finding] | Findings]:
    """The absolute URI, None if it is wrong, and what is wrong with it."""
    field = f"batch_config.{argument}"
    if not isinstance(given, str) or not given:
        return None, [expected(field, "a path or URI", given)]
    uri = absolute_uri(given, root)
    if not is_utf8(uri):
        return None, [no_text(field, uri)]
    reason = refusal(uri, batch_roots)
    if reason is not None:
        return None, [Finding(field, f"{show(given)} {reason}")]
    return uri, ()
