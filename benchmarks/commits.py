"""What a commit costs as the push table grows, beside an append by delta-rs in the same run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from statistics import median

import pyarrow as pa
from deltalake import write_deltalake

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.push_log import DeltaPushLog
from tecton.stores import LogEntry
from tecton.testing import build_state

RECORD = b'{"user_id":"C18947Z5","timestamp":"2023-01-02T00:25:06.000000Z","clicked":1}'
RECORDS = 100
WINDOW = 50


def main() -> None:
    """Print p50 of a commit of 100 records at versions 50 and 1,000, and delta-rs's."""
    with tempfile.TemporaryDirectory() as folder:
        checkpointer = Checkpointer()
        log = DeltaPushLog.open(folder, build_state(), 0, checkpointer)
        seconds = [_timed(lambda n=n: log.append(_entries(n), _now())) for n in range(1, 1051)]  # type: ignore[misc]
        checkpointer.close()
        early, late = median(seconds[25:75]), median(seconds[1000:1050])
        print(f"commit of {RECORDS} records, p50 at version 50:    {early * 1e3:6.2f} ms")
        print(f"commit of {RECORDS} records, p50 at version 1,000: {late * 1e3:6.2f} ms")
        print(f"ratio (at most 1.3): {late / early:.2f}")
        table = pa.table({"record": [RECORD.decode()] * RECORDS})
        append = [
            _timed(lambda: write_deltalake(f"{folder}/peer", table, mode="append"))
            for _ in range(WINDOW)
        ]
        print(f"delta-rs append, p50 of its first {WINDOW}:        {median(append) * 1e3:6.2f} ms")


def _entries(batch_no: int) -> list[LogEntry]:
    first = batch_no * RECORDS
    return [LogEntry("0" * 16, first + n, batch_no, 1, RECORD) for n in range(RECORDS)]


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _now() -> datetime:
    return datetime.now(timezone.utc)


if __name__ == "__main__":
    main()
