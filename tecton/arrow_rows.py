"""
Arrow columns → canonical values and feature rows, the same in a job, a replay and a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tecton.applied import AppliedView
from tecton.rows import FeatureRow, row_of
from tecton.types import Bool, Field, Int64, String

SEQUENCE = "_sequence"
TIE = "_tie"
_UNCHANGED = (Bool, Int64, String)
"""Types whose native and canonical values are the same."""


def canonical_values(batch: pa.RecordBatch, field: Field) -> list[Any]:
    """The canonical values of one column; nulls are None."""
    values: list[Any] = batch.column(batch.schema.get_field_index(field.name)).to_pylist()
    if field.dtype in _UNCHANGED:
        return values
    convert = field.dtype.from_native
    return [None if value is None else convert(value) for value in values]


def feature_rows(view: AppliedView, batch: pa.RecordBatch, micros: str) -> Iterator[FeatureRow]:
    """
    The feature rows of a batch.

    Args:
        view: Its join keys and columns are in the batch under their names.
        batch: Also holds `_sequence`, and for an aggregating view `_tie`.
        micros: The column with the event timestamp in µs since the epoch.
    """
    fields = view.row_fields if view.aggregations else (*view.key_fields, *view.value_fields)
    names = [field.name for field in fields]
    values = zip(*(canonical_values(batch, field) for field in fields), strict=True)
    times = batch.column(micros).to_pylist()
    sequences = batch.column(SEQUENCE).to_pylist()
    ties = batch.column(TIE).to_pylist() if view.aggregations else [0] * batch.num_rows
    for row, timestamp, sequence, tie in zip(values, times, sequences, ties, strict=True):
        yield row_of(view, dict(zip(names, row, strict=True)), timestamp, sequence, tie)
