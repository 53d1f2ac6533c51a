"""
The data types of single values, and their limits.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from tecton.timestamps import format_micros, micros_of, parse_rfc3339
from tecton.types.base import DataType
from tecton.types.mismatch import ValueMismatch

if TYPE_CHECKING:
    import pyarrow as pa

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
STRING_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, repr=False)
class _Bool(DataType):
    name: ClassVar[str] = "bool"

    @property
    def spark(self) -> str:
        return "boolean"

    def accept(self, value: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise ValueMismatch("Bool (true or false)", value)

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.bool_()


@dataclass(frozen=True, repr=False)
class _Int64(DataType):
    name: ClassVar[str] = "int64"

    @property
    def spark(self) -> str:
        return "bigint"

    def accept(self, value: Any) -> int:
        if type(value) is int and INT64_MIN <= value <= INT64_MAX:
            return value
        raise ValueMismatch("Int64 (an integer in ±2^63)", value)

    def served(self, value: Any) -> Any:
        return str(value)

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.int64()


_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, repr=False)
class _Float64(DataType):
    name: ClassVar[str] = "float64"

    @property
    def spark(self) -> str:
        return "double"

    def accept(self, value: Any) -> float:
        if type(value) is float:
            return value
        if type(value) is int:
            try:
                return float(value)
            except OverflowError:
                pass
        raise ValueMismatch("Float64 (a number)", value)

    def from_native(self, value: Any) -> Any:
        number = float(value)
        if math.isfinite(number):
            return number
        if math.isnan(number):
            return "NaN"
        return "Infinity" if number > 0 else "-Infinity"

    def to_native(self, value: Any) -> Any:
        return _NON_FINITE[value] if isinstance(value, str) else value

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.float64()


@dataclass(frozen=True, repr=False)
class StringType(DataType):
    """Text in Unicode; `String` is the one with the usual limit."""

    # A limit is no part of the type: bounded and unbounded strings are one type.
    max_bytes: int | None = dataclasses.field(default=STRING_MAX_BYTES, compare=False)
    name: ClassVar[str] = "string"

    @property
    def spark(self) -> str:
        return "string"

    def accept(self, value: Any) -> str:
        if type(value) is not str:
            raise ValueMismatch("String", value)
        limit = self.max_bytes
        if limit is not None and (
            len(value) > limit or (len(value) * 4 > limit and len(value.encode()) > limit)
        ):
            raise ValueMismatch(f"String of at most {_spell_bytes(limit)}", value)
        return value

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.string()


@dataclass(frozen=True, repr=False)
class _Timestamp(DataType):
    name: ClassVar[str] = "timestamp"

    @property
    def spark(self) -> str:
        return "timestamp"

    def accept(self, value: Any) -> str:
        if type(value) is str:
            micros = parse_rfc3339(value)
            if micros is not None:
                return format_micros(micros)
        raise ValueMismatch("Timestamp (RFC 3339 with an offset, as 2023-01-02T00:25:06Z)", value)

    def from_native(self, value: datetime) -> str:
        return format_micros(micros_of(value))

    def to_native(self, value: str) -> datetime:
        return datetime.fromisoformat(value[:-1]).replace(tzinfo=timezone.utc)

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.timestamp("us", tz="UTC")


def _spell_bytes(count: int) -> str:
    return f"{count} bytes" if count % 1024 else f"{count // 1024} KiB"


Bool = _Bool()
Int64 = _Int64()
Int32 = Int64
"""Accepted and stored as Int64 (contract §1)."""
Float64 = _Float64()
Float32 = Float64
"""Accepted and stored as Float64 (contract §1)."""
String = StringType()
Timestamp = _Timestamp()
