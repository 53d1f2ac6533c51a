"""
The values of one event of an aggregating view, in binary.

A null bitmap (bit i of byte i // 8: column i is null), then each aggregated column in schema
order: 8 bytes little-endian for numbers, or a length of 4 bytes and UTF-8 for strings. A null is
8 zero bytes or no text. NaN is null (contract §1, values).
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from tecton.applied import AppliedView
from tecton.timestamps import parse_rfc3339
from tecton.types import Bool, DataType, Float64, Int64, String, Timestamp

IDENTITY_BYTES = 8
"""Of what tells events of one key and timestamp apart, if the view has an event key."""


class Kind(Enum):
    """How a column is packed; the value is numpy's code, where there is one."""

    INTEGER = "<i8"
    """Int64, Bool as 0 and 1, Timestamp in µs since the epoch."""
    FLOAT = "<f8"
    TEXT = ""
    PRESENCE = "|V8"
    """Anything else, of which only nulls and values can be told apart."""


_KINDS: Mapping[DataType, Kind] = {
    Bool: Kind.INTEGER,
    Float64: Kind.FLOAT,
    Int64: Kind.INTEGER,
    String: Kind.TEXT,
    Timestamp: Kind.INTEGER,
}
_NULL = bytes(8)
_integer = struct.Struct("<q").pack
_float = struct.Struct("<d").pack
_length = struct.Struct("<I").pack


def kind_of(dtype: DataType) -> Kind:
    """How values of a type are packed."""
    return _KINDS.get(dtype, Kind.PRESENCE)


def packed_width(view: AppliedView) -> int | None:
    """How many bytes the values of an event take; None where it depends on them."""
    kinds = [kind_of(field.dtype) for field in view.aggregated_fields]
    return None if Kind.TEXT in kinds else -(-len(kinds) // 8) + 8 * len(kinds)


def pack_values(view: AppliedView, values: Mapping[str, Any]) -> bytes:
    """
    The aggregated values of an event.

    Args:
        view: An aggregating view.
        values: Canonical values by column.
    """
    nulls = 0
    packed = []
    for position, field in enumerate(view.aggregated_fields):
        value = _plain(values[field.name], field.dtype)
        if value is None:
            nulls |= 1 << position
        packed.append(_packed(value, kind_of(field.dtype)))
    bitmap = nulls.to_bytes(-(-len(packed) // 8), "little")
    return bitmap + b"".join(packed)


def identity_of(view: AppliedView, values: Mapping[str, Any]) -> bytes:
    """What tells events of one key and timestamp apart: a hash of its event key, if any."""
    return identity_hash([values[name] for name in view.event_key])


def as_told_apart(event_key: Sequence[Any]) -> Sequence[Any]:
    """Canonical values of an event key, equal where they tell no events apart."""
    # A zero has no sign (decision 0026), nor has it in Spark's hashes.
    return [value + 0.0 if isinstance(value, float) else value for value in event_key]


def identity_hash(event_key: Sequence[Any]) -> bytes:
    """64 bits of the canonical values of an event key; nothing for none."""
    if not event_key:
        return b""
    encoded = msgspec.json.encode(as_told_apart(event_key))
    return hashlib.blake2b(encoded, digest_size=IDENTITY_BYTES).digest()


def _plain(value: Any, dtype: DataType) -> Any:
    if value is None or dtype not in (Float64, Timestamp):
        return value
    if dtype == Timestamp:
        return parse_rfc3339(value)
    number: Any = dtype.to_native(value)
    return None if math.isnan(number) else number


def _packed(value: Any, kind: Kind) -> bytes:
    if kind is Kind.TEXT:
        text = b"" if value is None else value.encode()
        return _length(len(text)) + text
    if value is None:
        return _NULL
    if kind is Kind.FLOAT:
        return _float(value)
    return _integer(value) if kind is Kind.INTEGER else _integer(1)
