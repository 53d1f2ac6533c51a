"""
Records ↔ frames of pandas, typed as training frames are (contract §5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tecton.timestamps import micros_of
from tecton.types import Bool, Field, Float64, Int64, Timestamp

_UTC_MICROS = pd.DatetimeTZDtype("us", "UTC")
_NAT = np.iinfo(np.int64).min


def frame_of(fields: Sequence[Field], records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """
    Records as a frame, a row each, numbered from 0.

    Args:
        fields: The columns.
        records: Native values by column; nulls are None.

    Returns:
        Int64 as `Int64`, Bool as `boolean`, Float64 as `float64`, where NaN stands for null too,
        Timestamp as `datetime64[us, UTC]`, anything else as `object`.
    """
    columns = {f.name: _array(f, [record[f.name] for record in records]) for f in fields}
    return pd.DataFrame(columns, copy=False)


def _array(field: Field, values: list[Any]) -> Any:
    if field.dtype == Int64:
        missing = np.array([value is None for value in values])
        return pd.arrays.IntegerArray(np.array([v or 0 for v in values], "int64"), missing)
    if field.dtype == Bool:
        missing = np.array([value is None for value in values])
        return pd.arrays.BooleanArray(np.array([bool(v) for v in values]), missing)
    if field.dtype == Float64:
        return np.array([np.nan if value is None else value for value in values], "float64")
    if field.dtype == Timestamp:
        micros = [_NAT if value is None else micros_of(value) for value in values]
        naive = np.array(micros, dtype="int64").view("datetime64[us]")
        return pd.array(naive, dtype=_UTC_MICROS)
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


def is_frame(value: object) -> bool:
    """Is it a frame of pandas?"""
    return isinstance(value, pd.DataFrame)


def rows_of(frame: pd.DataFrame) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each row of a frame: its label in the index, and its values by column."""
    names = list(frame.columns)
    columns = [frame[name].tolist() for name in names]
    labels = frame.index.tolist()
    for label, *values in zip(labels, *columns, strict=True):
        yield label, dict(zip(names, values, strict=True))
