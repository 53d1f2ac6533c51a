"""
The point-in-time join of an aggregating view: for each event what its windows hold at its time.

Events and feature rows are brought together key by key, in one shuffle for each view; Python then
passes over whole keys, sorts them by time and answers all their windows at once (docs: design §3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import and_

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView
from tecton.packed import Kind, kind_of
from tecton.spark.columns import column
from tecton.types import Field, Float64, Struct, Timestamp
from tecton.window_frames import AT, IDENTITY, KEY, KNOWN, MARK, WindowFrames, value_name

CARRIED = "#carried"
_SEQUENCE, _TIE = "_sequence", "_tie"
_Batches = Iterable[pa.RecordBatch]


def add_windows(
    carried: DataFrame,
    view: AppliedView,
    features: Sequence[str],
    event_keys: Mapping[str, Column],
    rows: DataFrame,
    as_known: bool,
    result: str,
) -> DataFrame:
    """
    Add the aggregates of a view to a frame.

    Args:
        carried: `#at`, where windows end in µs since the epoch, and any other columns; all rows
            of it are in the answer, once each.
        view: An aggregating view.
        features: Which of its features.
        event_keys: By join key of the view: where *carried* has it.
        rows: `row_fields`, `_sequence`, `_tie` of the view, superseded ones included.
        as_known: Leave out rows that were accepted only after that time.
        result: Name of the new column, a struct of the features.
    """
    keys = [event_keys[field.name].cast(field.dtype.spark) for field in view.key_fields]
    # Sending columns to Python is most of all work, so nothing goes there twice.
    others = [column(name) for name in carried.columns if name != AT]
    questions = carried.select(*_key_hashes(keys, 1), column(AT), F.struct(*others).alias(CARRIED))
    united = _events(view, rows, as_known).unionByName(questions, allowMissingColumns=True)
    # By one number: Spark sorts that several times faster than by several columns.
    ordered = united.repartition(column(KEY)).sortWithinPartitions(column(KEY))
    types = {field.name: field.dtype for field in view.features}
    answer = Struct([Field(name, types[name]) for name in features])
    schema = carried.withColumn(result, F.lit(None).cast(answer.spark)).schema
    return ordered.mapInArrow(_answer(view, features, as_known, carried.columns), schema)


def _key_hashes(keys: Sequence[Column], is_question: int) -> Sequence[Column]:
    """What stands for the join keys of a row, and whether it is a question."""
    # Nulls count, or (null, "a") would be ("a", null).
    parts = [part for key in keys for part in (key.isNull(), key)]
    mark = F.hash(*parts).bitwiseAND(F.lit(-2)).bitwiseOR(F.lit(is_question))
    return F.xxhash64(*parts).alias(KEY), mark.alias(MARK)


def _events(view: AppliedView, rows: DataFrame, as_known: bool) -> DataFrame:
    """The view's rows as the frames want them; a row without join key belongs to nobody."""
    micros = F.unix_micros(column(view.timestamp_field))
    known = [F.greatest(micros, F.col(_SEQUENCE)).alias(KNOWN)] if as_known else []
    names = [field.name for field in view.key_fields]
    owned = rows.where(reduce(and_, (column(name).isNotNull() for name in names)))
    return owned.where(micros.isNotNull()).select(
        *_key_hashes([column(name) for name in names], 0),
        micros.alias(AT),
        F.col(_SEQUENCE),
        *([F.col(_TIE), _identity(view).alias(IDENTITY)] if view.event_key else []),
        *known,
        *(
            _value(view, number).alias(value_name(number))
            for number, _ in enumerate(view.aggregated_fields)
        ),
    )


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
    view: AppliedView, features: Sequence[str], as_known: bool, names: Sequence[str]
) -> Callable[[_Batches], _Batches]:
    frames = WindowFrames(view, features, as_known)

    def answer(batches: _Batches) -> _Batches:
        for questions, answers in frames.answers(batches, [AT, CARRIED]):
            asked = questions.column(CARRIED).combine_chunks()
            own = dict(zip((field.name for field in asked.type), asked.flatten(), strict=True))
            own[AT] = questions.column(AT).combine_chunks()
            columns = [*(own[name] for name in names), answers]
            yield pa.RecordBatch.from_arrays(columns, names=[*names, "#answer"])

    return answer
