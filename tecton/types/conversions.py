"""
Data types from their descriptions, and with other limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tecton.types.base import DataType
from tecton.types.nested import Array, Field, Map, Struct
from tecton.types.scalars import Bool, Float64, Int64, String, StringType, Timestamp

_SCALARS: dict[str, DataType] = {t.name: t for t in (Bool, Int64, Float64, String, Timestamp)}


def bounded(dtype: DataType, string_bytes: int | None) -> DataType:
    """
    The same type with another limit for its strings, those inside included.

    Args:
        dtype: The type; it is equal to what comes back.
        string_bytes: The greatest length in UTF-8; None for any.
    """
    if isinstance(dtype, StringType):
        return StringType(string_bytes)
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
