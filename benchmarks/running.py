"""A service process on a store of its own, and what it uses."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, NamedTuple

import psutil

from tecton.access import AccessState, Grant, ServiceAccount, new_key
from tecton.adapters.documents import DocumentAccess, DocumentRegistry, Documents
from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import WorkspaceState
from tecton.testing import build_state

WORKSPACE = "bench"
SOURCE = "impressions_event_source"
SERVICE = "ad_ctr_feature_service"
MEBIBYTE = 2**20

Records = list[dict[str, Any]]


class Service(NamedTuple):
    """A running service.

    Args:
        port: Where it listens on this machine.
        key: An admin's API key.
        viewer: A viewer's.
        process: The process that answers.
        seconds: How long it took to start.
    """

    port: int
    key: str
    viewer: str
    process: psutil.Process
    seconds: float

    def connect(self) -> http.client.HTTPConnection:
        """A connection, opened with its first request and kept."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def cpu(self) -> float:
        """CPU seconds that the process has used, in user and system mode."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def resident(self) -> float:
        """MiB of memory that the process holds."""
        return float(self.process.memory_info().rss) / MEBIBYTE


@contextmanager
def running(**variables: str) -> Iterator[Service]:
    """
    A service on a fresh store with the documentation's example, until the block ends.

    Args:
        variables: Of the environment, beside the store.
    """
    with tempfile.TemporaryDirectory() as folder:
        state = build_state(name=WORKSPACE)
        keys = _apply(folder, state)
        redis = EmbeddedRedis(folder)
        online = RedisOnlineStore.connect(redis.start())
        online.mark_loaded([view.online_id for view in state.views])
        port = _free_port()
        started = time.perf_counter()
        command = [sys.executable, "-m", "ingest_api", "--port", str(port)]
        environ = {**os.environ, "TECTON_STORE": folder, **variables}
        server = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
        try:
            while not _is_ready(port):
                time.sleep(0.02)
            seconds = time.perf_counter() - started
            children = psutil.Process(server.pid).children()
            worker = max(children, key=lambda child: child.num_threads())
            yield Service(port, *keys, worker, seconds)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
            redis.stop()


def records(count: int, **changes: Any) -> Records:
    """Good records of the present, with changes."""
    stamp = datetime.now(timezone.utc).isoformat()
    return [
        {"user_id": f"u{n % 5000}", "timestamp": stamp, "clicked": n, **changes}
        for n in range(count)
    ]


def body_of(listed: Sequence[Any], **changes: Any) -> bytes:
    """The body that sends these records, with other fields changed."""
    elements = [{"record": record} for record in listed]
    body = {"workspace_name": WORKSPACE, "dry_run": False, "records": {SOURCE: elements}}
    return json.dumps({**body, **changes}).encode()


def post(
    connection: http.client.HTTPConnection,
    key: str,
    body: bytes,
    path: str = "/ingest",
    **headers: str,
) -> tuple[int, bytes]:
    """Status and body of the answer; a connection that was closed is opened again."""
    if key:
        headers["Authorization"] = f"Tecton-key {key}"
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _apply(folder: str, state: WorkspaceState) -> tuple[str, str]:
    """Put a workspace and two accounts into a store; an admin's key and a viewer's."""
    documents = Documents(folder)
    DocumentRegistry(documents).commit(state)
    made = {role: new_key() for role in ("admin", "viewer")}
    now = datetime.now(timezone.utc)
    accounts = [
        ServiceAccount(
            id=key.account_id, name=role, secret_sha256=key.secret_sha256, created_at=now
        )
        for role, key in made.items()
    ]
    grants = [Grant(key.account_id, role) for role, key in made.items()]
    DocumentAccess(documents).commit(
        AccessState(version=1, accounts=tuple(accounts), grants=tuple(grants))
    )
    return made["admin"].api_key, made["viewer"].api_key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
