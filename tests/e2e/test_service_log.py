"""What a running service leaves behind: a log and an audit without secrets and records."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tecton.adapters.audit import DeltaAuditLog
from tests.running import Running, wait_for

CANARY = "canary7d1"
INGEST = "/ingest"
FEATURES = "/api/v1/feature-service/get-features"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    with (tmp_path / "service.log").open("wb") as running.output:
        try:
            running.start()
            yield running
        finally:
            running.close()


def sent(running: Running) -> Iterator[tuple[int, Any, str]]:
    """Requests with a canary wherever a secret or a record can be: status, body, path."""
    good = running.body(CANARY)
    record = good["records"]["impressions_event_source"][0]["record"]
    yield 200, good, INGEST
    for changes in (
        {"clicked": CANARY},
        {"timestamp": CANARY},
        {"user_id": {CANARY: CANARY}},
        {"user_id": CANARY + "\0"},
        {"user_id": CANARY * 100},
        {CANARY: CANARY},
    ):
        bad = {"impressions_event_source": [{"record": {**record, **changes}}]}
        yield 400, {**good, "records": bad}, INGEST
    yield 400, {**good, "dry_run": CANARY}, INGEST
    yield 400, {**good, CANARY: CANARY}, INGEST
    yield 400, CANARY, INGEST
    params = {
        "workspace_name": "ingestapi-live",
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": CANARY},
    }
    yield 200, {"params": params}, FEATURES
    yield 400, {"params": {**params, "join_key_map": {CANARY: CANARY}}}, FEATURES
    yield 400, {"params": {**params, "join_key_map": {"user_id": [CANARY]}}}, FEATURES


def test_no_secret_and_no_record_is_in_the_log(running: Running, tmp_path: Path) -> None:
    """After good and bad requests, stores that failed and the end of the process."""
    for status, body, path in sent(running):
        assert running.post(path, body)[0] == status
    headers = {
        "Authorization": f"Tecton-key {CANARY}",
        "Cookie": CANARY,
        "X-Request-ID": CANARY,
    }
    connection = running.connect()
    connection.request("POST", INGEST, b'{"%s' % CANARY.encode(), headers)
    assert connection.getresponse().status == 401
    running.redis.stop()
    running.post(INGEST, running.body(CANARY))
    wait_for(lambda: running.get("/readyz") == 200, "the service")
    running.kill(signal.SIGTERM)
    log = (tmp_path / "service.log").read_bytes()
    assert CANARY.encode() not in log
    assert running.key.split("_")[2].encode() not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]
    assert sum(line.get("path") == INGEST for line in lines) >= 12
    assert all(line.decode().isprintable() for line in log.splitlines())


def test_what_was_ingested_is_in_the_audit_when_the_service_has_stopped(running: Running) -> None:
    """One sum, and what the registry and access say of before."""
    for _ in range(5):
        assert running.push(CANARY) == 200
    running.kill(signal.SIGTERM)
    entries = DeltaAuditLog(str(running.store)).newest(100)
    assert [e.records for e in entries if e.action == "ingested"] == [5]
    assert {e.action for e in entries} == {
        "created workspace",
        "created service account",
        "granted role",
        "ingested",
    }
    audited = b"".join(file.read_bytes() for file in (running.store / "audit").rglob("*.parquet"))
    assert CANARY.encode() not in audited


def test_deactivation_bites_within_five_seconds(running: Running) -> None:
    """In a running service, on a connection that is open; activation works as fast."""
    connection = running.connect()
    assert running.push("u", connection) == 200
    for is_active, status in ((False, 401), (True, 200)):
        state = running.access.latest()
        accounts = tuple(msgspec.structs.replace(one, active=is_active) for one in state.accounts)
        running.access.commit(
            msgspec.structs.replace(state, version=state.version + 1, accounts=accounts)
        )
        began = time.monotonic()
        wait_for(lambda wanted=status: _status(running, connection) == wanted, "the new state")
        assert time.monotonic() - began < 5


def _status(running: Running, connection: http.client.HTTPConnection) -> int:
    return running.push("u", connection)


def test_metrics_of_a_running_service(running: Running) -> None:
    """The worker's own: commits, records, and that Redis holds all that was logged."""
    assert running.push("u") == 200
    connection = running.connect()
    headers = {"Authorization": f"Tecton-key {running.key}"}
    connection.request("GET", "/api/v1/observability/metrics", headers=headers)
    text = connection.getresponse().read().decode()
    workspace = 'workspace="ingestapi-live"'
    source = 'push_source_name="impressions_event_source"'
    for line in (
        f"tecton_commit_seconds_count{{{workspace}}} 1.0",
        f"tecton_ingest_records_total{{{source},{workspace}}} 1.0",
        'tecton_http_requests_total{endpoint="/ingest",status="200"} 1.0',
        "tecton_replay_is_complete 1.0",
        "# EOF",
    ):
        assert line in text.splitlines()
