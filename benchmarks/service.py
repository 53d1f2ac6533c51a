"""What the running service takes and gives on one connection."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from statistics import median

from tecton.access import AccessState, Grant, ServiceAccount, new_key
from tecton.adapters.documents import DocumentAccess, DocumentRegistry, Documents
from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.testing import build_state

PER_REQUEST = 100
WORKSPACE = "bench"


def main() -> None:
    """Print records a second for 765 and 100,000 records, and get-features' latency."""
    with tempfile.TemporaryDirectory() as folder, _service(folder) as (port, key):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for records in (765, 100_000):
            rate, p50 = _push(connection, key, records)
            print(
                f"ingest, {records:,} records in requests of {PER_REQUEST}: "
                f"{rate:,.0f} records/s, p50 {p50 * 1e3:.2f} ms a request"
            )
        seconds = sorted(_read(connection, key, user) for user in range(2000))
        print(
            f"get-features, one connection: p50 {median(seconds) * 1e3:.2f} ms, "
            f"p99 {seconds[1979] * 1e3:.2f} ms"
        )


@contextmanager
def _service(folder: str) -> Iterator[tuple[int, str]]:
    state = build_state(name=WORKSPACE)
    documents = Documents(folder)
    DocumentRegistry(documents).commit(state)
    made, now = new_key(), datetime.now(timezone.utc)
    account = ServiceAccount(
        id=made.account_id, name="bench", secret_sha256=made.secret_sha256, created_at=now
    )
    granted = (Grant(made.account_id, "admin"),)
    DocumentAccess(documents).commit(AccessState(version=1, accounts=(account,), grants=granted))
    redis = EmbeddedRedis(folder)
    RedisOnlineStore.connect(redis.start()).mark_loaded([view.id for view in state.views])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.perf_counter()
    service = subprocess.Popen(
        [sys.executable, "-m", "ingest_api", "--port", str(port)],
        env={**os.environ, "TECTON_STORE": folder},
        stdout=subprocess.DEVNULL,
    )
    try:
        while not _is_ready(port):
            time.sleep(0.02)
        print(f"service up: {time.perf_counter() - started:.2f} s")
        yield port, made.api_key
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait()
        redis.stop()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _push(connection: http.client.HTTPConnection, key: str, count: int) -> tuple[float, float]:
    seconds = []
    started = time.perf_counter()
    for first in range(0, count, PER_REQUEST):
        stamp = datetime.now(timezone.utc).isoformat()
        records = [
            {"record": {"user_id": f"u{n % 5000}", "timestamp": stamp, "clicked": n}}
            for n in range(first, min(first + PER_REQUEST, count))
        ]
        body = {
            "workspace_name": WORKSPACE,
            "dry_run": False,
            "records": {"impressions_event_source": records},
        }
        seconds.append(_post(connection, key, "/ingest", body))
    return count / (time.perf_counter() - started), median(seconds)


def _read(connection: http.client.HTTPConnection, key: str, user: int) -> float:
    params = {
        "workspace_name": WORKSPACE,
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": f"u{user}"},
    }
    return _post(connection, key, "/api/v1/feature-service/get-features", {"params": params})


def _post(connection: http.client.HTTPConnection, key: str, path: str, body: object) -> float:
    data = json.dumps(body)
    started = time.perf_counter()
    connection.request("POST", path, data, {"Authorization": f"Tecton-key {key}"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"{path} answered {answer.status}: {text.decode()}")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
