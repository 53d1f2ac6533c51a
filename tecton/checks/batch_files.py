"""
Does a local parquet file hold what a stream source's schema says? Reads only the file's footer.

What is not a local file, or not parquet, is checked by the jobs when they read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.parquet as pq

from tecton.locations import is_inside
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


def local_path(uri: str) -> Path | None:
    """The local file or folder that an absolute *uri* names; None if it may be elsewhere.

    Raises:
        ValueError: It is no URI.
    """
    if uri.startswith("file:"):
        return Path(url2pathname(urlsplit(uri).path))
    if "://" in uri or uri.startswith("dbfs:") or _GLOB_CHARACTERS.intersection(uri):
        return None
    return Path(uri)


def check_file(
    uri: str, file_format: str, fields: Sequence[Field], roots: Sequence[str] = ()
) -> Iterator[str]:
    """
    Say what keeps the jobs from reading *fields* from a file, as far as is cheap to know.

    Args:
        uri: Absolute.
        file_format: "parquet" or "delta".
        fields: The columns that must be there.
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
    elif file_format == "parquet":
        yield from _check_parquet(path, fields, roots)


def _check_parquet(path: Path, fields: Sequence[Field], roots: Sequence[str]) -> Iterator[str]:
    file = _first_file(path)
    if file is None:
        yield f"{path} is a folder without a parquet file; fill it or correct the uri"
        return
    if roots and not any(is_inside(str(file), root) for root in roots):
        allowed = ", ".join(roots)
        yield f"{file} leads out of the allowed roots ({allowed}); put the file itself there"
        return
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError) as exc:
        reason = str(exc).partition("\n")[0]
        yield f"{file} cannot be read as parquet ({reason}); correct the file or the uri"
        return
    # Columns of Hive partitions are in the path; their types are known to the reader only.
    in_path = {part.partition("=")[0] for part in file.relative_to(path).parts if "=" in part}
    yield from _check_schema(schema, [field for field in fields if field.name not in in_path], file)


def _check_schema(schema: pa.Schema, fields: Sequence[Field], file: Path) -> Iterator[str]:
    for field in fields:
        count = schema.names.count(field.name)
        if count == 0:
            columns = ", ".join(schema.names)
            yield f"{file} has no column `{field.name}` (its columns: {columns}); add it there"
        elif count > 1:
            yield f"{file} has {count} columns `{field.name}`; keep one"
        elif not converts(schema.field(field.name).type, field.dtype):
            yield (
                f"column `{field.name}` of {file} is {schema.field(field.name).type}, which does "
                f"not convert to {field.dtype} without loss; change the file or the schema"
            )


def _first_file(path: Path) -> Path | None:
    if path.is_file():
        return path
    files = (
        file
        for file in sorted(path.rglob("*.parquet"))
        if not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    )
    return next(files, None)


def converts(arrow: pa.DataType, dtype: DataType) -> bool:
    """Does every value of an Arrow type convert to *dtype* without loss (contract §1)?"""
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if isinstance(dtype, Array):
        return _is_list(arrow) and converts(arrow.value_type, dtype.element_type)
    if isinstance(dtype, Struct):
        return pa.types.is_struct(arrow) and all(
            arrow.get_field_index(field.name) >= 0
            and converts(arrow.field(field.name).type, field.dtype)
            for field in dtype.fields
        )
    if isinstance(dtype, Map):
        return (
            pa.types.is_map(arrow)
            and converts(arrow.key_type, dtype.key_type)
            and converts(arrow.item_type, dtype.value_type)
        )
    return _SCALARS[dtype](arrow)


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
