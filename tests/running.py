"""`python -m ingest_api` as a process of its own, for the tests that need a real one."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import msgspec

from tecton.access import Grant, ServiceAccount, new_key
from tecton.adapters.documents import DocumentAccess, DocumentRegistry, Documents
from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import WorkspaceState
from tecton.bootstrap import Backend
from tecton.settings import Settings
from tecton.testing import build_state
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What the condition answers once it is true."""
    deadline = time.monotonic() + patience
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}"
        time.sleep(0.02)
    return answer


class Running:
    """A store with the documentation's workspace or others, and a service process on it."""

    def __init__(self, folder: Path, *states: WorkspaceState) -> None:
        self.store = folder / "store"
        states = states or (build_state(name="ingestapi-live"),)
        self.state = states[0]
        documents = Documents(str(self.store))
        self.registry = DocumentRegistry(documents)
        for state in states:
            self.registry.commit(state)
        self.access = DocumentAccess(documents)
        self.key = self.account("admin")
        self.redis = EmbeddedRedis(str(self.store))
        self.online = RedisOnlineStore.connect(self.redis.start())
        self.online.mark_loaded([v.id for state in states for v in state.views if v.online])
        self.port = free_port()
        self.variables: dict[str, str] = {}
        self.output: IO[bytes] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def account(self, role: str | None, workspace_id: str | None = None) -> str:
        """A new service account's API key."""
        made, now = new_key(), datetime.now(timezone.utc)
        account = ServiceAccount(
            id=made.account_id, name="e2e", secret_sha256=made.secret_sha256, created_at=now
        )
        granted = (Grant(made.account_id, role, workspace_id),) if role else ()
        state = self.access.latest()
        self.access.commit(
            msgspec.structs.replace(
                state,
                version=state.version + 1,
                accounts=(*state.accounts, account),
                grants=(*state.grants, *granted),
            )
        )
        return made.api_key

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ingest_api", "--port", str(self.port), *options],
            cwd=ROOT,
            env={**os.environ, "TECTON_STORE": str(self.store), **self.variables},
            stdout=self.output or subprocess.DEVNULL,
            stderr=self.output,
            start_new_session=True,
        )
        if not options:
            wait_for(lambda: self.get("/readyz") == 200, "the service")

    def kill(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)
        self.process.wait(PATIENCE)
        wait_for(lambda: self.get("/livez") is None, "the port to be free")

    def get(self, path: str) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def post(
        self, path: str, body: Any, connection: http.client.HTTPConnection | None = None
    ) -> tuple[int, Any]:
        connection = connection or self.connect()
        headers = {"Authorization": f"Tecton-key {self.key}"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def push(self, user: str, connection: http.client.HTTPConnection | None = None) -> int:
        return self.post("/ingest", self.body(user), connection)[0]

    def body(self, user: str, source: str = "impressions_event_source") -> Any:
        stamp = datetime.now(timezone.utc).isoformat()
        record = {"user_id": user, "timestamp": stamp, "clicked": 1}
        listed = {source: [{"record": record}]}
        return {"workspace_name": "ingestapi-live", "dry_run": False, "records": listed}

    def value(self, user: str) -> Any:
        params = {
            "workspace_name": "ingestapi-live",
            "feature_service_name": "ad_ctr_feature_service",
            "join_key_map": {"user_id": user},
        }
        status, body = self.post("/api/v1/feature-service/get-features", {"params": params})
        assert status == 200, body
        return body["result"]["features"][0]

    def logged(self) -> list[dict[str, Any]]:
        """Every record in the push table; taking the log over fences the service, so do it last."""
        backend = Backend(Settings(store=str(self.store), redis_url=self.redis.url))
        log = backend.open_push_log(self.state, 0)
        return [msgspec.json.decode(e.record) for batch in log.read_after(0) for e in batch]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill(signal.SIGKILL)
        self.redis.stop()
