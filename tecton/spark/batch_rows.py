"""
The batch rows of a period: which of a source's rows belong to somebody, one for each identity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.applied import AppliedSource, AppliedView
from tecton.periods import Period
from tecton.rows import JOIN_KEY_MAX_BYTES
from tecton.spark.columns import column
from tecton.spark.encoding import BODY, EVENT, event_fields, with_bodies
from tecton.spark.offline_table import row_columns
from tecton.spark.returned import period_records
from tecton.timestamps import micros_of
from tecton.types import String

_FEW_RUNS = 32
"""Up to here the bounds of runs are compared one by one."""


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


def run_number(timestamp_field: str, runs: Sequence[Period]) -> Column:
    """
    In which of some runs a row is; null for a row without a timestamp.

    Args:
        timestamp_field: The column that decides.
        runs: As `periods.split` makes them: adjacent, cut at multiples of one length.
    """
    at = F.unix_micros(column(timestamp_field))
    if len(runs) < _FEW_RUNS:
        number = F.lit(len(runs) - 1)
        for place, run in reversed(list(enumerate(runs[:-1]))):
            number = F.when(at < micros_of(run.end), place).otherwise(number)
        return F.when(at.isNotNull(), number)
    length = micros_of(runs[1].end) - micros_of(runs[1].start)
    multiple = F.call_function("div", at - F.pmod(at, F.lit(length)), F.lit(length))
    return multiple - micros_of(runs[0].start) // length


def count_rows(
    rows: DataFrame,
    view: AppliedView,
    runs: Sequence[Period],
    key_bytes: int = JOIN_KEY_MAX_BYTES,
) -> list[Counts]:
    """
    Count the source rows of runs; reads join keys and timestamps only.

    Args:
        rows: Of the batch source.
        view: The view.
        runs: Adjacent periods; rows without a timestamp are counted in each.
        key_bytes: The longest join key.
    """
    at = column(view.timestamp_field)
    keyless = at.isNull() | _has_null_key(view)
    counted = (
        rows.where(at.isNull() | _within(view, Period(runs[0].start, runs[-1].end)))
        .groupBy(run_number(view.timestamp_field, runs).alias("run"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.count_if(keyless).alias("keyless"),
            F.count_if(~keyless & _is_refused(view, key_bytes)).alias("refused"),
        )
    )
    found = {row["run"]: row for row in counted.collect()}
    counts = []
    for number in range(len(runs)):
        parts = [found[place] for place in (number, None) if place in found]
        total, keyless_rows, refused = (
            sum(part[name] for part in parts) for name in ("rows", "keyless", "refused")
        )
        counts.append(Counts(total, keyless_rows, refused, total - keyless_rows - refused))
    return counts


def count_returned(
    rows: DataFrame,
    returned: DataFrame,
    source: AppliedSource,
    view: AppliedView,
    runs: Sequence[Period],
    key_bytes: int,
) -> list[Counts]:
    """
    Count the source rows of runs, and what a view's function returned for them.

    Args:
        rows: Of the batch source.
        returned: The rows of all runs that the function returned.
        source: The source.
        view: The view.
        runs: Adjacent periods; rows without a timestamp are counted in each.
        key_bytes: The longest join key.
    """
    assert source.batch is not None, "there are batch rows"  # noqa: S101
    whole = Period(runs[0].start, runs[-1].end)
    at = source.batch.timestamp_field
    chosen = period_records(rows, source, view, whole, with_timeless=True)
    of_source = by_run(chosen, at, runs)
    everything = by_run(returned, view.timestamp_field, runs)
    usable = by_run(returned.where(~_is_refused(view, key_bytes)), view.timestamp_field, runs)
    keyless = of_source[None]
    return [
        Counts(of_source[run] + keyless, keyless, everything[run] - usable[run], usable[run])
        for run in range(len(runs))
    ]


def by_run(rows: DataFrame, timestamp_field: str, runs: Sequence[Period]) -> Counter[int | None]:
    """How many rows each of some runs has, None: no timestamp; arguments as of `run_number`."""
    counted = rows.groupBy(run_number(timestamp_field, runs).alias("run")).count()
    return Counter({row["run"]: row["count"] for row in counted.collect()})


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
