"""Far more is sent than the service can take: it refuses, loses nothing, and comes back."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import psutil
import pytest

from tests.running import PATIENCE, Running, wait_for

CLIENTS = 32
PER_REQUEST = 20
ROOM = 200
"""Records that may wait: those of ten requests."""

REQUESTS = 2_000
MAX_GROWTH = 300 * 2**20
"""Bytes of memory; what a request holds is a few kilobytes."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A service with little room, on a Redis that is not its own to start."""
    running = Running(tmp_path)
    running.variables = {
        "TECTON_MAX_QUEUED_RECORDS": str(ROOM),
        "TECTON_REDIS_URL": running.redis.url,
    }
    try:
        running.start()
        yield running
    finally:
        running.close()


class Flood:
    """Clients that send without a pause, each request with users of its own."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.answers: Counter[int] = Counter()
        self.mute: list[int] = []
        self.users: dict[int, set[str]] = {200: set(), 429: set(), 503: set()}
        self._lock = Lock()
        self._enough = Event()
        self._threads = [Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)

    def _client(self, number: int) -> None:
        connection = self.running.connect()
        request = 0
        while not self._enough.is_set():
            request += 1
            users = [f"{number}-{request}-{n}" for n in range(PER_REQUEST)]
            answer = self._send(connection, users)
            with self._lock:
                self.answers[answer.status] += 1
                self.users[answer.status].update(users)
                if answer.status != 200 and not (answer.headers["Retry-After"] or "").isdigit():
                    self.mute.append(answer.status)

    def _send(
        self, connection: http.client.HTTPConnection, users: list[str]
    ) -> http.client.HTTPResponse:
        stamp = datetime.now(timezone.utc).isoformat()
        listed = [{"record": {"user_id": u, "timestamp": stamp, "clicked": 1}} for u in users]
        body: Any = {**self.running.body(""), "records": {"impressions_event_source": listed}}
        headers = {"Authorization": f"Tecton-key {self.running.key}"}
        connection.request("POST", "/ingest", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        return answer


@contextmanager
def frozen(process: int) -> Iterator[None]:
    """The process stands still meanwhile."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def resident(running: Running) -> int:
    """Bytes that the service's processes hold."""
    assert running.process is not None
    server = psutil.Process(running.process.pid)
    return sum(p.memory_info().rss for p in [server, *server.children()])


def test_overload_is_refused_and_passes(running: Running) -> None:
    """200, 429 or 503, these with Retry-After; what is acknowledged is there, and only once."""
    assert running.push("before") == 200
    before = resident(running)
    redis = int(running.online.client.info("server")["process_id"])
    flood = Flood(running)
    flood.start()
    wait_for(lambda: flood.answers[200] > 50 and flood.answers[429] > 50, "the room to be full")
    with frozen(redis):
        wait_for(lambda: flood.answers[503], "the stillness to be noticed")
    taken = flood.answers[200]
    wait_for(lambda: flood.answers[200] > taken + 50, "the service to go on by itself")
    wait_for(lambda: flood.answers.total() > REQUESTS, "many requests")
    flood.stop()

    assert set(flood.answers) == {200, 429, 503}
    assert flood.mute == []
    assert resident(running) - before < MAX_GROWTH
    assert running.push("after") == 200
    acknowledged = flood.users[200]
    assert {running.value(user) for user in sorted(acknowledged)[::50]} == {"1"}
    logged = [record["user_id"] for record in running.logged()]
    assert len(logged) == len(set(logged))
    assert acknowledged <= set(logged)
    assert flood.users[429].isdisjoint(logged)
