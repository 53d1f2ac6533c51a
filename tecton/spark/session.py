"""
The Spark session: the one that is there, or a local one with Delta.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_LOCAL = {
    # Spark's defaults are a cluster's; these make small local runs several times faster.
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
_PARTITIONS = "spark.sql.shuffle.partitions"
PARTITION_ROWS = 500_000
"""Of a shuffle, where the number of rows is known."""
_SESSION = {"spark.sql.session.timeZone": "UTC"}
_PLACED_BY_OTHERS = (
    "PYSPARK_GATEWAY_PORT",  # spark-submit
    "SPARK_REMOTE",  # Spark Connect
    "DATABRICKS_RUNTIME_VERSION",
)


def get_session(environ: MutableMapping[str, str], memory: str = "1g") -> SparkSession:
    """
    The active session (spark-submit, Databricks, Connect, a notebook's), or a local one.

    Args:
        environ: The process's environment. A local session's Python workers are started from
            it, so `PYSPARK_PYTHON` is set there.
        memory: The heap of a local session.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    builder = SparkSession.builder.appName("tecton")
    if any(environ.get(name) for name in _PLACED_BY_OTHERS):
        return _configured(builder, {**_SESSION} if _is_remote(environ) else {**_DELTA, **_SESSION})
    return _local_session(builder, environ, memory)


def quiet(spark: SparkSession) -> None:
    """Keep Spark's own log to errors, where the session can be told so."""
    context = getattr(spark, "_sc", None)  # None on Spark Connect
    if context is not None:
        context.setLogLevel("ERROR")


def mark_work(spark: SparkSession, name: str) -> None:
    """Let what this thread asks of Spark from now on be cancelled by its name."""
    context = getattr(spark, "_sc", None)
    if context is not None:
        context.setJobGroup(name, "tecton", interruptOnCancel=True)


def cancel_work(spark: SparkSession, name: str) -> None:
    """
    Make what Spark is doing end with an exception.

    Args:
        spark: The session; nobody else uses it.
        name: Of `mark_work`.
    """
    for query in spark.streams.active:
        query.stop()
    context = getattr(spark, "_sc", None)
    if context is None:
        spark.interruptAll()
    else:
        context.cancelJobGroup(name)


@contextmanager
def enough_partitions(spark: SparkSession, rows: int) -> Iterator[None]:
    """
    Meanwhile a shuffle of *rows* rows has partitions small enough to be sorted in memory.

    However many rows there are, what a task holds is then about the same. Few rows are left to the
    session's own number.

    Args:
        spark: The session.
        rows: How many there are.
    """
    before = spark.conf.get(_PARTITIONS, "")
    wanted = -(-rows // PARTITION_ROWS)
    # Databricks has `auto`.
    if before is None or not before.isdigit() or wanted <= int(before):
        yield
        return
    spark.conf.set(_PARTITIONS, wanted)
    try:
        yield
    finally:
        spark.conf.set(_PARTITIONS, before)


def _configured(builder: SparkSession.Builder, options: dict[str, str]) -> SparkSession:
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _is_remote(environ: MutableMapping[str, str]) -> bool:
    return bool(environ.get("SPARK_REMOTE") or environ.get("DATABRICKS_RUNTIME_VERSION"))


def _local_session(
    builder: SparkSession.Builder, environ: MutableMapping[str, str], memory: str
) -> SparkSession:
    from delta import configure_spark_with_delta_pip

    # Workers would start `python3` from PATH, which is another Python outside a virtual one.
    environ.setdefault("PYSPARK_PYTHON", sys.executable)
    package_root = str(Path(__file__).resolve().parents[2])
    python_path = ":".join(filter(None, (package_root, environ.get("PYTHONPATH"))))
    options = {
        **_DELTA,
        **_SESSION,
        **_LOCAL,
        "spark.driver.memory": memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executorEnv.PYTHONPATH": python_path,
    }
    builder = builder.master("local[*]")
    for name, value in options.items():
        builder = builder.config(name, value)
    return configure_spark_with_delta_pip(builder).getOrCreate()
