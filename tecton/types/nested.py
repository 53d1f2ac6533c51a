"""
The data types whose values hold values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tecton.names import sql_name
from tecton.types.base import DataType
from tecton.types.mismatch import ValueMismatch, show

if TYPE_CHECKING:
    import pyarrow as pa


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


def _optional(convert: Any, value: Any) -> Any:
    return None if value is None else convert(value)


def _by_key(mapping: dict[str, Any]) -> dict[str, Any]:
    # Code point order is the order of UTF-8 bytes, so equal maps have equal encodings.
    return dict(sorted(mapping.items()))
