"""
Data types of schemas, and the one table that says how each is encoded.

A value has three forms. *JSON* is what a client sends. *Canonical* is what is stored: plain
JSON values with one spelling each (times as RFC 3339 UTC with six digits, NaN and the infinities
as strings, map keys sorted), so that equal values are equal bytes. *Native* is what Python,
pandas and Arrow hold: `datetime`, `int`, `float`, `list`, `dict`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from tecton.names import sql_name
from tecton.timestamps import format_micros, micros_of, parse_rfc3339

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Array",
    "Bool",
    "DataType",
    "Field",
    "Float32",
    "Float64",
    "Int32",
    "Int64",
    "Map",
    "String",
    "Struct",
    "Timestamp",
    "ValueMismatch",
]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
STRING_MAX_BYTES = 64 * 1024
SHOWN_MAX_CHARACTERS = 100


class ValueMismatch(ValueError):
    """A value is not of the declared type.

    Args:
        expected: What the type asks for, in words.
        seen: The value as it came; shown cut to 100 characters.
        path: Where inside an array, struct or map, as `[2].price`.
    """

    def __init__(self, expected: str, seen: object, path: str = "") -> None:
        self.expected = expected
        self.seen = show(seen)
        self.path = path
        super().__init__(f"expected {expected}, saw {self.seen}")

    def inside(self, step: str) -> ValueMismatch:
        """The same mismatch, one step further out."""
        outer = ValueMismatch(self.expected, None, step + self.path)
        outer.seen = self.seen
        outer.args = self.args
        return outer


def show(value: object) -> str:
    """A value as messages show it: its JSON kind of repr, cut to 100 characters."""
    if value is None:
        text = "null"
    elif value is True or value is False:
        text = str(value).lower()
    elif isinstance(value, str):
        text = '"' + value[: SHOWN_MAX_CHARACTERS + 1] + '"'
    else:
        text = _repr(value)
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= SHOWN_MAX_CHARACTERS else text[: SHOWN_MAX_CHARACTERS - 1] + "…"


def cut(name: str) -> str:
    """A name from outside as messages show it: without quotes, cut to 100 characters."""
    return show(name)[1:-1] if len(name) <= SHOWN_MAX_CHARACTERS - 2 else show(name)[1:]


def _repr(value: object) -> str:
    """Python's repr, without building a huge one: containers are shown by kind and size."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN_MAX_CHARACTERS:
        return "an integer of over 100 digits"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return repr(value)


class DataType:
    """One data type; compare with `==`, the name is in `name`."""

    name: ClassVar[str]

    @property
    def spark(self) -> str:
        """The type's name in Spark's DDL."""
        raise NotImplementedError

    def accept(self, value: Any) -> Any:
        """JSON → canonical. Null is the caller's matter.

        Raises:
            ValueMismatch: The value is not of this type.
        """
        raise NotImplementedError

    def from_native(self, value: Any) -> Any:
        """Native → canonical; the value comes from a typed column, so it is not checked again."""
        return value

    def to_native(self, value: Any) -> Any:
        """Canonical → native."""
        return value

    def served(self, value: Any) -> Any:
        """Canonical → the form of `get-features` (contract §4)."""
        return value

    def describe(self) -> dict[str, Any]:
        """The type as the HTTP API and the registry spell it: `{"type": "int64"}`."""
        return {"type": self.name}

    def arrow(self) -> pa.DataType:
        """The Arrow type of native values."""
        raise NotImplementedError

    def spelled(self) -> Iterator[str]:
        """The name as definitions spell it, piece by piece: a struct's can be very long."""
        yield self.name.capitalize()

    @property
    def brief(self) -> str:
        """The name, cut to 100 characters."""
        text = ""
        for piece in self.spelled():
            text += piece
            if len(text) > SHOWN_MAX_CHARACTERS:
                return text[: SHOWN_MAX_CHARACTERS - 1] + "…"
        return text

    def __str__(self) -> str:
        return "".join(self.spelled())

    __repr__ = __str__


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
class _String(DataType):
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


@dataclass(frozen=True, repr=False)
class Array(DataType):
    """A list of values of one type; elements may be null."""

    element_type: DataType
    name: ClassVar[str] = "array"

    @property
    def spark(self) -> str:
        return f"array<{self.element_type.spark}>"

    def accept(self, value: Any) -> list[Any]:
        if type(value) is not list:
            raise ValueMismatch(f"{self.brief} (an array)", value)
        return [_accept(self.element_type, item, f"[{i}]") for i, item in enumerate(value)]

    def from_native(self, value: Sequence[Any]) -> list[Any]:
        return [_optional(self.element_type.from_native, item) for item in value]

    def to_native(self, value: list[Any]) -> list[Any]:
        return [_optional(self.element_type.to_native, item) for item in value]

    def served(self, value: list[Any]) -> list[Any]:
        return [_optional(self.element_type.served, item) for item in value]

    def describe(self) -> dict[str, Any]:
        return {"type": self.name, "elementType": self.element_type.describe()}

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.list_(self.element_type.arrow())

    def spelled(self) -> Iterator[str]:
        """The name, piece by piece."""
        yield "Array("
        yield from self.element_type.spelled()
        yield ")"


@dataclass(frozen=True, repr=False)
class Field:
    """A named, typed column of a schema."""

    name: str
    dtype: DataType

    def __repr__(self) -> str:
        return f"Field({self.name!r}, {self.dtype})"


@dataclass(frozen=True, repr=False, init=False)
class Struct(DataType):
    """Named values of different types; every field is present, any may be null."""

    fields: tuple[Field, ...]
    name: ClassVar[str] = "struct"

    def __init__(self, fields: Sequence[Field]) -> None:
        object.__setattr__(self, "fields", tuple(fields))

    @property
    def spark(self) -> str:
        inner = ",".join(f"{sql_name(field.name)}:{field.dtype.spark}" for field in self.fields)
        return f"struct<{inner}>"

    def accept(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueMismatch(f"{self.brief} (an object)", value)
        known = {field.name for field in self.fields}
        for name in value:
            if name not in known:
                raise ValueMismatch(f"only fields of {self.brief}", name)
        accepted = {}
        for field in self.fields:
            if field.name not in value:
                raise ValueMismatch(f"field `{field.name}`", value)
            accepted[field.name] = _accept(field.dtype, value[field.name], f".{field.name}")
        return accepted

    def from_native(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {f.name: _optional(f.dtype.from_native, value[f.name]) for f in self.fields}

    def to_native(self, value: dict[str, Any]) -> dict[str, Any]:
        return {f.name: _optional(f.dtype.to_native, value[f.name]) for f in self.fields}

    def served(self, value: dict[str, Any]) -> list[Any]:
        return [_optional(f.dtype.served, value[f.name]) for f in self.fields]

    def describe(self) -> dict[str, Any]:
        fields = [{"name": f.name, "dataType": f.dtype.describe()} for f in self.fields]
        return {"type": self.name, "fields": fields}

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.struct([(field.name, field.dtype.arrow()) for field in self.fields])

    def spelled(self) -> Iterator[str]:
        """The name, piece by piece."""
        yield "Struct("
        for number, field in enumerate(self.fields):
            yield f", {field.name}: " if number else f"{field.name}: "
            yield from field.dtype.spelled()
        yield ")"


@dataclass(frozen=True, repr=False)
class Map(DataType):
    """Values of one type by string key; values may be null."""

    key_type: DataType
    value_type: DataType
    name: ClassVar[str] = "map"

    @property
    def spark(self) -> str:
        return f"map<{self.key_type.spark},{self.value_type.spark}>"

    def accept(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueMismatch(f"{self.brief} (an object)", value)
        accepted = {}
        for key, item in value.items():
            _accept(self.key_type, key, "")
            accepted[key] = _accept(self.value_type, item, f"[{show(key)}]")
        return _by_key(accepted)

    def from_native(self, value: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> dict[str, Any]:
        items = value.items() if isinstance(value, Mapping) else value
        return _by_key({k: _optional(self.value_type.from_native, v) for k, v in items})

    def to_native(self, value: dict[str, Any]) -> dict[str, Any]:
        return {k: _optional(self.value_type.to_native, v) for k, v in value.items()}

    def served(self, value: dict[str, Any]) -> dict[str, Any]:
        return {k: _optional(self.value_type.served, v) for k, v in value.items()}

    def describe(self) -> dict[str, Any]:
        return {
            "type": self.name,
            "keyType": self.key_type.describe(),
            "valueType": self.value_type.describe(),
        }

    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        return pa.map_(self.key_type.arrow(), self.value_type.arrow())

    def spelled(self) -> Iterator[str]:
        """The name, piece by piece."""
        yield "Map("
        yield from self.key_type.spelled()
        yield ", "
        yield from self.value_type.spelled()
        yield ")"


def _accept(dtype: DataType, value: Any, step: str) -> Any:
    if value is None:
        return None
    try:
        return dtype.accept(value)
    except ValueMismatch as exc:
        raise exc.inside(step) from None


def _spell_bytes(count: int) -> str:
    return f"{count} bytes" if count % 1024 else f"{count // 1024} KiB"


def _optional(convert: Any, value: Any) -> Any:
    return None if value is None else convert(value)


def _by_key(mapping: dict[str, Any]) -> dict[str, Any]:
    # Code point order is the order of UTF-8 bytes, so equal maps have equal encodings.
    return dict(sorted(mapping.items()))


Bool = _Bool()
Int64 = _Int64()
Int32 = Int64
"""Accepted and stored as Int64 (contract §1)."""
Float64 = _Float64()
Float32 = Float64
"""Accepted and stored as Float64 (contract §1)."""
String = _String()
Timestamp = _Timestamp()

_SCALARS: dict[str, DataType] = {t.name: t for t in (Bool, Int64, Float64, String, Timestamp)}


def bounded(dtype: DataType, string_bytes: int | None) -> DataType:
    """
    The same type with another limit for its strings, those inside included.

    Args:
        dtype: The type; it is equal to what comes back.
        string_bytes: The greatest length in UTF-8; None for any.
    """
    if isinstance(dtype, _String):
        return _String(string_bytes)
    if isinstance(dtype, Array):
        return Array(bounded(dtype.element_type, string_bytes))
    if isinstance(dtype, Map):
        key, value = dtype.key_type, dtype.value_type
        return Map(bounded(key, string_bytes), bounded(value, string_bytes))
    if isinstance(dtype, Struct):
        return Struct([Field(f.name, bounded(f.dtype, string_bytes)) for f in dtype.fields])
    return dtype


def from_description(description: Mapping[str, Any]) -> DataType:
    """The type that `describe` has described."""
    name = description["type"]
    if name == Array.name:
        return Array(from_description(description["elementType"]))
    if name == Struct.name:
        fields = description["fields"]
        return Struct([Field(f["name"], from_description(f["dataType"])) for f in fields])
    if name == Map.name:
        key, value = description["keyType"], description["valueType"]
        return Map(from_description(key), from_description(value))
    return _SCALARS[name]
