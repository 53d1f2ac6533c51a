"""
Does a local file hold what a stream source's schema says? Reads its footer, or its first rows.

What is not a local file, or Delta, is checked by the jobs when they read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tecton.batch_text import has_hours, is_epoch
from tecton.checks.text_files import check_csv, check_json
from tecton.locations import for_files, is_inside
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
    show,
)

_GLOB_CHARACTERS = frozenset("*?[{")
_MOUNT = Path("/dbfs")


class Reading(NamedTuple):
    """How jobs will read a file.

    Args:
        file_format: "parquet", "csv", "json" or "delta".
        fields: The columns that must be there; none: what is there is not looked at.
        timestamp_format: How times are spelled where they are texts.
    """

    file_format: str
    fields: Sequence[Field]
    timestamp_format: str | None = None


def local_path(uri: str) -> Path | None:
    """The local file or folder that an absolute *uri* names; None if it may be elsewhere.

    Raises:
        ValueError: It is no URI.
    """
    path = for_files(uri)
    is_elsewhere = uri.startswith("dbfs:") and not _MOUNT.is_dir()
    is_wild = path is not None and bool(_GLOB_CHARACTERS.intersection(path))
    if path is None or is_elsewhere or (is_wild and not uri.startswith("file:")):
        return None
    return Path(path)


def check_file(uri: str, reading: Reading, roots: Sequence[str] = ()) -> Iterator[str]:
    """
    Say what keeps the jobs from reading a file, as far as is cheap to know.

    Args:
        uri: Absolute.
        reading: How it is read.
        roots: Where the file itself must be, if *uri* leads to it by a link; none: anywhere.

    Yields:
        A message for each fault.
    """
    try:
        path = local_path(uri)
        is_there = path is None or path.exists()
    except (OSError, ValueError) as exc:
        # Too long for a path, behind a folder that is closed to us, or no URI at all.
        yield f"{show(uri)} names no file that can be read ({exc}); correct the uri"
        return
    if path is None:
        return
    if not is_there:
        yield f"{path} does not exist; create it or correct the uri"
    elif reading.file_format != "delta":
        yield from _check_content(path, reading, roots)


def _check_content(path: Path, reading: Reading, roots: Sequence[str]) -> Iterator[str]:
    file_format = reading.file_format
    file = _first_file(path, file_format)
    if file is None:
        yield f"{path} is a folder without a {file_format} file; fill it or correct the uri"
        return
    if roots and not any(is_inside(str(file), root) for root in roots):
        allowed = ", ".join(roots)
        yield f"{file} leads out of the allowed roots ({allowed}); put the file itself there"
        return
    # Columns of Hive partitions are in the path.
    in_path = {part.partition("=")[0] for part in file.relative_to(path).parts if "=" in part}
    fields = [field for field in reading.fields if field.name not in in_path]
    try:
        if file_format == "parquet":
            schema = pq.read_schema(file)
            yield from _check_schema(schema, fields, file, reading.timestamp_format)
        else:
            check = check_csv if file_format == "csv" else check_json
            yield from check(file, fields, reading.timestamp_format)
    except (pa.ArrowException, OSError, EOFError, ValueError) as exc:
        reason = str(exc).partition("\n")[0]
        yield f"{file} cannot be read as {file_format} ({reason}); correct the file or the uri"


def _check_schema(
    schema: pa.Schema, fields: Sequence[Field], file: Path, timestamp_format: str | None
) -> Iterator[str]:
    for field in fields:
        count = schema.names.count(field.name)
        if count == 0:
            columns = ", ".join(schema.names)
            yield f"{file} has no column `{field.name}` (its columns: {columns}); add it there"
        elif count > 1:
            yield f"{file} has {count} columns `{field.name}`; keep one"
        elif not converts(schema.field(field.name).type, field.dtype, timestamp_format):
            yield (
                f"column `{field.name}` of {file} is {schema.field(field.name).type}, which does "
                f"not convert to {field.dtype} without loss; change the file or the schema"
            )


def _first_file(path: Path, file_format: str) -> Path | None:
    if path.is_file():
        return path
    # Folders of csv and json hold nothing else; what their files are called is up to people.
    pattern = "*.parquet" if file_format == "parquet" else "*"
    files = (
        file
        for file in sorted(path.rglob(pattern))
        if file.is_file()
        and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    )
    return next(files, None)


def converts(arrow: pa.DataType, dtype: DataType, timestamp_format: str | None = None) -> bool:
    """
    Does every value of an Arrow type convert to *dtype* without loss (contract §1)?

    Args:
        arrow: What is there.
        dtype: What shall be.
        timestamp_format: How times are spelled where they are none in the file.
    """
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if isinstance(dtype, Array):
        return _is_list(arrow) and converts(arrow.value_type, dtype.element_type, timestamp_format)
    if isinstance(dtype, Struct):
        return pa.types.is_struct(arrow) and all(
            arrow.get_field_index(field.name) >= 0
            and converts(arrow.field(field.name).type, field.dtype, timestamp_format)
            for field in dtype.fields
        )
    if isinstance(dtype, Map):
        return (
            pa.types.is_map(arrow)
            and converts(arrow.key_type, dtype.key_type)
            and converts(arrow.item_type, dtype.value_type, timestamp_format)
        )
    if dtype == Timestamp and _is_spelled_time(arrow, timestamp_format):
        return True
    return _SCALARS[dtype](arrow)


def _is_spelled_time(arrow: pa.DataType, timestamp_format: str | None) -> bool:
    """Texts are parsed; whole numbers and dates are times only if the format says so."""
    if _is_string(arrow):
        return True
    if timestamp_format is None:
        return False
    if pa.types.is_date(arrow):
        return not is_epoch(timestamp_format) and not has_hours(timestamp_format)
    return _is_int(arrow) and is_epoch(timestamp_format)


def _is_int(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_integer(arrow)) and arrow != pa.uint64()


def _is_float(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_floating(arrow)) or (_is_int(arrow) and arrow.bit_width <= 32)


def _is_string(arrow: pa.DataType) -> bool:
    return str(arrow) in ("string", "large_string", "string_view")


def _is_list(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(arrow)
        or pa.types.is_large_list(arrow)
        or pa.types.is_fixed_size_list(arrow)
    )


_SCALARS: dict[DataType, Callable[[Any], bool]] = {
    Bool: pa.types.is_boolean,
    Int64: _is_int,
    Float64: _is_float,
    String: _is_string,
    Timestamp: pa.types.is_timestamp,
}
