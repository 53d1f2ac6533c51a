"""What windows cost in a training frame, beside a plain point-in-time join of the same rows.

The peer is what people write by hand: union, sort by key and time, the last row before each event.
It answers one row; the windows answer 6 aggregates of 3 windows, 18 features.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from tecton.applied import AppliedAggregation, AppliedView
from tecton.spark.point_in_time import AT, ViewPart, join
from tecton.spark.session import get_session, quiet
from tecton.testing import NOW, build_source, build_view
from tecton.timestamps import micros_of
from tecton.types import Field, Float64, String, Timestamp

EVENTS = 1_000_000
QUESTIONS = 100_000
KEYS = 20_000
HOT = 0.1
"""The part of all rows that one key has."""
SPAN = timedelta(days=30)
RUNS = 3
FUNCTIONS = ("count", "sum", "mean", "min", "max", "stddev_pop")
WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))


def main() -> None:
    """Print what both joins cost and the ratio, in seconds and in CPU seconds of all processes."""
    with tempfile.TemporaryDirectory() as folder:
        _write(f"{folder}/rows", EVENTS, seed=1)
        _write(f"{folder}/questions", QUESTIONS, seed=2)
        spark = get_session(os.environ, "2g")
        quiet(spark)
        plain = _timer(lambda: _plain(spark, folder))
        windows = _timer(lambda: _windows(spark, folder))
        plain(), windows()  # the first run pays for the JVM's warming up
        # In turn, so that whatever else the machine does meets both alike.
        pairs = [(plain(), windows()) for _ in range(RUNS)]
        spark.stop()
    columns = len(FUNCTIONS) * len(WINDOWS)
    print(f"{EVENTS:,} events, {QUESTIONS:,} training rows, one key with {HOT:.0%} of both")
    for number, what in enumerate(("wall", "CPU ")):
        peer, ours = (min(pair[side][number] for pair in pairs) for side in (0, 1))
        ratio = float(np.median([pair[1][number] / pair[0][number] for pair in pairs]))
        print(f"{what} plain union and last {peer:5.2f} s, {columns} aggregates {ours:5.2f} s")
        print(f"{what} ratio, median of {RUNS} (at most 1.5): {ratio:.2f}")


def _write(path: str, count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    keys = np.where(draw.random(count) < HOT, 0, draw.integers(1, KEYS, count))
    start = micros_of(NOW - SPAN)
    times = start + draw.integers(0, SPAN // timedelta(microseconds=1), count)
    table = pa.table(
        {
            "user_id": pa.array(keys.astype(str)),
            "timestamp": pa.array(times, pa.timestamp("us", "UTC")),
            "amount": pa.array(draw.normal(100, 20, count)),
        }
    )
    os.makedirs(path)
    for part in range(4):
        rows = table.slice(part * count // 4, count // 4)
        pq.write_table(rows, f"{path}/{part}.parquet")


def _timer(frame: Callable[[], DataFrame]) -> Callable[[], tuple[float, float]]:
    """What a frame costs: seconds, and CPU seconds of this process, the JVM and its workers."""

    def run() -> tuple[float, float]:
        began, cpu = time.perf_counter(), _cpu_seconds()
        frame().write.format("noop").mode("overwrite").save()
        return time.perf_counter() - began, _cpu_seconds() - cpu

    return run


def _cpu_seconds() -> float:
    """Of this process and all below it, those that have ended included."""
    ticks: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        ticks[int(stat.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    total = 0
    for process, (_, used) in ticks.items():
        above = process
        while above in ticks and above != os.getpid():
            above = ticks[above][0]
        total += used if above == os.getpid() else 0
    return total / os.sysconf("SC_CLK_TCK")


def _plain(spark: SparkSession, folder: str) -> DataFrame:
    rows = spark.read.parquet(f"{folder}/rows")
    rows = rows.select(
        "user_id", "timestamp", F.lit(0).alias("kind"), F.struct("timestamp", "amount").alias("row")
    )
    questions = spark.read.parquet(f"{folder}/questions")
    questions = questions.select("user_id", "timestamp", F.lit(1).alias("kind"))
    before = (
        Window.partitionBy("user_id")
        .orderBy("timestamp", "kind")
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    united = rows.unionByName(questions, allowMissingColumns=True)
    joined = united.withColumn("row", F.last("row", ignorenulls=True).over(before))
    return joined.where("kind = 1").select("user_id", "timestamp", "row.amount")


def _windows(spark: SparkSession, folder: str) -> DataFrame:
    view = _view()
    rows = spark.read.parquet(f"{folder}/rows")
    rows = rows.withColumn("_sequence", F.lit(-1).cast("bigint")).withColumn("_tie", F.lit(0))
    questions = spark.read.parquet(f"{folder}/questions").drop("amount")
    questions = questions.withColumn(AT, F.unix_micros("timestamp"))
    features = [field.name for field in view.features]
    part = ViewPart(view, view.name, features, {"user_id": "user_id"})
    return join(questions, [(part, rows)], as_known=False)


def _view() -> AppliedView:
    fields = [Field("user_id", String), Field("timestamp", Timestamp), Field("amount", Float64)]
    aggregations = tuple(
        AppliedAggregation(
            name=f"{function}_{number}", column="amount", function=function, time_window=window
        )
        for function in FUNCTIONS
        for number, window in enumerate(WINDOWS)
    )
    return build_view(build_source(fields=fields), aggregations=aggregations, ttl=None)


if __name__ == "__main__":
    main()
