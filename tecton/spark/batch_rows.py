"""
The batch rows of a period: which of a source's rows belong to somebody, one for each identity.
"""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.applied import AppliedSource, AppliedView
from tecton.periods import Period
from tecton.rows import JOIN_KEY_MAX_BYTES
from tecton.spark.columns import column, only_row
from tecton.spark.encoding import BODY, EVENT, event_fields, with_bodies
from tecton.spark.offline_table import row_columns
from tecton.spark.returned import period_records
from tecton.timestamps import micros_of
from tecton.types import String


class Counts(NamedTuple):
    """What a period's source rows are.

    Args:
        rows: All: those with a timestamp in the period or with none at all.
        keyless: Those with a null join key or timestamp; they belong to nobody.
        refused: Those with a join key that the online contract refuses.
        usable: Those that become feature rows, before identities collapse.
    """

    rows: int
    keyless: int
    refused: int
    usable: int


def count_rows(
    rows: DataFrame, view: AppliedView, period: Period, key_bytes: int = JOIN_KEY_MAX_BYTES
) -> Counts:
    """
    Count a period's source rows; reads join keys and timestamps only.

    Args:
        rows: Of the batch source.
        view: The view.
        period: What is counted; rows without a timestamp are counted in every period.
        key_bytes: The longest join key.
    """
    at = column(view.timestamp_field)
    keyless = at.isNull() | _has_null_key(view)
    counted = rows.where(at.isNull() | _within(view, period)).agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(keyless).alias("keyless"),
        F.count_if(~keyless & _is_refused(view, key_bytes)).alias("refused"),
    )
    found = only_row(counted)
    total, keyless, refused = found["rows"], found["keyless"], found["refused"]
    return Counts(total, keyless, refused, total - keyless - refused)


def count_returned(
    rows: DataFrame,
    returned: DataFrame,
    source: AppliedSource,
    view: AppliedView,
    period: Period,
    key_bytes: int,
) -> Counts:
    """
    Count a period's source rows, and what a view's function returned for them.

    Args:
        rows: Of the batch source.
        returned: The rows of the period that the function returned.
        source: The source.
        view: The view.
        period: What is counted; rows without a timestamp are counted in every period.
        key_bytes: The longest join key.
    """
    assert source.batch is not None, "there are batch rows"  # noqa: S101
    is_keyless = column(source.batch.timestamp_field).isNull()
    keyless = only_row(rows.agg(F.count_if(is_keyless).alias("n")))["n"]
    chosen = only_row(period_records(rows, source, view, period).agg(F.count(F.lit(1)).alias("n")))
    counted = returned.agg(
        F.count(F.lit(1)).alias("rows"), F.count_if(_is_refused(view, key_bytes)).alias("refused")
    )
    found = only_row(counted)
    usable = found["rows"] - found["refused"]
    return Counts(chosen["n"] + keyless, keyless, found["refused"], usable)


def period_rows(
    rows: DataFrame,
    view: AppliedView,
    sequence: int,
    period: Period | None = None,
    key_bytes: int = JOIN_KEY_MAX_BYTES,
) -> DataFrame:
    """
    One row for each identity: of several, the one with the greatest body (contract §1).

    Args:
        rows: Of the batch source.
        view: The view.
        sequence: That of the run.
        period: Which rows; default all from `feature_start_time` on.
        key_bytes: The longest join key.

    Returns:
        `row_fields`, `_sequence`, `_tie`.
    """
    chosen = rows.where(_from_start(view) if period is None else _within(view, period))
    usable = ~_has_null_key(view) & ~_is_refused(view, key_bytes)
    chosen = chosen.where(usable).select(*row_columns(view))
    added = [BODY, EVENT] if event_fields(view) else [BODY]
    schema = T.StructType(
        [*chosen.schema, *(T.StructField(name, T.BinaryType()) for name in added)]
    )
    encoded = chosen.mapInArrow(with_bodies(view), schema)
    moment = [*(column(field.name) for field in view.key_fields), column(view.timestamp_field)]
    # Both windows below then need no other exchange of rows.
    encoded = encoded.repartition(*moment)
    identity = [*moment, *(column(name) for name in added[1:])]
    greatest_first = Window.partitionBy(*identity).orderBy(column(BODY).desc())
    rank = F.row_number().over(greatest_first)
    unique = encoded.withColumn("#rank", rank).where(column("#rank") == 1)
    tie = F.lit(0)
    if len(added) > 1:
        ascending = Window.partitionBy(*moment).orderBy(*(column(name) for name in added))
        tie = F.row_number().over(ascending) - 1
    return unique.select(
        *row_columns(view),
        F.lit(sequence).cast("bigint").alias("_sequence"),
        tie.cast("int").alias("_tie"),
    )


def _from_start(view: AppliedView) -> Column:
    start = F.timestamp_micros(F.lit(view.start_micros))
    at = column(view.timestamp_field)
    return at.isNotNull() if view.feature_start_time is None else at >= start


def _within(view: AppliedView, period: Period) -> Column:
    at = column(view.timestamp_field)
    start, end = (F.timestamp_micros(F.lit(micros_of(bound))) for bound in period)
    return (at >= F.greatest(start, F.timestamp_micros(F.lit(view.start_micros)))) & (at < end)


def _has_null_key(view: AppliedView) -> Column:
    found = F.lit(False)
    for field in view.key_fields:
        found = found | column(field.name).isNull()
    return found


def _is_refused(view: AppliedView, key_bytes: int) -> Column:
    """The join keys that `POST /ingest` refuses (contract §3)."""
    found = F.lit(False)
    for field in view.key_fields:
        if field.dtype == String:
            key = column(field.name)
            too_long = F.octet_length(key) > key_bytes
            found = found | too_long | F.contains(key, F.lit("\0"))
    return found
