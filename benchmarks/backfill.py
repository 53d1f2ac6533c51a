"""How many batch rows a second a backfill takes, and in how much memory.

    python -m benchmarks.backfill 5_000_000 10_000_000 50_000_000 --memory 3g

Parquet files with a million keys → offline table and Redis, in a process with a Spark of its own,
whose memory (JVM, Python driver and workers) is sampled while it works. `--hot` adds the same with
one key that has a tenth of the rows; `--windows` takes a view with aggregations, whose rows all go
to Redis. On 2 cores 50 million rows take four minutes and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import AppliedAggregation, BatchRows, WorkspaceState
from tecton.bootstrap import Backend, open_online
from tecton.settings import Settings
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import MICROSECOND, micros_of

KEYS = 1_000_000
HOT = 0.1
"""The part of all rows that one key has."""
SPAN = timedelta(days=30)
FILE_ROWS = 500_000
MEBIBYTE = 2**20
SAMPLED_SECONDS = 0.5


def main() -> None:
    """Print a line for each number of rows."""
    arguments = _arguments()
    if arguments.child:
        _work(Path(arguments.child), arguments.redis, arguments.memory, arguments.windows)
        return
    for rows in arguments.rows:
        even = _measure(rows, arguments, is_hot=False)
        if arguments.hot:
            hot = _measure(rows, arguments, is_hot=True)
            print(f"{rows:12,} rows: one key with {HOT:.0%} of them takes × {hot / even:.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=[5_000_000])
    parser.add_argument("--memory", default="3g", help="of the JVM's heap")
    parser.add_argument("--hot", action="store_true")
    parser.add_argument("--windows", action="store_true")
    parser.add_argument("--folder", help="where files are made and removed; default: a new one")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--redis", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(rows: int, arguments: argparse.Namespace, is_hot: bool) -> float:
    """Print what a backfill of so many rows takes; seconds."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        _write(Path(folder), rows, is_hot)
        redis = EmbeddedRedis(f"{folder}/redis")
        url = redis.start()
        command = [sys.executable, "-m", "benchmarks.backfill", "--child", folder, "--redis", url]
        command += ["--memory", arguments.memory] + (["--windows"] if arguments.windows else [])
        # What Spark spills goes with the folder.
        environ = {**os.environ, "SPARK_LOCAL_DIRS": f"{folder}/spill", "TECTON_STORE": folder}
        try:
            child = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
            peak = _Peak(child.pid)
            answer, _ = child.communicate()
            peak.stop()
            served = RedisOnlineStore.connect(url).client.info("memory")["used_memory"]
        finally:
            redis.stop()
    if child.returncode:
        sys.exit(f"the backfill ended with {child.returncode}")
    found = json.loads(answer.splitlines()[-1])
    name = "one hot key" if is_hot else "even"
    seconds = found["seconds"]
    print(
        f"{rows:12,} rows ({name}): {seconds:7.1f} s, {rows / seconds:8,.0f} rows/s, "
        f"{peak.cpu:,.0f} s of CPU in all, "
        f"at most {peak.total:,.0f} MiB ({peak.shown()}); {found['kept']:,} kept; "
        f"of that {found['online']:,} to Redis ({served / MEBIBYTE:,.0f} MiB there), "
        f"again alone {found['load']:.1f} s: {found['online'] / found['load']:,.0f} rows/s",
        flush=True,
    )
    return float(seconds)


class _Peak:
    """The most memory that a process and those below it held together; shared pages count once.

    And the seconds of CPU that they used: a busy machine makes these no longer.
    """

    def __init__(self, pid: int) -> None:
        self.total = self.cpu = 0.0
        self._used: dict[int, float] = {}
        self._parts: dict[str, float] = {}
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sample no more."""
        self._ended.set()
        self._thread.join()

    def shown(self) -> str:
        """What it was made of."""
        return ", ".join(f"{name} {size:,.0f}" for name, size in sorted(self._parts.items()))

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLED_SECONDS):
            parts: dict[str, float] = {}
            for process in self._all():
                try:
                    name = "JVM" if "java" in process.name() else "Python"
                    held = process.memory_full_info().pss / MEBIBYTE
                    times = process.cpu_times()
                    self._used[process.pid] = times.user + times.system
                except psutil.Error:
                    continue  # it has just ended
                parts[name] = parts.get(name, 0) + held
            self.cpu = sum(self._used.values())
            if sum(parts.values()) > self.total:
                self.total, self._parts = sum(parts.values()), parts

    def _all(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return []


def _write(folder: Path, rows: int, is_hot: bool) -> None:
    """Files of the documentation's example, over the whole days before today."""
    draw = np.random.default_rng(1)
    (folder / "rows").mkdir()
    start = micros_of(_today() - SPAN)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - first)
        keys = draw.integers(0, KEYS, count)
        if is_hot:
            keys[draw.random(count) < HOT] = 0
        times = start + draw.integers(0, SPAN // MICROSECOND, count)
        users = pc.binary_join_element_wise("C", pa.array(keys).cast(pa.string()), "")
        table = pa.table(
            {
                "user_id": users,
                "timestamp": pa.array(times, pa.timestamp("us", "UTC")),
                "clicked": pa.array(draw.integers(0, 100, count)),
            }
        )
        pq.write_table(table, folder / "rows" / f"{number:06}.parquet")


def _today() -> datetime:
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def _work(folder: Path, redis: str, memory: str, is_windowed: bool) -> None:
    """In a process of its own: the backfill, then the load of an emptied Redis by itself."""
    from tecton.spark.backfill import backfill
    from tecton.spark.materialize import BatchReport
    from tecton.spark.online_load import load_online
    from tecton.spark.session import enough_partitions, get_session, quiet
    from tecton.spark.tables import JobStores

    state = _state(folder, is_windowed)
    [view] = state.views
    spark = get_session(os.environ, memory)
    quiet(spark)
    spark.range(10).count()  # what a JVM takes to warm up is the same for any number of rows
    backend = Backend(Settings(store=str(folder / "store"), redis_url=redis))
    opens = partial(open_online, redis)
    logs, runs, store = backend.delta_logs, backend.runs, backend.settings.store
    stores = JobStores(spark, store, logs, runs, opens, _now)
    began = time.perf_counter()
    reports = list(backfill(stores, state, view, lambda _: None))
    seconds = time.perf_counter() - began
    for report in reports:
        print(report, file=sys.stderr)
    batches = [report for report in reports if isinstance(report, BatchReport)]
    RedisOnlineStore.connect(redis).client.flushall(asynchronous=True)
    table = stores.offline_table(state, view)
    kept = sum(report.kept for report in batches)
    began = time.perf_counter()
    with enough_partitions(spark, kept):
        loaded = load_online(table.read(table.version() or 0), view, _now(), opens)
    load = time.perf_counter() - began
    answer: dict[str, Any] = {"seconds": seconds, "load": load, "online": loaded}
    answer["kept"] = kept
    spark.stop()
    print(json.dumps(answer))


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _state(folder: Path, is_windowed: bool) -> WorkspaceState:
    rows = str(folder / "rows")
    batch = BatchRows(uri=rows, file_format="parquet", timestamp_field="timestamp")
    source = build_source(batch=batch)
    start = {"feature_start_time": _today() - SPAN, "applied_at": _today()}
    if is_windowed:
        sums = AppliedAggregation(
            name="sum", column="clicked", function="sum", time_window=SPAN + timedelta(days=2)
        )
        return build_state([source], [build_view(source, aggregations=(sums,), ttl=None, **start)])
    return build_state([source], [build_view(source, ttl=None, **start)])


if __name__ == "__main__":
    main()
