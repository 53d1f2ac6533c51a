"""
A notebook's events frame, checked: which column is the timestamp, which are the join keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from tecton.errors import InvalidEvents
from tecton.spark.columns import column, ddl, utc_micros
from tecton.spark.frames import from_pandas
from tecton.spark.point_in_time import AT, ViewPart
from tecton.types import Bool, DataType, Field, Float64, Int64, String, show

ROW = "#row"
"""The position of a pandas event in its frame."""

_EXACT_FLOAT = 2**53


def check_names(columns: Sequence[str], parts: Sequence[ViewPart]) -> None:
    """
    Check that an events frame has what is needed and nothing that is in the way.

    Args:
        columns: The frame's columns.
        parts: What is read.

    Raises:
        InvalidEvents: A join key is missing or there twice, or an output column is there already.
    """
    shown = ", ".join(f"`{name}`" for name in columns) or "none"
    for name in _key_types(parts):
        count = sum(1 for found in columns if found == name)
        if count == 0:
            raise InvalidEvents(f"the events have no column `{name}`; their columns are {shown}")
        if count > 1:
            raise InvalidEvents(f"the events have {count} columns `{name}`, there must be one")
    taken = {name for part in parts for name in part.columns}.intersection(columns)
    if taken:
        raise InvalidEvents(
            f"the events have a column `{min(taken)}` already, which is what the read would add; "
            "rename or drop it"
        )


def find_timestamp(
    timestamps: Sequence[str], columns: Sequence[str], timestamp_key: str | None
) -> str:
    """
    The column that holds the events' timestamps.

    Args:
        timestamps: The frame's columns of a timestamp type.
        columns: All its columns.
        timestamp_key: The one that was named, if any.

    Raises:
        InvalidEvents: It is not there, or none or several could be meant.
    """
    if timestamp_key is not None:
        if list(columns).count(timestamp_key) != 1:
            shown = ", ".join(f"`{name}`" for name in columns)
            raise InvalidEvents(
                f"timestamp_key `{timestamp_key}` is not one column of the events; they are {shown}"
            )
        return timestamp_key
    if len(timestamps) == 1:
        return timestamps[0]
    seen = ", ".join(f"`{name}`" for name in timestamps) or "none"
    raise InvalidEvents(
        f"timestamp_key is not given and the events have not one timestamp column but {seen}; "
        "name the one that is meant"
    )


def pandas_events(
    spark: SparkSession, events: pd.DataFrame, parts: Sequence[ViewPart], timestamp_key: str | None
) -> tuple[DataFrame, pd.Series]:
    """
    What the join needs of a pandas frame: position, timestamp, join keys.

    Args:
        spark: The session.
        events: The frame; naive timestamps are UTC, all are cut to µs.
        parts: What is read.
        timestamp_key: The timestamp's column; may be left out if there is only one.

    Returns:
        The Spark frame (`#row`, `#at` and the join keys' columns) and the timestamps in µs.

    Raises:
        InvalidEvents: A column is missing or of a wrong type.
    """
    columns = list(events.columns)
    check_names(columns, parts)
    times = [name for name in columns if columns.count(name) == 1 and _is_time(events[name])]
    name = find_timestamp(times, columns, timestamp_key)
    at = _micros(events[name], name)
    types = _key_types(parts)
    keys = {key: _PANDAS_KEYS[dtype](events[key], key) for key, dtype in types.items()}
    position = np.arange(len(events), dtype=np.int64)
    slim = pd.DataFrame({ROW: position, AT: at.array, **keys})
    key_fields = [Field(key, dtype) for key, dtype in types.items()]
    schema = ddl([Field(ROW, Int64), Field(AT, Int64), *key_fields])
    return from_pandas(spark, slim, schema), at


def spark_events(
    events: DataFrame, parts: Sequence[ViewPart], timestamp_key: str | None
) -> DataFrame:
    """
    A Spark frame with its timestamp in µs added as `#at`.

    Args:
        events: The frame; timestamps without a zone are UTC.
        parts: What is read.
        timestamp_key: The timestamp's column; may be left out if there is only one.

    Raises:
        InvalidEvents: A column is missing or of a wrong type, or two have one name.
    """
    names = events.columns
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidEvents(f"the events have several columns `{min(twice)}`; rename them")
    check_names(names, parts)
    seen = {field.name: field.dataType for field in events.schema}
    times = [name for name in names if isinstance(seen[name], _SPARK_TIMES)]
    name = find_timestamp(times, names, timestamp_key)
    if name not in times:
        raise _wrong("timestamp_key", name, "a timestamp", seen[name].simpleString())
    for key, dtype in _key_types(parts).items():
        if not isinstance(seen[key], _SPARK_KEYS[dtype]):
            raise _wrong("join key", key, str(dtype), seen[key].simpleString())
    return events.withColumn(AT, utc_micros(column(name), seen[name]))


def _key_types(parts: Sequence[ViewPart]) -> Mapping[str, DataType]:
    types: dict[str, DataType] = {}
    for part in parts:
        for field in part.view.key_fields:
            types[part.event_keys[field.name]] = field.dtype
    return types


def _wrong(role: str, name: str, expected: str, seen: str) -> InvalidEvents:
    return InvalidEvents(f"{role} `{name}` of the events must be {expected}, it is {seen}")


def _is_time(values: pd.Series) -> bool:
    return isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind == "M"


def _micros(values: pd.Series, name: str) -> pd.Series:
    """Timestamps as nullable µs since the epoch."""
    if values.dtype == object and values.map(_is_moment, na_action="ignore").all():
        # A list of `datetime` with several offsets stays objects in pandas.
        values = pd.to_datetime(values, utc=True)
    if not _is_time(values):
        raise _wrong("timestamp_key", name, "a timestamp", str(values.dtype))
    utc = values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
    # `as_unit` alone rounds towards zero before 1970.
    numbers = utc.dt.floor("us").dt.as_unit("us").astype("int64").astype("Int64")
    return numbers.mask(utc.isna(), pd.NA)


def _is_moment(value: Any) -> bool:
    return hasattr(value, "tzinfo") and hasattr(value, "hour")


def _integers(values: pd.Series, name: str) -> pd.Series:
    kind = values.dtype.kind
    if kind in "iu" and values.dtype != np.uint64:
        return values.astype("Int64").array
    if kind == "f":
        # What pandas makes of integers as soon as one is missing.
        present = values.dropna()
        if ((present % 1 == 0) & (present.abs() <= _EXACT_FLOAT)).all():
            return values.astype("Int64").array
    if kind == "O":
        _each(values, name, Int64, lambda value: isinstance(value, (int, np.integer)))
        return values.astype("Int64").array
    raise _wrong("join key", name, str(Int64), str(values.dtype))


def _strings(values: pd.Series, name: str) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.dtype.categories.dtype)
    if values.dtype.kind != "O":
        raise _wrong("join key", name, str(String), str(values.dtype))
    _each(values, name, String, lambda value: isinstance(value, str))
    values = values.astype(object)
    return values.where(values.notna(), None).array


def _booleans(values: pd.Series, name: str) -> pd.Series:
    if values.dtype.kind == "O":
        _each(values, name, Bool, lambda value: isinstance(value, (bool, np.bool_)))
    elif values.dtype.kind != "b":
        raise _wrong("join key", name, str(Bool), str(values.dtype))
    return values.astype("boolean").array


def _floats(values: pd.Series, name: str) -> pd.Series:
    if values.dtype.kind not in "fiu":
        raise _wrong("join key", name, str(Float64), str(values.dtype))
    return values.astype("float64").array


def _each(values: pd.Series, name: str, dtype: DataType, is_right: Callable[[Any], bool]) -> None:
    for value in values.dropna():
        if not is_right(value) or (dtype == Int64 and isinstance(value, bool)):
            raise _wrong("join key", name, str(dtype), f"{show(value)} in some row")


_PANDAS_KEYS: Mapping[DataType, Callable[[pd.Series, str], Any]] = {
    Int64: _integers,
    String: _strings,
    Bool: _booleans,
    Float64: _floats,
}
_SPARK_KEYS: Mapping[DataType, tuple[type[T.DataType], ...]] = {
    Int64: (T.ByteType, T.ShortType, T.IntegerType, T.LongType),
    String: (T.StringType,),
    Bool: (T.BooleanType,),
    Float64: (T.FloatType, T.DoubleType),
}
_SPARK_TIMES = (T.TimestampType, T.TimestampNTZType)
