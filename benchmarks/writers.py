"""How many commits some writers make together on S3, where each takes 150 ms (two puts of 75)."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import msgspec
import psutil

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import WorkspaceState
from tecton.committer import Committer
from tecton.rows import Record
from tecton.schema import RecordChecker
from tecton.testing import build_state
from tecton.timestamps import format_micros, micros_of
from tests.s3 import S3, s3

PUT_SECONDS = 0.075
WRITERS = (1, 2, 4, 8)
CLIENTS = 8
"""Of each writer; each sends its next request when the one before is answered."""

RECORDS = 10
"""In each request."""

SECONDS = 8.0


class Done(NamedTuple):
    """What one writer has done, and how long each request took."""

    commits: int
    seconds: list[float]


def main() -> None:
    """Print commits and requests a second and latencies, by the number of writers."""
    _measure(1, is_far=False, what="1 writer, no overlap")
    for writers in WRITERS:
        _measure(writers, is_far=True, what=f"{writers} writer{'s' if writers > 1 else ''}")


def _measure(writers: int, is_far: bool, what: str) -> None:
    with tempfile.TemporaryDirectory() as folder, s3(PUT_SECONDS) as server:
        redis = EmbeddedRedis(folder)
        try:
            done, load = _run(writers, is_far, server, redis.start())
        finally:
            redis.stop()
    seconds = sorted(second for one in done for second in one.seconds)
    print(
        f"{what + ':':22}{sum(one.commits for one in done) / SECONDS:6.1f} commits/s, "
        f"{len(seconds) / SECONDS:6.1f} requests/s, p50 {_quantile(seconds, 50):4.0f} ms, "
        f"p99 {_quantile(seconds, 99):4.0f} ms; moto used {load:.0%} of a core",
        flush=True,
    )


def _quantile(seconds: Sequence[float], percent: int) -> float:
    return seconds[len(seconds) * percent // 100] * 1e3


def _run(writers: int, is_far: bool, server: S3, redis_url: str) -> tuple[list[Done], float]:
    """What each writer has done, and the part of a core that S3's place has used."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(writers + 1), context.Queue()
    state = msgspec.json.encode(build_state())
    shared = (server.store, server.environ, redis_url, state, is_far, barrier, results)
    processes = [context.Process(target=_write, args=(n, *shared)) for n in range(writers)]
    for process in processes:
        process.start()
    barrier.wait()
    moto = psutil.Process(server.process.pid)
    before = moto.cpu_times()
    done = [results.get() for _ in processes]
    after = moto.cpu_times()
    for process in processes:
        process.join()
    return done, (after.user + after.system - before.user - before.system) / SECONDS


def _write(
    writer: int,
    store: str,
    environ: dict[str, str],
    redis_url: str,
    encoded: bytes,
    is_far: bool,
    barrier: Any,
    results: Any,
) -> None:
    """One writer, in a process of its own."""
    os.environ.update(environ)
    state = msgspec.json.decode(encoded, type=WorkspaceState)
    checkpointer = Checkpointer()
    log = (DeltaPushLog if is_far else _Near).open(store, state, writer, checkpointer)
    online = RedisOnlineStore.connect(redis_url)
    committer = Committer(lambda: log, lambda: state, online, _now, 10**6)
    records = _records(state)
    committer.take(records, state.version)
    barrier.wait()
    first, until = log.last_batch, time.perf_counter() + SECONDS

    def client(_: int) -> list[float]:
        seconds = []
        while (began := time.perf_counter()) < until:
            committer.take(records, state.version)
            seconds.append(time.perf_counter() - began)
        return seconds

    with ThreadPoolExecutor(CLIENTS) as pool:
        taken = [second for part in pool.map(client, range(CLIENTS)) for second in part]
    results.put(Done(log.last_batch - first, taken))
    committer.close()
    checkpointer.close()


class _Near(DeltaPushLog):
    """Is treated like a log in a folder."""

    is_far = False


def _records(state: WorkspaceState) -> list[Record]:
    now = micros_of(_now())
    checker = RecordChecker(state.sources[0], state.views, timedelta(minutes=10))
    raw = [
        {"user_id": f"u{n}", "timestamp": format_micros(now), "clicked": n} for n in range(RECORDS)
    ]
    checked = [checker.check(one, n, now) for n, one in enumerate(raw)]
    return [one for one in checked if isinstance(one, Record)]


def _now() -> datetime:
    return datetime.now(timezone.utc)


if __name__ == "__main__":
    main()
