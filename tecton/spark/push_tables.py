"""
The push tables of a workspace, read by Spark: records of one source as typed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import and_
from typing import TypeVar

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it has no types
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tecton.applied import AppliedSource, AppliedView, WorkspaceState, push_path
from tecton.spark.columns import column, ddl
from tecton.spark.offline_table import row_fields
from tecton.spark.returned import returned_rows
from tecton.stores import DeltaLogs
from tecton.types import Field, Int64

TRIES = 10
"""Lists in a row that are torn are rare; `tecton.adapters.delta_tables` has the measure."""

_HOLE = "DELTA_VERSIONS_NOT_CONTIGUOUS"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PushTable:
    """One writer's push table, pinned.

    Args:
        path: Relative to the store.
        writer: Its slot, as the folder is named.
        version: The Delta version that is read.
        last_batch: The newest batch in that version.
    """

    path: str
    writer: str
    version: int
    last_batch: int


def pin_push_tables(logs: DeltaLogs, state: WorkspaceState) -> Sequence[PushTable]:
    """
    The push tables that a workspace has now, each at its newest version.

    Args:
        logs: Says where the tables stand.
        state: The workspace.
    """
    folder = push_path(state)
    tables = []
    for writer in logs.folders(folder):
        path = f"{folder}/{writer}"
        version = logs.version(path)
        if version is not None:
            last_batch = logs.transaction(path, version, f"push-{writer}")
            tables.append(PushTable(path, writer, version, last_batch))
    return tables


def read_pushed(
    spark: SparkSession,
    store: str,
    tables: Sequence[PushTable],
    after: Mapping[str, int],
) -> DataFrame | None:
    """
    The push tables' own rows.

    Args:
        spark: The session.
        store: The store's path or URI.
        tables: Which tables, at which version.
        after: By writer: the batch above which rows are read; default all.

    Returns:
        None if there is nothing above.
    """
    frames = [
        listed_whole(partial(_pinned, spark, store, table)).where(
            F.col("batch_no") > after.get(table.writer, 0)
        )
        for table in tables
        if table.last_batch > after.get(table.writer, 0)
    ]
    united = None
    for frame in frames:
        united = frame if united is None else united.unionByName(frame)
    return united


def listed_whole(act: Callable[[], _Result], tries: int = TRIES) -> _Result:
    """
    What *act* answers, which has Spark list the log of a table that is written meanwhile.

    Spark looks at the newest version first, also where another is asked for. A list may have a log
    entry and not the one before that was put meanwhile; looked at again it has both, and a real
    hole stays.
    """
    try:
        return act()
    except (PySparkException, Py4JError) as exc:
        if tries == 1 or _HOLE not in str(exc):
            raise
    return listed_whole(act, tries - 1)


def _pinned(spark: SparkSession, store: str, table: PushTable) -> DataFrame:
    reader = spark.read.format("delta").option("versionAsOf", table.version)
    return reader.load(f"{store}/{table.path}")


def feature_rows(pushed: DataFrame, source: AppliedSource, view: AppliedView) -> DataFrame:
    """
    The feature rows that records yield for one view.

    Args:
        pushed: Rows of push tables.
        source: The view's source; records of others are passed over.
        view: The view.

    Returns:
        `row_fields`, `_sequence`, `_tie`.
    """
    record = F.from_json("record", ddl(source.fields))
    parsed = pushed.where(F.col("source") == source.id).select(
        record.alias("#record"), F.col("sequence").alias("_sequence")
    )
    if view.function is not None:
        records = parsed.select("#record.*", "_sequence")
        rows = returned_rows(records, source, view, carried=[Field("_sequence", Int64)])
        return rows.withColumn("_tie", F.lit(0))
    rows = parsed.select(
        *(column("#record").getField(f.name).alias(f.name) for f in row_fields(view)),
        F.col("_sequence"),
        F.lit(0).alias("_tie"),
    )
    # A record of an older schema may lack what has become a key since; it belongs to nobody.
    needed = [*(field.name for field in view.key_fields), view.timestamp_field]
    return rows.where(reduce(and_, (column(name).isNotNull() for name in needed)))
