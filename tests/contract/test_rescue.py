"""The tail of a writer that died between its log and Redis, served by another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.push_tables import DeltaPushTables
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import push_log_name, push_path
from tecton.logged import rows_of
from tecton.rescue import Rescue, Rescued
from tecton.rows import encode_key
from tecton.stores import LogEntry
from tecton.testing import build_state
from tecton.timestamps import format_micros, micros_of

STATE = build_state()
NAME = push_log_name(STATE, 3)
NOW = datetime.now(timezone.utc)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DeltaPushLog]:
    """The push log of writer 3."""
    checkpointer = Checkpointer()
    yield DeltaPushLog.open(str(tmp_path), STATE, 3, checkpointer)
    checkpointer.close()


@pytest.fixture
def rescue(tmp_path: Path, redis_online: RedisOnlineStore) -> Rescue:
    """Another process's."""
    redis_online.mark_loaded([STATE.views[0].id])
    return Rescue(DeltaPushTables(str(tmp_path)), redis_online, rows_of)


def logged(log: DeltaPushLog, user: str) -> LogEntry:
    """One record in the log, unknown to Redis."""
    record = b'{"user_id":"%s","timestamp":"%s","clicked":1}'
    body = record % (user.encode(), format_micros(micros_of(NOW)).encode())
    number = log.last_batch + 1
    entry = LogEntry(STATE.sources[0].id, micros_of(NOW) + number, number, 1, body)
    log.append([entry], NOW)
    return entry


def served(online: RedisOnlineStore, *users: str) -> list[bool]:
    found = online.read([(STATE.views[0].id, encode_key([user])) for user in users])
    return [row is not None for row in found]


def test_log_that_stays_ahead_is_replayed(
    log: DeltaPushLog, rescue: Rescue, redis_online: RedisOnlineStore
) -> None:
    """At the second look; there is nothing left for the third."""
    logged(log, "a")
    logged(log, "b")
    assert list(rescue.look([STATE])) == []
    assert list(rescue.look([STATE])) == [Rescued("prod", "3", 1, 2)]
    assert served(redis_online, "a", "b") == [True, True]
    assert redis_online.applied_batch(NAME) == 2
    assert list(rescue.look([STATE])) == []
    logged(log, "c")
    assert list(rescue.look([STATE])) == [Rescued("prod", "3", 3, 3)]
    assert served(redis_online, "c") == [True]


def test_log_that_was_cleaned_up_since_the_last_look_is_read_anew(
    log: DeltaPushLog, rescue: Rescue, redis_online: RedisOnlineStore, tmp_path: Path
) -> None:
    """A busy writer is not looked at for a month; the entries that came next are gone then."""
    logged(log, "u0")
    list(rescue.look([STATE]))
    list(rescue.look([STATE]))
    entries = [logged(log, f"u{number}") for number in range(1, 4)]
    for number, entry in enumerate(entries, 1):
        assert redis_online.apply(NAME, number, number + 1, rows_of(STATE, [entry]))
    url = str(tmp_path / push_path(STATE, 3))
    DeltaTable(url).create_checkpoint()
    long_ago = time.time() - 40 * 86_400
    for path in Path(url, "_delta_log").glob("[0-9]*"):
        os.utime(path, (long_ago, long_ago))
    DeltaTable(url).cleanup_metadata()
    logged(log, "late")
    assert list(rescue.look([STATE])) == []
    assert list(rescue.look([STATE])) == [Rescued("prod", "3", 5, 5)]
    assert served(redis_online, "late") == [True]


def test_owner_that_lives_after_all_goes_on(
    log: DeltaPushLog, rescue: Rescue, redis_online: RedisOnlineStore
) -> None:
    """Its own offer comes late and changes nothing; its next batch finds no gap."""
    entry = logged(log, "a")
    list(rescue.look([STATE]))
    list(rescue.look([STATE]))
    assert redis_online.apply(NAME, 0, 1, rows_of(STATE, [entry]))
    second = logged(log, "b")
    assert redis_online.apply(NAME, 1, 2, rows_of(STATE, [second]))
    assert redis_online.applied_batch(NAME) == 2
    assert list(rescue.look([STATE])) == []
    assert list(rescue.look([STATE])) == []


def test_owner_at_work_is_left_alone(
    log: DeltaPushLog, rescue: Rescue, redis_online: RedisOnlineStore
) -> None:
    """While its watermark moves it is not behind but busy."""
    entries = [logged(log, f"u{number}") for number in range(4)]
    for number, entry in enumerate(entries):
        assert list(rescue.look([STATE])) == []
        redis_online.apply(NAME, number, number + 1, rows_of(STATE, [entry]))
