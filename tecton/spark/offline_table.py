"""
The offline table of a view: what its columns are, how it is written, how it is read.

Batch rows of a period are replaced as a whole; pushed rows are only added (design §4). Each write
is a Delta transaction of an application of its own, so one that was overtaken is skipped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F

from tecton.applied import AppliedView
from tecton.names import sql_name
from tecton.periods import Period
from tecton.spark.columns import column, ddl, utc_date
from tecton.stores import DeltaLogs
from tecton.timestamps import format_micros, micros_of
from tecton.types import Field, Timestamp

BATCH = "batch"
PUSH = "push"
_PROPERTIES = {
    # delta-rs reads these tables too, and does not know what newer Spark may turn on unasked.
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
}


def row_fields(view: AppliedView) -> tuple[Field, ...]:
    """Join keys, timestamp, values and event columns: a feature row, under their own names."""
    at = Field(view.timestamp_field, Timestamp)
    return (*view.key_fields, at, *view.value_fields, *view.event_fields)


def row_columns(view: AppliedView) -> list[Column]:
    """The columns of `row_fields`."""
    return [column(field.name) for field in row_fields(view)]


def batch_application(period: Period) -> str:
    """The Delta application id of runs over a period."""
    return f"batch/{micros_of(period.start)}"


def push_application(writer: str) -> str:
    """The Delta application id of one writer's pushed rows."""
    return f"push/{writer}"


@dataclass(frozen=True)
class OfflineTable:
    """One view's offline table.

    Args:
        spark: The session.
        store: The store's path or URI.
        path: The table's, relative to the store.
        view: The view.
        logs: Says what the table has taken.
    """

    spark: SparkSession
    store: str
    path: str
    view: AppliedView
    logs: DeltaLogs

    @property
    def url(self) -> str:
        """Where the table is."""
        return f"{self.store}/{self.path}"

    def version(self) -> int | None:
        """The newest version; None: nothing has been written yet."""
        return self.logs.version(self.path)

    def read(self, version: int, first: int | None = None, last: int | None = None) -> DataFrame:
        """
        The rows of one version: `row_fields`, `_sequence`, `_tie`, `_origin`, `_date`.

        Args:
            version: Which.
            first: Days before this time, in µs, are passed over.
            last: Days after this time, in µs, are passed over.
        """
        frame = self.spark.read.format("delta").option("versionAsOf", version).load(self.url)
        if first is not None:
            frame = frame.where(F.col("_date") >= utc_date(F.lit(first)))
        return frame if last is None else frame.where(F.col("_date") <= utc_date(F.lit(last)))

    def taken(self, writer: str, version: int | None) -> int:
        """The newest batch of a writer's push table that a version of this table holds."""
        if version is None:
            return 0
        return self.logs.transaction(self.path, version, push_application(writer))

    def replace(self, rows: DataFrame, period: Period, run: int, about: str) -> bool:
        """
        Make *rows* the only batch rows of a period.

        Args:
            rows: `row_fields`, `_sequence`, `_tie`.
            period: Their timestamps are in it.
            run: The run's start in µs; a run that began later wins.
            about: Kept in the commit, for people.

        Returns:
            False if a later run has written the period before.
        """
        start, end = (format_micros(micros_of(at)) for at in period)
        at = sql_name(self.view.timestamp_field)
        last_day = format_micros(micros_of(period.end) - 1)[:10]
        condition = (
            f"_origin = '{BATCH}' AND _date >= DATE'{start[:10]}' AND _date <= DATE'{last_day}' "
            f"AND {at} >= TIMESTAMP'{start}' AND {at} < TIMESTAMP'{end}'"
        )
        application = batch_application(period)
        writer = self._writer(rows, BATCH, application, run).mode("overwrite")
        writer.option("replaceWhere", condition).option("userMetadata", about).save(self.url)
        version = self.version()
        return version is not None and run == self.logs.transaction(self.path, version, application)

    def last_run(self, period: Period) -> int:
        """The start in µs of the newest run that wrote this period, 0 for none."""
        version = self.version()
        if version is None:
            return 0
        return self.logs.transaction(self.path, version, batch_application(period))

    def add_pushed(self, rows: DataFrame, writer: str, batch_no: int) -> None:
        """
        Add a writer's pushed rows.

        Args:
            rows: `row_fields`, `_sequence`, `_tie`: all above `taken` up to *batch_no*.
            writer: The push table's slot.
            batch_no: Recorded as taken, also if there are no rows.
        """
        application = push_application(writer)
        (
            self._writer(rows, PUSH, application, batch_no)
            .mode("append")
            .option("userMetadata", json.dumps({application: batch_no}))
            .save(self.url)
        )

    def create(self) -> None:
        """Make the table, without rows, if there is none."""
        if self.version() is None:
            schema = f"{ddl(row_fields(self.view))},_sequence bigint,_tie int"
            empty = self.spark.createDataFrame([], schema)
            self._writer(empty, PUSH, "create", 1).mode("append").save(self.url)

    def _writer(
        self, rows: DataFrame, origin: str, application: str, version: int
    ) -> DataFrameWriter:
        micros = F.unix_micros(column(self.view.timestamp_field))
        frame = rows.select(
            *row_columns(self.view),
            F.col("_sequence").cast("bigint").alias("_sequence"),
            F.col("_tie").cast("int").alias("_tie"),
            F.lit(origin).alias("_origin"),
            utc_date(micros).alias("_date"),
        )
        # One file a day, not one for each day and task.
        return (
            frame.repartition("_date")
            .write.format("delta")
            .partitionBy("_origin", "_date")
            .options(**_PROPERTIES)
            .option("txnAppId", application)
            .option("txnVersion", version)
        )
