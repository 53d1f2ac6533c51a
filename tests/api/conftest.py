"""A service in this process on real stores: Delta on disk, an embedded Redis, Flask's client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ingest_api.app import create_app
from ingest_api.service import Service
from ingest_api.tally import Tally
from tecton.access import AccessState, Grant, NewKey, ServiceAccount, new_key
from tecton.adapters.documents import DocumentAccess, DocumentRegistry, Documents
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import WorkspaceState
from tecton.bootstrap import Backend
from tecton.catalog import Catalog
from tecton.ingest import Ingest
from tecton.schema import RecordLimits
from tecton.serving import Serving
from tecton.settings import Settings
from tecton.stores import PushLog
from tecton.testing import NOW, FixedClock
from tests.fixtures import files_of, redis_contents, redis_online, redis_url

__all__ = ["redis_online", "redis_url"]

GOLDEN = Path(__file__).parent / "golden"


TODAY = datetime.now(timezone.utc).replace(microsecond=0)
"""The service's clock stands here. Redis has the real one, so tests cannot live in 2023."""


def golden(name: str) -> Any:
    """A body of the documentation, its times moved so that they were yesterday and before."""
    text = (GOLDEN / f"{name}.json").read_text()
    return json.loads(_TIME.sub(lambda match: _moved(match[0]), text))


_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def _moved(text: str) -> str:
    at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return (at + (TODAY - NOW)).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(**before: float) -> str:
    """The RFC 3339 text of a time before (or, if negative, after) the service's clock."""
    return (TODAY - timedelta(**before)).isoformat()


class World:
    """A store with what is applied in it, and the service on it.

    `client` sends requests, `key` is an admin's.
    """

    def __init__(
        self, folder: Path, online: RedisOnlineStore, redis_url: str, **settings: Any
    ) -> None:
        self.folder = folder
        self.online = online
        self.clock = FixedClock(TODAY)
        self.settings = Settings(store=str(folder), redis_url=redis_url, **settings)
        self.backend = Backend(self.settings)
        documents = Documents(str(folder))
        self.registry = DocumentRegistry(documents)
        self.access = DocumentAccess(documents)
        tolerance = self.settings.future_tolerance
        limits = RecordLimits(self.settings.max_key_bytes, self.settings.max_string_bytes)
        registry, access = self.backend.registry, self.backend.access
        self.catalog = Catalog(registry, access, tolerance, limits, online.unloaded)
        self.key = self.account("admin")
        self.restart()

    def restart(self) -> None:
        """Start the service anew on the same stores."""
        if hasattr(self, "ingest"):
            self.ingest.close()
        self.ingest = Ingest(
            self.catalog,
            self.open_log,
            self.online,
            self.clock,
            self.settings.max_queued_records,
            self.backend.functions,
            erasures=self.backend.erasures,
            tables=self.backend.push_tables,
        )
        serving = Serving(self.catalog, self.online)
        self.tally = Tally(self.backend.audit, self.clock)
        service = Service(
            settings=self.settings,
            catalog=self.catalog,
            ingest=self.ingest,
            serving=serving,
            requests=self.backend.requests,
            clock=self.clock,
            is_ready=lambda: True,
            tally=self.tally,
        )
        self.client: FlaskClient = create_app(service).test_client()

    def open_log(self, state: WorkspaceState) -> PushLog:
        """Take over the push log that the service writes."""
        return self.backend.open_push_log(state, self.settings.writer)

    def apply(self, state: WorkspaceState, loaded: bool = True) -> WorkspaceState:
        """Put a workspace's state into force, its views loaded."""
        self.registry.commit(state)
        if loaded:
            self.online.mark_loaded([view.id for view in state.views if view.online])
        self.catalog.refresh()
        return state

    def account(self, role: str | None, workspace_id: str | None = None) -> str:
        """A new service account's API key."""
        made: NewKey = new_key()
        state: AccessState = self.access.latest()
        account = ServiceAccount(
            id=made.account_id, name="test", secret_sha256=made.secret_sha256, created_at=NOW
        )
        granted = (Grant(made.account_id, role, workspace_id),) if role else ()
        self.access.commit(
            msgspec.structs.replace(
                state,
                version=state.version + 1,
                accounts=(*state.accounts, account),
                grants=(*state.grants, *granted),
            )
        )
        self.catalog.refresh()
        return made.api_key

    def post(self, path: str, body: Any, key: str | None = None, **headers: str) -> TestResponse:
        """Send a body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers["Authorization"] = f"Tecton-key {self.key if key is None else key}"
        return self.client.post(path, data=data, headers=headers)

    def send(self, body: Any, key: str | None = None, **headers: str) -> TestResponse:
        """POST /ingest."""
        return self.post("/ingest", body, key, **headers)

    def features(self, body: Any, key: str | None = None) -> TestResponse:
        """POST get-features."""
        return self.post("/api/v1/feature-service/get-features", body, key)

    def contents(self) -> tuple[dict[str, bytes], dict[bytes, object]]:
        """Every byte of every store."""
        return files_of(self.folder), redis_contents(self.online)

    def close(self) -> None:
        """End the service's threads and processes."""
        self.ingest.close()
        self.backend.checkpointer.close()
        self.backend.functions.close()


@pytest.fixture
def world(tmp_path: Path, redis_online: RedisOnlineStore, redis_url: str) -> Iterator[World]:
    """An empty store and a service on it."""
    world = World(tmp_path / "store", redis_online, redis_url)
    yield world
    world.close()
