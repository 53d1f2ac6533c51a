"""`python -m ingest_api` as a process of its own, through a real socket."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import psutil
import pytest

from tecton.bootstrap import Backend
from tecton.settings import Settings
from tecton.stores import BACKFILL, LogEntry, Run
from tecton.testing import build_source, build_view, next_version
from tecton.timestamps import format_micros, micros_of
from tests.ports import free_port
from tests.running import PATIENCE, ROOT, Running, wait_for


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_line_of_the_documentation(running: Running) -> None:
    """The documentation's command with our host, today's time and a body on standard input."""
    answer = subprocess.run(
        [
            "curl",
            "-sS",
            "-X",
            "POST",
            f"http://127.0.0.1:{running.port}/ingest",
            "-H",
            f"Authorization: Tecton-key {running.key}",
            "-d",
            json.dumps(running.body("C18947Z5")),
        ],
        capture_output=True,
        check=True,
    )
    (metrics,) = json.loads(answer.stdout)["ingestMetrics"]["featureViewIngestMetrics"]
    assert metrics == {
        "featureViewName": "click_events_fv",
        "onlineRecordIngestCount": "1",
        "offlineRecordIngestCount": "1",
    }
    assert running.value("C18947Z5") == "1"


def test_stopping_answers_what_was_accepted(running: Running) -> None:
    """SIGTERM: every request gets its answer or no connection; what is answered is there."""
    acknowledged = push_until_refused(running, signal.SIGTERM)
    assert running.process is not None
    assert running.process.returncode == 0
    assert acknowledged <= {record["user_id"] for record in running.logged()}
    running.start()
    assert {running.value(user) for user in acknowledged} == {"1"}


def test_killed_service_has_lost_nothing_that_it_acknowledged(running: Running) -> None:
    """SIGKILL under load: all acknowledged records are logged once and served afterwards."""
    acknowledged = push_until_refused(running, signal.SIGKILL)
    running.start()
    assert {running.value(user) for user in acknowledged} == {"1"}
    logged = [record["user_id"] for record in running.logged()]
    assert len(logged) == len(set(logged))
    assert acknowledged <= set(logged)


def push_until_refused(running: Running, number: signal.Signals) -> set[str]:
    """Push from four clients, end the service amid it; the users that were acknowledged."""
    acknowledged: set[str] = set()
    many = threading.Event()

    def push(client: int) -> None:
        connection = running.connect()
        for count in range(5000):
            user = f"{client}-{count}"
            try:
                status = running.push(user, connection)
            except (OSError, http.client.HTTPException):
                return
            assert status == 200
            acknowledged.add(user)
            if len(acknowledged) >= 100:
                many.set()

    clients = [threading.Thread(target=push, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    assert many.wait(PATIENCE)
    running.kill(number)
    for client in clients:
        client.join()
    return acknowledged


def test_redis_down_is_503_before_anything_is_written(running: Running) -> None:
    """And the service goes on when Redis is back."""
    running.kill(signal.SIGTERM)
    # A Redis that is not the service's own to start.
    running.variables = {"TECTON_REDIS_URL": running.redis.url}
    running.start()
    assert running.push("before") == 200
    running.redis.stop()
    status, body = running.post("/ingest", running.body("refused"))
    assert (status, body["requestError"]["errorType"]) == (503, "ServiceUnavailableError")
    assert str(running.store) not in body["requestError"]["errorMessage"]
    wait_for(lambda: running.get("/readyz") == 503, "the service to say so")
    running.redis.start()
    assert running.push("after") == 200
    assert [running.value(user) for user in ("before", "after", "refused")] == ["1", "1", None]
    assert [record["user_id"] for record in running.logged()] == ["before", "after"]


def test_embedded_redis_that_stops_is_started_again(running: Running) -> None:
    """By the running service, with all that it held."""
    assert running.push("before") == 200
    running.redis.stop()
    wait_for(lambda: running.post("/ingest", running.body("after"))[0] == 200, "Redis")
    assert [running.value("before"), running.value("after")] == ["1", "1"]


def test_emptied_redis_is_filled_again(running: Running) -> None:
    """503 while rows are missing, never nulls; then all that was pushed is there again."""
    record_backfill(running)
    assert running.push("u") == 200
    running.online.client.flushall()
    params = {
        "workspace_name": "ingestapi-live",
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": "u"},
    }
    path = "/api/v1/feature-service/get-features"
    seen = []

    def is_served() -> bool:
        seen.append(running.post(path, {"params": params}))
        return seen[-1][0] == 200

    wait_for(is_served, "the view to be reloaded")
    assert {status for status, _ in seen} <= {200, 503}
    assert seen[-1][1] == {"result": {"features": ["1"]}}


def record_backfill(running: Running) -> None:
    """As the job does when it has ended."""
    backend = Backend(Settings(store=str(running.store), redis_url=running.redis.url))
    view, now = running.state.views[0], datetime.now(timezone.utc)
    folder = running.state.folder
    backend.runs.record(Run(folder, view.name, view.id, BACKFILL, now, now, now, now, ""))


def test_port_in_use_is_said(running: Running) -> None:
    """A second service on the port ends with one line instead of sharing it in silence."""
    answer = subprocess.run(
        [sys.executable, "-m", "ingest_api", "--port", str(running.port)],
        cwd=ROOT,
        env={**os.environ, "TECTON_STORE": str(running.store)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: cannot listen on 127.0.0.1:{running.port}")
    assert answer.stderr.count("\n") == 1


def test_new_definitions_are_noticed_without_a_restart(running: Running) -> None:
    """A source that is applied now takes records within seconds."""
    source = build_source("second_source")
    view = build_view(source, "second_fv")
    body = running.body("u", "second_source")
    assert running.post("/ingest", body)[0] == 404
    state = running.state
    running.registry.commit(
        next_version(state, sources=(*state.sources, source), views=(*state.views, view))
    )
    wait_for(lambda: running.post("/ingest", body)[0] == 200, "the new source")


def test_second_service_on_a_host_takes_a_slot_of_its_own(running: Running) -> None:
    """Two processes write two push tables and serve each other's records."""
    port, process = running.port, running.process
    running.port = free_port()
    running.start()
    assert running.push("second") == 200
    running.process, second, running.port = process, running.process, port
    assert running.push("first") == 200
    assert [running.value("first"), running.value("second")] == ["1", "1"]
    assert second is not None
    os.killpg(second.pid, signal.SIGTERM)
    second.wait(PATIENCE)
    tables = sorted(path.name for path in (running.store / "push").glob("*/*"))
    assert tables == ["0", "1"]


def test_chunked_body_is_read(running: Running) -> None:
    """A body without a length."""
    body = json.dumps(running.body("chunked")).encode()
    head = f"POST /ingest HTTP/1.1\r\nHost: x\r\nAuthorization: Tecton-key {running.key}\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    connection = running.connect()
    connection.connect()
    assert connection.sock is not None
    connection.sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 200")
    assert running.value("chunked") == "1"


def test_two_authorization_headers_are_refused(running: Running) -> None:
    """Nobody can tell which one counts."""
    body = json.dumps(running.body("twice")).encode()
    line = f"Authorization: Tecton-key {running.key}\r\n"
    head = f"POST /ingest HTTP/1.1\r\nHost: x\r\n{line}{line}Content-Length: {len(body)}\r\n\r\n"
    connection = running.connect()
    connection.connect()
    assert connection.sock is not None
    connection.sock.sendall(head.encode() + body)
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 401")
    assert running.value("twice") is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_service_speaks_https(running: Running, tmp_path: Path) -> None:
    """With a certificate and its key, as the documentation's https."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *options.split(), *names, *files], check=True, capture_output=True)
    running.kill(signal.SIGTERM)
    running.start("--tls-cert", str(certificate), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=str(certificate))

    def status() -> int | None:
        connection = http.client.HTTPSConnection("localhost", running.port, context=context)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status
        except OSError:
            return None

    assert wait_for(status, "the service") == 200


@pytest.mark.parametrize("is_worker", [True, False])
def test_neither_process_outlives_the_other(running: Running, is_worker: bool) -> None:
    """Whoever started the service sees its end, and the port is free for the next one."""
    assert running.process is not None
    server = psutil.Process(running.process.pid)
    worker = max(server.children(), key=lambda child: child.num_threads())
    (worker if is_worker else server).kill()
    running.process.wait(PATIENCE)
    wait_for(lambda: has_ended(worker), "the worker to end")
    running.start()
    assert running.push("u") == 200


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_tail_of_a_dead_writer_is_served_by_another(running: Running) -> None:
    """A record that is in a log and was never offered to Redis: seconds later it is served."""
    backend = Backend(Settings(store=str(running.store), redis_url=running.redis.url))
    state = running.state
    dead = backend.open_push_log(state, 9)
    (record,) = running.body("tail")["records"]["impressions_event_source"]
    values = {**record["record"], "timestamp": format_micros(micros_of(datetime.now(timezone.utc)))}
    number = micros_of(datetime.now(timezone.utc))
    entry = LogEntry(state.sources[0].id, number, 1, 1, msgspec.json.encode(values))
    dead.append([entry], datetime.now(timezone.utc))
    wait_for(lambda: running.value("tail") == "1", "the record to be served")
    assert backend.online.applied_batch(dead.name) == 1


def test_service_whose_slot_is_taken_goes_on_in_another(running: Running) -> None:
    """A process of another host with the same slot: no request fails, nothing is lost."""
    assert running.push("before") == 200
    taken = {record["user_id"] for record in running.logged()}
    assert running.push("after") == 200
    assert [running.value("before"), running.value("after")] == ["1", "1"]
    assert taken == {"before"}
    tables = sorted(path.name for path in (running.store / "push").glob("*/*"))
    assert tables == ["0", "1"]
    wait_for(lambda: running.get("/readyz") == 200, "the service to be ready")
