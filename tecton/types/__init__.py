"""
Data types of schemas, and the one table that says how each is encoded.

A value has three forms. *JSON* is what a client sends. *Canonical* is what is stored: plain
JSON values with one spelling each (times as RFC 3339 UTC with six digits, NaN and the infinities
as strings, map keys sorted), so that equal values are equal bytes. *Native* is what Python,
pandas and Arrow hold: `datetime`, `int`, `float`, `list`, `dict`.
"""

from tecton.types.base import DataType
from tecton.types.conversions import bounded as bounded
from tecton.types.conversions import from_description as from_description
from tecton.types.mismatch import ValueMismatch
from tecton.types.mismatch import cut as cut
from tecton.types.mismatch import show as show
from tecton.types.nested import Array, Field, Map, Struct
from tecton.types.scalars import INT64_MAX as INT64_MAX
from tecton.types.scalars import INT64_MIN as INT64_MIN
from tecton.types.scalars import STRING_MAX_BYTES as STRING_MAX_BYTES
from tecton.types.scalars import Bool, Float32, Float64, Int32, Int64, String, Timestamp

# What definitions need; the names imported twice over are for the library itself.
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
