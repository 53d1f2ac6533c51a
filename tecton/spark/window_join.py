"""
The point-in-time join of an aggregating view: for each event what its windows hold at its time.

Events and feature rows are sorted together by key and time, in one shuffle for each view; Python
then passes over whole keys and answers all their windows at once (docs: design §3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView
from tecton.packed import Kind, kind_of
from tecton.spark.columns import column
from tecton.types import Field, Float64, Struct, Timestamp
from tecton.window_frames import AT, IDENTITY, KIND, KNOWN, WindowFrames, key_name, value_name

CARRIED = "#carried"
_SEQUENCE, _TIE = "_sequence", "_tie"
_Batches = Iterable[pa.RecordBatch]


def add_windows(
    carried: DataFrame,
    view: AppliedView,
    features: Sequence[str],
    event_keys: Mapping[str, Column],
    at: Column,
    rows: DataFrame,
    as_known: bool,
    result: str,
) -> DataFrame:
    """
    Add the aggregates of a view to a frame.

    Args:
        carried: Any columns; all rows of it are in the answer, once each.
        view: An aggregating view.
        features: Which of its features.
        event_keys: By join key of the view: where *carried* has it.
        at: Where *carried* has the time at which windows end, µs since the epoch.
        rows: `row_fields`, `_sequence`, `_tie` of the view, superseded ones included.
        as_known: Leave out rows that were accepted only after that time.
        result: Name of the new column, a struct of the features.
    """
    keys = [key_name(number) for number, _ in enumerate(view.key_fields)]
    questions = carried.select(
        *(
            event_keys[field.name].cast(field.dtype.spark).alias(key)
            for key, field in zip(keys, view.key_fields, strict=True)
        ),
        at.alias(AT),
        F.lit(1).cast("tinyint").alias(KIND),
        F.struct(*(column(name) for name in carried.columns)).alias(CARRIED),
    )
    united = _events(view, keys, rows, as_known).unionByName(questions, allowMissingColumns=True)
    order = [*keys, AT, KIND, _SEQUENCE, *([_TIE] if view.event_key else [])]
    ordered = united.repartition(*(column(key) for key in keys)).sortWithinPartitions(
        *(column(name) for name in order)
    )
    if not view.event_key:
        # It has done its work, and sending columns to Python is most of all work.
        ordered = ordered.drop(_SEQUENCE)
    types = {field.name: field.dtype for field in view.features}
    answer = Struct([Field(name, types[name]) for name in features])
    schema = carried.withColumn(result, F.lit(None).cast(answer.spark)).schema
    return ordered.mapInArrow(_answer(view, features, as_known), schema)


def _events(view: AppliedView, keys: Sequence[str], rows: DataFrame, as_known: bool) -> DataFrame:
    """The view's rows as the frames want them; a row without join key belongs to nobody."""
    micros = F.unix_micros(column(view.timestamp_field))
    known = [F.greatest(micros, F.col(_SEQUENCE)).alias(KNOWN)] if as_known else []
    selected = rows.select(
        *(column(field.name).alias(key) for key, field in zip(keys, view.key_fields, strict=True)),
        micros.alias(AT),
        F.lit(0).cast("tinyint").alias(KIND),
        F.col(_SEQUENCE),
        *([F.col(_TIE), _identity(view).alias(IDENTITY)] if view.event_key else []),
        *known,
        *(
            _value(view, number).alias(value_name(number))
            for number, _ in enumerate(view.aggregated_fields)
        ),
    )
    return selected.dropna(subset=[*keys, AT])


def _identity(view: AppliedView) -> Column:
    """64 bits of the event key; nulls count, or ("a", null) would be (null, "a")."""
    parts = [part for name in view.event_key for part in (column(name).isNull(), column(name))]
    return F.xxhash64(*parts)


def _value(view: AppliedView, number: int) -> Column:
    field = view.aggregated_fields[number]
    value, kind = column(field.name), kind_of(field.dtype)
    if field.dtype == Timestamp:
        return F.unix_micros(value)
    if field.dtype == Float64:
        return F.when(~F.isnan(value), value)
    if kind is Kind.PRESENCE:
        return F.when(value.isNotNull(), F.lit(0)).cast("bigint")
    return value if kind is Kind.TEXT else value.cast("bigint")


def _answer(
    view: AppliedView, features: Sequence[str], as_known: bool
) -> Callable[[_Batches], _Batches]:
    frames = WindowFrames(view, features, as_known)

    def answer(batches: _Batches) -> _Batches:
        for questions, answers in frames.answers(batches):
            asked = questions.column(CARRIED).combine_chunks()
            columns = [*asked.flatten(), answers]
            names = [*(field.name for field in asked.type), "#answer"]
            yield pa.RecordBatch.from_arrays(columns, names=names)

    return answer
