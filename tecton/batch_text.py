"""
How values are spelled in csv, in json lines and in the names of partition folders.

One set of rules for plan, which looks at a few rows, and for the jobs, which read them all. Regular
expressions are in the language that Python and Java share.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tecton.types import (
    INT64_MAX,
    INT64_MIN,
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
    ValueMismatch,
    bounded,
    show,
)

BOOLEAN = r"(?i:true|false)"
INTEGER = r"[+-]?[0-9]{1,30}"
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
NOT_FINITE = r"(?i:nan|[+-]?inf(?:inity)?)"
ZONE = r"(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"
TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
    rf"(?: ?{ZONE})?"
)
"""What needs no `timestamp_format`: as RFC 3339; a time without a zone is UTC."""

EPOCH_FORMATS: Mapping[str, int] = {
    "epoch_seconds": 1_000_000_000,
    "epoch_millis": 1_000_000,
    "epoch_micros": 1_000,
    "epoch_nanos": 1,
}
"""Values of `timestamp_format` for whole numbers since 1970, with the unit's nanoseconds (ours)."""

EXPECTED: Mapping[DataType, str] = {
    Bool: "Bool (true or false)",
    Int64: "Int64 (an integer in ±2^63)",
    Float64: "Float64 (a number)",
    Timestamp: "Timestamp (as 2023-01-02T00:25:06Z)",
}
"""What a cell of a type must be, for messages."""

_PATTERN_LETTERS = frozenset("GyMLdDQqEFahHkKmsSVzOXxZ")
"""Letters of patterns that Spark parses by; it refuses those of week-based years and others."""
_QUOTED = re.compile(r"'[^']*'")
_OF_HALF_DAYS = re.compile(r"[hK]")
_SPECIAL_FLOATS = ("NaN", "Infinity", "-Infinity")


def is_epoch(timestamp_format: str | None) -> bool:
    """Does a format say that times are whole numbers?"""
    return timestamp_format in EPOCH_FORMATS


def expected_time(timestamp_format: str | None) -> str:
    """What a time must be, for messages."""
    if timestamp_format is None:
        return EXPECTED[Timestamp]
    return f"Timestamp (by the timestamp_format {timestamp_format})"


def pattern_fault(timestamp_format: str) -> str | None:
    """What is wrong with a timestamp format; None if Spark could parse times by it."""
    if is_epoch(timestamp_format):
        return None
    bare = _QUOTED.sub("", timestamp_format)
    if "'" in bare:
        return "has a quote that is not closed"
    unknown = sorted({one for one in bare if one.isascii() and one.isalpha()} - _PATTERN_LETTERS)
    if unknown:
        return f"has the letter {unknown[0]}, which is none of Spark's patterns of times"
    return None if {"y", "M", "d"} <= set(bare) or {"y", "D"} <= set(bare) else "names no day"


def spark_pattern(timestamp_format: str) -> str:
    """
    A timestamp format as Spark is to parse by it, in UTC unless the text names a zone.

    `hh` means an hour of half a day; without `a`, the half, that is `HH`: people write so, and
    noon would be read as midnight.
    """
    bare = _QUOTED.sub("", timestamp_format)
    if "a" in bare:
        return timestamp_format
    pieces = re.split(r"('[^']*')", timestamp_format)
    return "".join(
        piece if piece.startswith("'") else _OF_HALF_DAYS.sub("H", piece) for piece in pieces
    )


def names_zone(timestamp_format: str) -> bool:
    """Does a text of this format say in which zone it is?"""
    return bool(set(_QUOTED.sub("", timestamp_format)) & set("VzOXxZ"))


def has_hours(timestamp_format: str) -> bool:
    """Does a text of this format say more than a day?"""
    return bool(set(_QUOTED.sub("", timestamp_format)) & set("hHkKms"))


def is_cell(dtype: DataType, text: str, timestamp_format: str | None = None) -> bool:
    """Could a text be a value of a type? What only Spark can tell counts as yes."""
    if dtype == Bool:
        return re.fullmatch(BOOLEAN, text) is not None
    if dtype == Int64:
        return re.fullmatch(INTEGER, text) is not None and INT64_MIN <= int(text) <= INT64_MAX
    if dtype == Float64:
        return re.fullmatch(f"{NUMBER}|{NOT_FINITE}", text) is not None
    if dtype == Timestamp and timestamp_format is None:
        return re.fullmatch(TIME, text) is not None
    return True


def with_times_as_text(dtype: DataType) -> DataType:
    """A type with String wherever a Timestamp is in it."""
    if dtype == Timestamp:
        return String
    if isinstance(dtype, Array):
        return Array(with_times_as_text(dtype.element_type))
    if isinstance(dtype, Map):
        return Map(dtype.key_type, with_times_as_text(dtype.value_type))
    if isinstance(dtype, Struct):
        return Struct([Field(f.name, with_times_as_text(f.dtype)) for f in dtype.fields])
    return dtype


class JsonLine:
    """Reads the lines of a json file: types as in `POST /ingest`, other columns are passed over.

    Args:
        fields: The columns.
        timestamp_format: How times are spelled.
    """

    def __init__(self, fields: Sequence[Field], timestamp_format: str | None = None) -> None:
        takes_numbers = is_epoch(timestamp_format)
        self._columns = [(field.name, _reader(field.dtype, takes_numbers)) for field in fields]

    def read(self, line: bytes) -> list[Any]:
        """
        The values of a line as Arrow takes them, times as the text that stands there.

        Args:
            line: One object.

        Raises:
            ValueMismatch: It is none, or a value is of another type; `path` names the column.
        """
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            shown = line[:101].decode(errors="replace")
            raise ValueMismatch(f"JSON ({exc})", shown) from None
        if not isinstance(record, dict):
            raise ValueMismatch("an object", record)
        return [_value(read, record.get(name), name) for name, read in self._columns]


_Read = Callable[[Any], Any]


def _value(read: _Read, value: Any, step: str) -> Any:
    if value is None:
        return None
    try:
        return read(value)
    except ValueMismatch as exc:
        raise exc.inside(step) from None


def _reader(dtype: DataType, takes_numbers: bool) -> _Read:
    if isinstance(dtype, Array):
        return _array(dtype, _reader(dtype.element_type, takes_numbers))
    if isinstance(dtype, Map):
        return _map(dtype, _reader(dtype.value_type, takes_numbers))
    if isinstance(dtype, Struct):
        return _struct(dtype, {f.name: _reader(f.dtype, takes_numbers) for f in dtype.fields})
    if dtype == Float64:
        return _float
    if dtype == Timestamp:
        return _epoch if takes_numbers else _time
    return bounded(dtype, None).accept


def _array(dtype: Array, read: _Read) -> _Read:
    def of(value: Any) -> list[Any]:
        if type(value) is not list:
            raise ValueMismatch(f"{dtype.brief} (an array)", value)
        return [_value(read, item, f"[{number}]") for number, item in enumerate(value)]

    return of


def _map(dtype: Map, read: _Read) -> _Read:
    def of(value: Any) -> list[tuple[str, Any]]:
        if type(value) is not dict:
            raise ValueMismatch(f"{dtype.brief} (an object)", value)
        return [(key, _value(read, item, f"[{show(key)}]")) for key, item in value.items()]

    return of


def _struct(dtype: Struct, readers: Mapping[str, _Read]) -> _Read:
    def of(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueMismatch(f"{dtype.brief} (an object)", value)
        return {name: _value(read, value.get(name), f".{name}") for name, read in readers.items()}

    return of


def _float(value: Any) -> float:
    if isinstance(value, str) and value in _SPECIAL_FLOATS:
        return float(Float64.to_native(value))
    return float(Float64.accept(value))


def _time(value: Any) -> str:
    if type(value) is not str:
        raise ValueMismatch(EXPECTED[Timestamp], value)
    return value


def _epoch(value: Any) -> str:
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return str(value)
    return _time(value)
