"""
Records → the rows that a view's function returns for them, on the executors.

The function travels as text and runs in the same way as in the service (docs/decisions/0029).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedSource, AppliedView
from tecton.arrow_rows import canonical_values
from tecton.errors import FunctionsUnavailable, JobFailed
from tecton.functions.bulk import outcomes_of
from tecton.functions.calling import CANNOT_LOAD, Caller
from tecton.functions.loading import CannotLoad
from tecton.functions.transformation import (
    OFF,
    TURNED_OFF,
    Failure,
    Row,
    Transformation,
    row_values,
    transformation_of,
)
from tecton.periods import Period
from tecton.spark.columns import column, ddl
from tecton.spark.offline_table import row_fields
from tecton.timestamps import format_micros, micros_of
from tecton.types import Array, DataType, Field, Map, Struct, show

_Batches = Iterable[pa.RecordBatch]


class Bounds(NamedTuple):
    """The period whose rows are computed: µs since the epoch, the end not included."""

    start: int
    end: int


def period_records(
    rows: DataFrame,
    source: AppliedSource,
    view: AppliedView,
    period: Period | None,
    with_timeless: bool = False,
) -> DataFrame:
    """
    The rows of a batch source from which a period's feature rows are computed.

    Args:
        rows: Of the batch source.
        source: The source; its own timestamp decides.
        view: Says from when on rows are read.
        period: Which rows; None: all from `feature_start_time` on.
        with_timeless: Those without a timestamp too, which belong to nobody.
    """
    assert source.batch is not None, "there are batch rows"  # noqa: S101
    at = F.unix_micros(column(source.batch.timestamp_field))
    is_chosen = at >= view.start_micros
    if period is not None:
        is_chosen = is_chosen & (at >= micros_of(period.start)) & (at < micros_of(period.end))
    return rows.where(at.isNull() | is_chosen if with_timeless else is_chosen)


def returned_rows(
    records: DataFrame,
    source: AppliedSource,
    view: AppliedView,
    carried: Sequence[Field] = (),
    period: Period | None = None,
) -> DataFrame:
    """
    The rows that a view's function returns.

    Args:
        records: The source's columns, and *carried*.
        source: The view's source.
        view: A view with a function.
        carried: Further columns of records, which each row gets.
        period: The rows of a batch source have to stay in it.

    Returns:
        `row_fields` and *carried*.

    Raises:
        FunctionsUnavailable: Functions are turned off.
    """
    transformation = transformation_of(view, source)
    assert transformation is not None, "the view has a function"  # noqa: S101
    if transformation.function.mode == OFF:
        raise FunctionsUnavailable(view.name, TURNED_OFF)
    bounds = period and Bounds(micros_of(period.start), micros_of(period.end))
    fields = (*row_fields(view), *carried)
    given = records.select(*(column(field.name) for field in (*source.fields, *carried)))
    run = _running(transformation, [f.name for f in carried], fields, bounds)
    return given.mapInArrow(run, ddl(fields))


def _running(
    transformation: Transformation,
    carried: Sequence[str],
    fields: Sequence[Field],
    bounds: Bounds | None,
) -> Callable[[_Batches], _Batches]:
    """A function for `mapInArrow`."""

    def run(batches: _Batches) -> _Batches:
        caller = _caller(transformation)
        for batch in batches:
            records = _records(transformation, batch)
            outcomes = outcomes_of(
                caller, transformation.function.mode, transformation.view, records
            )
            extras = batch.select(list(carried)).to_pylist() if carried else [{}] * len(records)
            values = [
                {**_natives(transformation, record, row), **extra}
                for record, outcome, extra in zip(records, outcomes, extras, strict=True)
                for row in _rows(transformation, record, outcome, bounds)
            ]
            yield _arrow(values, fields)

    return run


def _caller(transformation: Transformation) -> Caller:
    try:
        return Caller(transformation)
    except CannotLoad as exc:
        raise JobFailed(f"Feature View {transformation.view}: {CANNOT_LOAD}: {exc}") from exc


def _records(transformation: Transformation, batch: pa.RecordBatch) -> list[dict[str, Any]]:
    names = [field.name for field in transformation.input_fields]
    columns = [canonical_values(batch, field) for field in transformation.input_fields]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _rows(
    transformation: Transformation,
    record: Mapping[str, Any],
    outcome: list[Row] | Failure,
    bounds: Bounds | None,
) -> Iterator[Row]:
    if isinstance(outcome, Failure):
        raise JobFailed(
            f"Feature View {transformation.view}: {outcome.outline}; the record: "
            f"{_shown_keys(transformation, record)}"
        )
    for row in outcome:
        if bounds is not None and not bounds.start <= row.timestamp < bounds.end:
            raise JobFailed(
                f"Feature View {transformation.view}: function {transformation.function.name} "
                f"moves an event of the batch source to {format_micros(row.timestamp)}, out of "
                f"the period [{format_micros(bounds.start)}, {format_micros(bounds.end)}) that is "
                "computed and replaced as a whole; leave timestamps in their period. The record: "
                f"{_shown_keys(transformation, record)}"
            )
        yield row


def _shown_keys(transformation: Transformation, record: Mapping[str, Any]) -> str:
    """What tells people which record it is: its columns named as join keys or timestamp."""
    keys = [column.name for column in transformation.keys]
    names = [*keys, transformation.timestamp, *transformation.event_key]
    shown = [f"{name} {show(record[name])}" for name in dict.fromkeys(names) if name in record]
    return ", ".join(shown) or "it has no column named as a join key or the timestamp"


def _natives(transformation: Transformation, record: Mapping[str, Any], row: Row) -> dict[str, Any]:
    return {
        **row_values(transformation, record, row),
        transformation.timestamp: row.timestamp,
    }


def _arrow(rows: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> pa.RecordBatch:
    arrays = [_array([row[field.name] for row in rows], field.dtype) for field in fields]
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in fields])


def _array(values: list[Any], dtype: DataType) -> pa.Array:
    kind = dtype.arrow()
    if pa.types.is_timestamp(kind) and all(value is None or type(value) is int for value in values):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array([_native(dtype, value) for value in values], kind)


def _native(dtype: DataType, value: Any) -> Any:
    """A canonical value as Arrow takes it: a map as its items."""
    if value is None:
        return None
    if isinstance(dtype, Array):
        return [_native(dtype.element_type, item) for item in value]
    if isinstance(dtype, Struct):
        return {field.name: _native(field.dtype, value[field.name]) for field in dtype.fields}
    if isinstance(dtype, Map):
        return [(key, _native(dtype.value_type, item)) for key, item in value.items()]
    return dtype.to_native(value)
