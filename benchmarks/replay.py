"""How fast an emptied Redis is filled again from a push table, and in how much memory."""

from __future__ import annotations

import multiprocessing
import random
import resource
import tempfile
import time
from datetime import datetime, timezone

import msgspec

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.history import DeltaHistory
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import WorkspaceState
from tecton.reload import replay
from tecton.stores import LogEntry
from tecton.testing import build_state
from tecton.timestamps import format_micros, micros_of

RECORDS = 1_000_000
BATCH = 10_000
KEYS = 100_000
HOUR = 3_600_000_000


def main() -> None:
    """Print records a second and the memory that they took, for two sizes of the table."""
    for records in (RECORDS // 4, RECORDS):
        with tempfile.TemporaryDirectory() as folder:
            state = _write(folder, records)
            redis = EmbeddedRedis(folder)
            try:
                _measure(folder, redis.start(), state, records)
            finally:
                redis.stop()


def _measure(folder: str, redis_url: str, state: WorkspaceState, records: int) -> None:
    # A process of its own, so that its memory is the replay's.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        encoded = msgspec.json.encode(state)
        seconds, cpu, before, after = pool.apply(_replay, (folder, redis_url, encoded))
    print(
        f"{records:9,} records: {records / seconds:7,.0f} records/s ({records / cpu:7,.0f} for "
        f"each second of CPU), {after} MB of memory at most, {before} MB before"
    )


def _write(store: str, records: int) -> WorkspaceState:
    """A push table with so many records of the documentation's example."""
    state = build_state()
    checkpointer = Checkpointer()
    log = DeltaPushLog.open(store, state, 0, checkpointer)
    draw = random.Random(1)
    now = datetime.now(timezone.utc)
    sequence = micros_of(now)
    for batch_no in range(1, records // BATCH + 1):
        entries = []
        for _ in range(BATCH):
            sequence += 1
            record = {
                "user_id": f"C{draw.randrange(KEYS)}",
                "timestamp": format_micros(micros_of(now) - draw.randrange(HOUR)),
                "clicked": draw.randrange(2),
            }
            entries.append(
                LogEntry(state.sources[0].id, sequence, batch_no, 1, msgspec.json.encode(record))
            )
        log.append(entries, now)
    checkpointer.close()
    return state


def _replay(store: str, redis_url: str, encoded: bytes) -> tuple[float, float, int, int]:
    """Seconds, seconds of CPU, MB before and at most."""
    state = msgspec.json.decode(encoded, type=WorkspaceState)
    online, history = RedisOnlineStore.connect(redis_url), DeltaHistory(store)
    before, wall, cpu = _memory(), time.perf_counter(), time.process_time()
    replay(online, history, state, state.views[0], datetime.now(timezone.utc))
    return time.perf_counter() - wall, time.process_time() - cpu, before, _memory()


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
