"""
Do the first rows of a csv or json file hold what a stream source's schema says?
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from tecton.batch_text import EXPECTED, JsonLine, is_cell
from tecton.types import Field, String, ValueMismatch, show

LOOKED_AT = 100
"""Rows of a file; the jobs look at all of them."""
HEAD_BYTES = 2**20


def check_csv(file: Path, fields: Sequence[Field], timestamp_format: str | None) -> Iterator[str]:
    """
    Look at the header and the first rows of a csv file.

    Args:
        file: The file.
        fields: The columns that must be there.
        timestamp_format: How times are spelled.

    Yields:
        A message for each fault.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no text.
    """
    text = "\n".join(_lines(file))
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(rows, None)
        if header is None:
            yield f"{file} is empty; a csv file begins with the names of its columns"
            return
        missing = [field for field in fields if field.name not in header]
        for field in missing:
            columns = ", ".join(header)
            yield f"{file} has no column `{field.name}` (its columns: {columns}); add it there"
        there = [field for field in fields if field not in missing]
        yield from _check_rows(file, header, list(islice(rows, LOOKED_AT)), there, timestamp_format)
    except csv.Error as exc:
        yield f"{file} cannot be read as csv ({exc}); correct the file or the uri"


def _check_rows(
    file: Path,
    header: list[str],
    rows: list[list[str]],
    fields: Sequence[Field],
    timestamp_format: str | None,
) -> Iterator[str]:
    """One message for each column, that of its first cell that is wrong."""
    for field in fields:
        at = header.index(field.name)
        for row in rows[:LOOKED_AT]:
            cell = row[at] if at < len(row) else ""
            if cell and field.dtype != String and not is_cell(field.dtype, cell, timestamp_format):
                yield _wrong(file, field.name, EXPECTED[field.dtype], show(cell))
                break


def check_json(file: Path, fields: Sequence[Field], timestamp_format: str | None) -> Iterator[str]:
    """Look at the first lines of a json file; see `check_csv`."""
    line_reader = JsonLine(fields, timestamp_format)
    lines = islice(filter(str.strip, _lines(file)), LOOKED_AT)
    try:
        for line in lines:
            line_reader.read(line.encode())
    except ValueMismatch as exc:
        if exc.path:
            yield _wrong(file, exc.path, exc.expected, exc.seen)
        else:
            yield f"{file} holds a line that is not {exc.expected}: {exc.seen}; correct it"


def _wrong(file: Path, column: str, expected: str, seen: str) -> str:
    return f"column `{column}` of {file}: expected {expected}, saw {seen}; correct one of them"


def _lines(file: Path) -> list[str]:
    """The first lines of a file, compressed or not; a last one that is cut is left out."""
    with pa.input_stream(str(file)) as stream:
        head = stream.read(HEAD_BYTES)
    is_cut = len(head) == HEAD_BYTES
    if is_cut:
        head = head[: head.rfind(b"\n") + 1] or head
    lines = head.decode("utf-8-sig").split("\n")
    return [line.removesuffix("\r") for line in lines]
