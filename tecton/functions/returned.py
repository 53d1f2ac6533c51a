"""
What a function returned → canonical values of the view's schema, or what is wrong with it.

Strict: what is not of the declared type is refused, never converted with loss. numpy's scalars and
arrays, pandas' times and missing values are taken for what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tecton.timestamps import format_micros, micros_of
from tecton.types import (
    Array,
    Bool,
    DataType,
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

STRING_MAX_BYTES = 2**24
"""Of a string that a function returns: as long as a setting can let one come in."""
_EXACT_FLOAT = 2**53


def canonical(dtype: DataType, value: Any, is_frame: bool) -> Any:
    """
    A returned value as it is stored.

    Args:
        dtype: Its declared type.
        value: What the function returned; None and what pandas takes for missing are null.
        is_frame: It comes from a frame's column, where NaN is missing, and integers beside
            missing values are floats.

    Raises:
        ValueMismatch: It is not of the type.
    """
    value = _plain(value)
    if value is None or (is_frame and value != value):
        return None
    convert = _CONVERT.get(type(dtype))
    assert convert is not None, f"there is a rule for {dtype}"  # noqa: S101
    return convert(dtype, value, is_frame)


def _plain(value: Any) -> Any:
    """numpy's and pandas' kinds of a Python value as that."""
    kind = type(value)
    if kind in _PYTHON:
        return value
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if kind.__module__ == "numpy":
        # A scalar or an array; naive times become naive `datetime`s, and are refused as such.
        return value.tolist()
    return value


_PYTHON = frozenset({bool, int, float, str, list, dict, tuple, datetime, type(None)})


def _bool(dtype: DataType, value: Any, is_frame: bool) -> Any:
    return dtype.accept(value)


def _int64(dtype: DataType, value: Any, is_frame: bool) -> Any:
    if is_frame and type(value) is float and value.is_integer() and abs(value) <= _EXACT_FLOAT:
        return int(value)
    if type(value) is not int and isinstance(value, int) and not isinstance(value, bool):
        value = int(value)
    return dtype.accept(value)


def _float64(dtype: DataType, value: Any, is_frame: bool) -> Any:
    if isinstance(value, float):
        return dtype.from_native(value)
    return dtype.accept(value)


def _string(dtype: DataType, value: Any, is_frame: bool) -> Any:
    if isinstance(value, str):
        value = str.__str__(value)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueMismatch("String without lone surrogates", value) from None
    return bounded(dtype, STRING_MAX_BYTES).accept(value)


def _timestamp(dtype: DataType, value: Any, is_frame: bool) -> Any:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueMismatch("Timestamp (a datetime with a time zone)", value)
    try:
        return format_micros(int(micros_of(value)))
    except OverflowError:
        raise ValueMismatch("Timestamp (from year 1 to 9999)", value) from None


def _array(dtype: Any, value: Any, is_frame: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueMismatch(f"{dtype} (a list)", value)
    element = dtype.element_type
    return [_inner(element, item, f"[{number}]", is_frame) for number, item in enumerate(value)]


def _struct(dtype: Any, value: Any, is_frame: bool) -> Any:
    if not isinstance(value, Mapping):
        raise ValueMismatch(f"{dtype} (a dict)", value)
    names = {field.name for field in dtype.fields}
    for name in value:
        if name not in names:
            raise ValueMismatch(f"only fields of {dtype}", name)
    for name in names:
        if name not in value:
            raise ValueMismatch(f"field `{name}`", value)
    return {f.name: _inner(f.dtype, value[f.name], f".{f.name}", is_frame) for f in dtype.fields}


def _map(dtype: Any, value: Any, is_frame: bool) -> Any:
    if not isinstance(value, Mapping):
        raise ValueMismatch(f"{dtype} (a dict)", value)
    pairs = {}
    for key, item in value.items():
        name = _string(dtype.key_type, key, is_frame)
        pairs[name] = _inner(dtype.value_type, item, f"[{show(key)}]", is_frame)
    return dict(sorted(pairs.items()))


def _inner(dtype: DataType, value: Any, step: str, is_frame: bool) -> Any:
    try:
        # Inside a list or dict a NaN is what the function put there.
        return canonical(dtype, value, is_frame and dtype != Float64)
    except ValueMismatch as exc:
        raise exc.inside(step) from None


_CONVERT: Mapping[type[DataType], Callable[[Any, Any, bool], Any]] = {
    type(Bool): _bool,
    type(Int64): _int64,
    type(Float64): _float64,
    type(String): _string,
    type(Timestamp): _timestamp,
    Array: _array,
    Struct: _struct,
    Map: _map,
}


def kind_of(value: Any) -> str:
    """A value's type for messages that must not show the value."""
    if value is None:
        return "null"
    if isinstance(value, datetime) and value.tzinfo is None:
        return "datetime without a time zone"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return type(value).__name__
