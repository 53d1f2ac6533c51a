"""
Arrow columns → events, and values → Arrow columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tecton.packed import Kind
from tecton.types import Bool, DataType, String
from tecton.windows.events import Events, Values
from tecton.windows.layout import Layout, Matrix


def events_of(
    layout: Layout,
    columns: Sequence[pa.Array | pa.ChunkedArray],
    timestamps: Matrix,
    sequences: Matrix | None = None,
    ties: Matrix | None = None,
    identities: Matrix | None = None,
) -> Events:
    """
    Events from Arrow columns, already in order.

    Args:
        layout: Of the view.
        columns: One for each of the view's `aggregated_fields`, of native values.
        timestamps: int64, µs since the epoch.
        sequences: See `Events`; so the other two.
        ties: See `Events`.
        identities: See `Events`.
    """
    parts = zip(layout.fields, layout.kinds, columns, strict=True)
    values = tuple(_values(field.dtype, kind, column) for field, kind, column in parts)
    return Events(timestamps, values, sequences, ties, identities)


def _values(dtype: DataType, kind: Kind, column: pa.Array | pa.ChunkedArray) -> Values:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if kind is Kind.PRESENCE:
        return Values(np.zeros(len(column), np.int64), valid)
    if kind is Kind.TEXT:
        texts = column.cast(pa.string()).fill_null("")
        return Values(texts.to_numpy(zero_copy_only=False), valid)
    if kind is Kind.FLOAT:
        numbers = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        is_number = ~np.isnan(numbers)
        # NaN is null; adding 0 makes a negative zero a zero (decision 0026).
        return Values(np.where(is_number, numbers, 0.0) + 0.0, valid & is_number)
    # By way of its own type, so that times in other units become µs.
    integers = column.cast(dtype.arrow()).cast(pa.int64())
    return Values(integers.fill_null(0).to_numpy(zero_copy_only=False), valid)


def column_of(dtype: DataType, values: Matrix, valid: Matrix | None = None) -> pa.Array:
    """
    An Arrow column of native values.

    Args:
        dtype: Its type.
        values: As `Values` has them.
        valid: Where it is not null; None: everywhere.
    """
    mask = None if valid is None else ~valid
    if dtype == String:
        return pa.array(values, pa.string(), mask=mask)
    column = pa.array(values, mask=mask)
    return pc.not_equal(column, 0) if dtype == Bool else column.cast(dtype.arrow())


def lists_of(dtype: DataType, values: pa.Array, sizes: Matrix) -> pa.Array:
    """
    An Arrow column of lists; an empty one is null.

    Args:
        dtype: Its type, an `Array`.
        values: Of all lists, one after another.
        sizes: How many values each list has.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    # An offset that is null makes a null list; the last offset belongs to no list.
    offsets = pa.array(np.append(0, ends), pa.int32(), mask=np.append(sizes == 0, False))
    return pa.ListArray.from_arrays(offsets, values).cast(dtype.arrow())
