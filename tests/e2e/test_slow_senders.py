"""Clients that send slowly, or nothing, do not keep others from being served."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread

import pytest

from ingest_api.receiving import KNOWN_AT_ONCE
from tests.raw_http import Connection
from tests.running import Running, wait_for

HEAD = b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose connections may be silent for a second."""
    running = Running(tmp_path_factory.mktemp("slow"))
    running.variables = {"TECTON_IDLE_SECONDS": "1"}
    try:
        running.start()
        yield running
    finally:
        running.close()


def key_of(running: Running) -> bytes:
    return f"Authorization: Tecton-key {running.key}\r\n".encode()


@pytest.mark.parametrize("said", [b"", b"P", b"PRI * HT", HEAD[:9], HEAD])
def test_connection_without_a_request_is_closed(running: Running, said: bytes) -> None:
    """It has said nothing, or not all of its headers."""
    with Connection(running.port) as connection:
        connection.send(said)
        assert connection.answer() is None


def test_headers_that_drip_end(running: Running) -> None:
    """A byte now and then does not buy more time."""
    gone = Event()

    def drip() -> None:
        while not gone.wait(0.1):
            connection.send(b"X")

    with Connection(running.port) as connection:
        connection.send(HEAD)
        dripping = Thread(target=drip)
        dripping.start()
        assert connection.answer() is None
        gone.set()
        dripping.join()


def test_idle_connection_is_closed_after_an_answer(running: Running) -> None:
    """A kept-alive connection has the same time."""
    with Connection(running.port) as connection:
        assert connection.is_open()
        assert connection.answer() is None


def test_more_silent_connections_than_are_taken_make_room(running: Running) -> None:
    """A process takes about a thousand at once; none of them stays for ever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    with ExitStack() as stack:
        for _ in range(1_200):
            stack.enter_context(Connection(running.port))
        wait_for(lambda: running.get("/livez") == 200, "the silent ones to be gone")
        assert running.push("after the silence") == 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_bodies_of_strangers_that_never_end_hold_nobody(running: Running) -> None:
    """Whoever has a key is served as ever; strangers still get their 401."""
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(Connection(running.port)).send(HEAD + b"\r\n{")
        for number in range(20):
            assert running.push(f"beside strangers {number}") == 200
        assert running.get("/livez") == 200
        with Connection(running.port) as stranger:
            assert stranger.ask(HEAD + b"\r\n" + b" " * 200).status == 401
    assert running.value("beside strangers 19") == "1"


def test_bodies_of_callers_that_never_end_are_bounded(running: Running) -> None:
    """Others with a key get 429 and when to come again; health is answered; then all is well."""
    with ExitStack() as stack:
        for _ in range(KNOWN_AT_ONCE + 50):
            connection = stack.enter_context(Connection(running.port))
            connection.send(HEAD + key_of(running) + b"\r\n{")
        # The service may not have heard all of them yet; what asks first must leave nothing.
        dry = {**running.body("too many"), "dry_run": True}
        wait_for(lambda: running.post("/ingest", dry)[0] == 429, "callers to be refused")
        assert running.push("too many") == 429
        with Connection(running.port) as connection:
            body = b"{}"
            head = HEAD.replace(b"200", b"2") + key_of(running)
            answer = connection.ask(head + b"\r\n" + body)
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            assert answer.json["requestError"]["errorType"] == "RateLimitError"
        assert running.get("/livez") == 200
    wait_for(lambda: running.push("after the slow ones") == 200, "the slow ones to be gone")
    assert running.value("too many") is None


def test_body_that_drips_is_taken_in_the_end(running: Running) -> None:
    """Slow is not wrong; meanwhile others are served."""
    body = json.dumps(running.body("slow")).encode()
    head = HEAD.replace(b"200", b"%d" % len(body)) + key_of(running)
    with Connection(running.port) as connection:
        connection.send(head + b"\r\n")
        for start in range(len(body)):
            connection.send(body[start : start + 1])
            if start % 40 == 0:
                assert running.push(f"beside the slow one {start}") == 200
        answer = connection.answer()
        assert answer is not None
        assert answer.status == 200
    assert running.value("slow") == "1"


def test_nothing_is_left_of_the_slow_ones(running: Running) -> None:
    """Only what was acknowledged is in the log, once."""
    users = [record["user_id"] for record in running.logged()]
    assert "too many" not in users
    assert len(users) == len(set(users))
