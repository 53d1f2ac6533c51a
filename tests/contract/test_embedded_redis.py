"""The embedded Redis: one server for one store, whoever asks, however often."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tecton.adapters.embedded_redis import EmbeddedRedis, folder_beside
from tecton.adapters.slots import WriterSlot


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """The server of a store; stopped afterwards."""
    server = EmbeddedRedis(str(tmp_path))
    yield server
    server.stop()


def process_of(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        process: int = client.info("server")["process_id"]
        return process


def test_server_outlives_who_started_it_and_keeps_its_data(server: EmbeddedRedis) -> None:
    """Started once, found by the next, with all data after a stop."""
    url = server.start()
    with redis.Redis.from_url(url) as client:
        client.set("k", "v")
    assert process_of(server.start()) == process_of(url)
    assert server.stop()
    assert not server.stop()
    with redis.Redis.from_url(server.start()) as client:
        assert client.get("k") == b"v"


def test_one_server_however_many_ask_at_once(server: EmbeddedRedis, tmp_path: Path) -> None:
    """Whoever needs it first starts it, under a lock; another temp folder is no other server."""
    code = (
        "import sys; from tecton.adapters.embedded_redis import EmbeddedRedis; import redis; "
        "url = EmbeddedRedis(sys.argv[1]).start(); "
        "print(redis.Redis.from_url(url).info('server')['process_id'])"
    )
    others = []
    for number in range(4):
        temp = tmp_path / f"t{number}"
        temp.mkdir()
        others.append(
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path)],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "TMPDIR": str(temp), "PYTHONPATH": os.getcwd()},
            )
        )
    processes = {other.communicate()[0] for other in others}
    assert processes == {f"{process_of(server.url)}\n"}


def test_frozen_server_is_waited_for_not_doubled(server: EmbeddedRedis, tmp_path: Path) -> None:
    """A server that does not answer is still the owner of its file."""
    process = process_of(server.start())
    os.kill(process, signal.SIGSTOP)
    code = (
        "import sys; from tecton.adapters.embedded_redis import EmbeddedRedis; "
        "print('asking', flush=True); EmbeddedRedis(sys.argv[1]).start()"
    )
    store = str(tmp_path)
    asking = subprocess.Popen(
        [sys.executable, "-c", code, store],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert asking.stdout is not None
    asking.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        asking.wait(3)
    os.kill(process, signal.SIGCONT)
    assert asking.wait(30) == 0
    asking.stdout.close()
    assert process_of(server.url) == process


def test_remote_store_has_its_folder_on_this_host() -> None:
    """No folder named `dbfs:` or `s3:` in the current one."""
    for store in ("s3://bucket/store", "dbfs:/store"):
        folder = folder_beside(store, "redis")
        assert folder.is_absolute()
        assert folder.name == "redis"


def test_two_processes_hold_two_slots(tmp_path: Path) -> None:
    """The first free one from the configured number on; free again when it is let go."""
    first = WriterSlot.take(str(tmp_path), 3)
    second = WriterSlot.take(str(tmp_path), 3)
    assert [first.number, second.number] == [3, 4]
    first.release()
    third = WriterSlot.take(str(tmp_path), 3)
    assert third.number == 3
    for slot in (second, third):
        slot.release()
