"""
Feature rows → the online store, from the executors.

Only what a read could still see is offered: of an aggregating view all events, else the newest row
of each key, if they are young enough.
The store keeps the more recent one, so a row that was pushed meanwhile stays (contract §6).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView
from tecton.spark.columns import column, only_row
from tecton.spark.encoding import MICROS, OFFERED, offer_to
from tecton.spark.erased import erase_again, without_erased
from tecton.stores import OnlineStore
from tecton.timestamps import micros_of
from tecton.tombstones import Tombstones


def load_online(
    rows: DataFrame,
    view: AppliedView,
    now: datetime,
    open_online: Callable[[], OnlineStore],
    erased: Callable[[], Tombstones] = Tombstones,
) -> int:
    """
    Offer feature rows to the online store.

    Args:
        rows: `row_fields`, `_sequence`, `_tie`.
        view: The view.
        now: Rows that no read at this time or later sees are passed over.
        open_online: Connects to the online store; pickled and called on the executors.
        erased: The view's tombstones, as they are when it is called.

    Returns:
        How many rows were offered.
    """
    oldest = view.oldest_seen(micros_of(now))
    if oldest is not None:
        rows = rows.where(F.unix_micros(column(view.timestamp_field)) >= oldest)
    before = erased()
    rows = without_erased(rows, view, before.salt, before.online)
    chosen = _events(rows, view) if view.aggregations else _newest(rows, view)
    offered = chosen.mapInArrow(offer_to(view, open_online), f"{OFFERED} bigint")
    count: int = only_row(offered.agg(F.sum(OFFERED).alias(OFFERED)))[OFFERED] or 0
    after = erased()
    if after.online != before.online:
        erase_again(rows, view, after.salt, after.online, open_online)
    return count


def _events(rows: DataFrame, view: AppliedView) -> DataFrame:
    micros = F.unix_micros(column(view.timestamp_field)).alias(MICROS)
    columns = [column(field.name) for field in view.row_fields]
    keys = columns[: len(view.key_fields)]
    # The events of a key together and in order: the store then writes each of its nodes once.
    return (
        rows.select(*columns, micros, F.col("_sequence"), F.col("_tie"))
        .repartition(*keys)
        .sortWithinPartitions(*keys, column(MICROS))
    )


def _newest(rows: DataFrame, view: AppliedView) -> DataFrame:
    micros = F.unix_micros(column(view.timestamp_field))
    keys = [column(field.name) for field in view.key_fields]
    values = [field.name for field in view.value_fields]
    newest = F.max_by(
        F.struct(micros.alias(MICROS), F.col("_sequence"), *(column(name) for name in values)),
        F.struct(micros, F.col("_sequence"), F.col("_tie")),
    )
    row = column("#newest")
    wanted = [MICROS, "_sequence", *values]
    return (
        rows.groupBy(*keys)
        .agg(newest.alias("#newest"))
        .select(*keys, *(row.getField(name).alias(name) for name in wanted))
    )
