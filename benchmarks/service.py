"""What the running service takes and gives on one connection."""

from __future__ import annotations

import http.client
import json
import sys
import time
from statistics import median

from benchmarks.running import SERVICE, WORKSPACE, body_of, post, records, running

PER_REQUEST = 100


def main() -> None:
    """Print records a second for 765 and 100,000 records, and get-features' latency."""
    with running() as service:
        print(f"service up: {service.seconds:.2f} s")
        connection = service.connect()
        for count in (765, 100_000):
            rate, p50 = _push(connection, service.key, count)
            print(
                f"ingest, {count:,} records in requests of {PER_REQUEST}: "
                f"{rate:,.0f} records/s, p50 {p50 * 1e3:.2f} ms a request"
            )
        seconds = sorted(_read(connection, service.key, user) for user in range(2000))
        print(
            f"get-features, one connection: p50 {median(seconds) * 1e3:.2f} ms, "
            f"p99 {seconds[1979] * 1e3:.2f} ms"
        )


def _push(connection: http.client.HTTPConnection, key: str, count: int) -> tuple[float, float]:
    seconds = []
    started = time.perf_counter()
    for first in range(0, count, PER_REQUEST):
        body = body_of(records(min(PER_REQUEST, count - first)))
        seconds.append(_post(connection, key, "/ingest", body))
    return count / (time.perf_counter() - started), median(seconds)


def _read(connection: http.client.HTTPConnection, key: str, user: int) -> float:
    params = {
        "workspace_name": WORKSPACE,
        "feature_service_name": SERVICE,
        "join_key_map": {"user_id": f"u{user}"},
    }
    body = json.dumps({"params": params}).encode()
    return _post(connection, key, "/api/v1/feature-service/get-features", body)


def _post(connection: http.client.HTTPConnection, key: str, path: str, body: bytes) -> float:
    started = time.perf_counter()
    status, answer = post(connection, key, body, path)
    if status != 200:
        sys.exit(f"{path} answered {status}: {answer.decode()}")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
