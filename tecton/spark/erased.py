"""
Tombstones applied to frames of feature rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView
from tecton.arrow_rows import canonical_values
from tecton.rows import BATCH_SEQUENCE_OFFSET, encode_key
from tecton.spark.columns import column
from tecton.spark.frames import to_arrow
from tecton.stores import OnlineStore

_UNTIL, _HASH = "#until", "#hash"


def without_erased(
    rows: DataFrame,
    view: AppliedView,
    salt: str,
    until: Mapping[str, int],
    accepted: Column | None = None,
) -> DataFrame:
    """
    The rows that no tombstone stands for.

    Args:
        rows: Join keys and `_sequence` at least.
        view: The view.
        salt: Of the hashes.
        until: By hash of an erased key: the sequence up to which rows are gone.
        accepted: When a row came to be; default: as its sequence says.
    """
    if not until:
        return rows
    accepted = accepted_column() if accepted is None else accepted
    joined = _with_until(rows, view, salt, until)
    is_kept = column(_UNTIL).isNull() | (accepted > column(_UNTIL))
    return joined.where(is_kept).select(*(column(name) for name in rows.columns))


def accepted_column() -> Column:
    """`tombstones.accepted_micros` of `_sequence`."""
    sequence = F.col("_sequence")
    return F.when(sequence > 0, sequence).otherwise(sequence + F.lit(BATCH_SEQUENCE_OFFSET))


def erase_again(
    rows: DataFrame,
    view: AppliedView,
    salt: str,
    until: Mapping[str, int],
    open_online: Callable[[], OnlineStore],
) -> None:
    """
    Delete from the online store what was erased while rows were offered to it.

    Args:
        rows: What was offered.
        view: The view.
        salt: Of the hashes.
        until: By hash of an erased key: the sequence up to which rows are gone.
        open_online: Connects to the online store.
    """
    joined = _with_until(rows, view, salt, until).where(accepted_column() <= column(_UNTIL))
    keys = [column(field.name) for field in view.key_fields]
    for batch in to_arrow(joined.select(*keys, column(_UNTIL)).distinct()).to_batches():
        values = [canonical_values(batch, field) for field in view.key_fields]
        sequences = batch.column(batch.num_columns - 1).to_pylist()
        for key, sequence in zip(zip(*values, strict=True), sequences, strict=True):
            open_online().erase(view, [encode_key(key)], sequence)


def _with_until(
    rows: DataFrame, view: AppliedView, salt: str, until: Mapping[str, int]
) -> DataFrame:
    parts = [F.lit(salt)]
    for field in view.key_fields:
        text = column(field.name).cast("string")
        parts += [F.octet_length(text).cast("string"), F.lit(":"), text]
    schema = f"`{_HASH}` string, `{_UNTIL}` bigint"
    stones = rows.sparkSession.createDataFrame(list(until.items()), schema)
    hashed = F.sha2(F.concat(*parts), 256)
    names = [column(name) for name in rows.columns]
    found = rows.select(*names, hashed.alias(_HASH)).join(F.broadcast(stones), _HASH, "left")
    return found.select(*names, column(_UNTIL))
