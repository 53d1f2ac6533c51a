"""What a commit costs as the push table grows, beside an append by delta-rs in the same run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from statistics import median

import obstore
import pyarrow as pa
from deltalake import write_deltalake

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.documents import Documents
from tecton.adapters.push_log import DeltaPushLog
from tecton.stores import LogEntry
from tecton.testing import build_state

RECORD = b'{"user_id":"C18947Z5","timestamp":"2023-01-02T00:25:06.000000Z","clicked":1}'
RECORDS = 100
WINDOW = 40
YOUNG = 50
OLD = 10_000


def main() -> None:
    """Print p50 of a commit of 100 records at versions 50 and 10,000, and delta-rs's."""
    with tempfile.TemporaryDirectory() as folder:
        young, old = _log_at(f"{folder}/young", YOUNG), _log_at(f"{folder}/old", OLD)
        # In turn, so that whatever else the machine does meets both alike.
        pairs = [(_commit(young), _commit(old)) for _ in range(WINDOW)]
        early, late = (median(seconds) for seconds in zip(*pairs, strict=True))
        print(f"commit of {RECORDS} records, p50 from version {YOUNG}:     {early * 1e3:6.2f} ms")
        print(f"commit of {RECORDS} records, p50 from version {OLD:,}: {late * 1e3:6.2f} ms")
        print(f"ratio (at most 1.3): {late / early:.2f}")
        table = pa.table({"record": [RECORD.decode()] * RECORDS})
        append = [
            _timed(lambda: write_deltalake(f"{folder}/peer", table, mode="append"))
            for _ in range(WINDOW)
        ]
        print(f"delta-rs append, p50 of its first {WINDOW}:         {median(append) * 1e3:6.2f} ms")


class _Building(Documents):
    """Leaves the disk alone while a log is built up."""

    is_built = False

    def put_if_absent(self, path: str, data: bytes) -> bool:
        if self.is_built:
            return super().put_if_absent(path, data)
        obstore.put(self._store, path, data, mode="create")
        return True


def _log_at(store: str, commits: int) -> DeltaPushLog:
    """A push log with so many commits, its checkpoints written."""
    checkpointer, made = Checkpointer(), list[_Building]()

    def connect(url: str) -> Documents:
        made.append(_Building(url))
        return made[0]

    log = DeltaPushLog.open(store, build_state(), 0, checkpointer, connect)
    for number in range(1, commits + 1):
        log.append([LogEntry("0" * 16, number, number, 1, RECORD)], _now())
    checkpointer.close()
    made[0].is_built = True
    return log


def _commit(log: DeltaPushLog) -> float:
    return _timed(partial(log.append, _entries(log.last_batch + 1), _now()))


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
