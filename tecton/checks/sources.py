"""
The rules of stream sources and their batch data.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from tecton.checks.batch_files import check_file
from tecton.checks.findings import LONGEST, Finding, Findings, expected, is_a, is_utf8, no_text
from tecton.checks.schemas import SCALARS, check_schema, check_timestamp, columns_of, listed
from tecton.definitions import FileConfig, PushConfig, StreamSource
from tecton.locations import refusal
from tecton.resolve import absolute_uri
from tecton.types import Field, show

FILE_FORMATS = ("parquet", "delta")
LATER_FILE_FORMATS = ("csv", "json")


def check_source(source: StreamSource, root: Path, batch_roots: Sequence[str]) -> Findings:
    """
    The rules of one stream source.

    Args:
        source: The source.
        root: Where relative paths start.
        batch_roots: Where batch data must be; none: anywhere.
    """
    yield from check_schema(source)
    if isinstance(source.stream_config, PushConfig):
        yield from _push_config(source, source.stream_config)
    else:
        yield Finding(
            "stream_config",
            f"expected PushConfig(), saw {show(source.stream_config)}; other streams cannot be "
            "read yet, push their records",
        )
    if isinstance(source.batch_config, FileConfig):
        yield from _file_config(source, source.batch_config)
        yield from _uri(source, source.batch_config, root, batch_roots)
    elif source.batch_config is not None:
        yield expected("batch_config", "a FileConfig or None", source.batch_config)


def _push_config(source: StreamSource, config: PushConfig) -> Findings:
    yield from is_a(config, "log_offline", bool, "True or False", within="stream_config.")
    place = "stream_config.event_key"
    if not is_event_key(config):
        yield expected(place, "a column name or a list of some", config.event_key)
        return
    names = config.event_key_names
    columns = columns_of(source)
    for name in names:
        if names.count(name) > 1:
            yield Finding(place, f"`{name}` is there twice; name it once")
        if columns and name not in columns:
            known = listed(columns)
            yield Finding(place, f"`{name}` is not in the schema ({known}); add or correct it")
        elif columns and columns[name] not in SCALARS:
            yield Finding(
                place,
                f"`{name}` is {columns[name]}; only Bool, Int64, Float64, String and Timestamp "
                "tell events apart, choose another column",
            )


def is_event_key(config: PushConfig) -> bool:
    """Is the event key one name or a list of names?"""
    key = config.event_key
    return isinstance(key, str) or (
        isinstance(key, (list, tuple)) and all(isinstance(name, str) for name in key)
    )


_LATER_FILE_ARGUMENTS = {
    "timestamp_format": "times are typed in parquet and delta files",
    "post_processor": "functions on batch data come with a later version",
    "schema_uri": "parquet and delta files carry their schema",
    "schema_override": "parquet and delta files carry their schema",
}


def _file_config(source: StreamSource, config: FileConfig) -> Findings:
    for argument, reason in _LATER_FILE_ARGUMENTS.items():
        if getattr(config, argument) is not None:
            yield _of_file(argument, f"is not supported yet ({reason}); leave it out")
    delay = config.data_delay
    if not isinstance(delay, timedelta) or not timedelta(0) <= delay <= LONGEST:
        yield expected("batch_config.data_delay", "a timedelta of 0 or more", delay)
    yield from _batch_timestamp(source, config)
    yield from _file_format(config)


def _uri(
    source: StreamSource, config: FileConfig, root: Path, batch_roots: Sequence[str]
) -> Findings:
    if not isinstance(config.uri, str) or not config.uri:
        yield expected("batch_config.uri", "a path or URI", config.uri)
        return
    uri = absolute_uri(config.uri, root)
    if not is_utf8(uri):
        yield no_text("batch_config.uri", uri)
        return
    reason = refusal(uri, batch_roots)
    if reason is not None:
        yield _of_file("uri", f"{show(config.uri)} {reason}")
    elif config.file_format in FILE_FORMATS:
        fields = [Field(name, dtype) for name, dtype in columns_of(source).items()]
        for message in check_file(uri, config.file_format, fields, batch_roots):
            yield _of_file("uri", message)


def _file_format(config: FileConfig) -> Findings:
    if config.file_format in LATER_FILE_FORMATS:
        yield _of_file(
            "file_format",
            f"{show(config.file_format)} cannot be read yet; convert the data to parquet or delta",
        )
    elif config.file_format not in FILE_FORMATS:
        yield expected("batch_config.file_format", '"parquet" or "delta"', config.file_format)


def _of_file(argument: str, message: str) -> Finding:
    return Finding(f"batch_config.{argument}", message)


def _batch_timestamp(source: StreamSource, config: FileConfig) -> Findings:
    columns = columns_of(source)
    if columns:
        field = "batch_config.timestamp_field"
        yield from check_timestamp(field, config.timestamp_field, columns, "the schema")
