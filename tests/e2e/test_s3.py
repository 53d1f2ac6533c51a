"""Services on several hosts: what they share is a store on S3, or a folder, and Redis."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tecton.adapters.documents import DocumentAccess, DocumentRegistry, Documents
from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import WorkspaceState, push_path
from tecton.bootstrap import Backend
from tecton.settings import Settings
from tecton.stores import BACKFILL, Lease, LogEntry, Run
from tecton.testing import build_state
from tecton.timestamps import format_micros, micros_of
from tests.cli_fixtures import Cli, cli
from tests.ports import free_port
from tests.running import Running, wait_for
from tests.s3 import S3, s3

__all__ = ["cli"]

USERS = [f"user{number}" for number in range(20)]


class Place:
    """A store and a Redis, for hosts that share nothing else."""

    def __init__(self, folder: Path, store: str, state: WorkspaceState) -> None:
        self.folder, self.store, self.state = folder, store, state
        self.redis = EmbeddedRedis(str(folder / "redis"))
        self.settings = Settings(store=store, redis_url=self.redis.start())
        self.backend = Backend(self.settings)
        self.hosts: list[Host] = []

    def host(self) -> Host:
        """A further host, whose service is not started."""
        self.hosts.append(Host(self, self.folder / f"host{len(self.hosts)}"))
        return self.hosts[-1]

    def writers(self) -> list[str]:
        """The slots that were ever written."""
        return list(Documents(self.store).folders(push_path(self.state)))

    def logged(self) -> list[str]:
        """The users of all records in all push tables."""
        tables = self.backend.push_tables
        return [
            msgspec.json.decode(entry.record)["user_id"]
            for writer in self.writers()
            for batch in tables.read_after(self.state, writer, 0)
            for entry in batch
        ]

    def close(self) -> None:
        for host in self.hosts:
            if host.process is not None and host.process.poll() is None:
                host.kill(signal.SIGKILL)
        self.backend.checkpointer.close()
        self.redis.stop()


class Host(Running):
    """A service with a folder for its own locks, as each host or container has."""

    def __init__(self, place: Place, folder: Path) -> None:
        folder.mkdir()
        self.store = place.store  # type: ignore[assignment]  # a URI, not a folder
        self.state = place.state
        self.registry = DocumentRegistry(Documents(place.store))
        self.access = DocumentAccess(Documents(place.store))
        self.key = self.account("admin")
        self.redis, self.online = place.redis, RedisOnlineStore.connect(place.redis.url)
        self.port = free_port()
        self.variables = {"TECTON_REDIS_URL": place.redis.url, "TMPDIR": str(folder)}
        self.output = None
        self.process: subprocess.Popen[bytes] | None = None


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """A server of S3, whose puts take a while, as they do."""
    with s3(put_seconds=0.03) as running:
        yield running


@pytest.fixture
def on_s3(server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Place]:
    """Makes a store of a workspace on S3; every process is told of it by the usual variables."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return lambda state: Place(tmp_path, f"{server.store}/{tmp_path.name}", state)


@pytest.fixture(params=["s3", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The documentation's workspace."""
    state = build_state(name="ingestapi-live")
    if request.param == "s3":
        place: Place = request.getfixturevalue("on_s3")(state)
    else:
        place = Place(tmp_path, str(tmp_path / "store"), state)
    try:
        place.backend.registry.commit(state)
        place.backend.online.mark_loaded([view.online_id for view in state.views])
        yield place
    finally:
        place.close()


def test_hosts_share_the_work(place: Place) -> None:
    """With the same settings each writes a table of its own, and serves what the others take."""
    first, second = place.host(), place.host()
    first.start()
    second.start()
    with ThreadPoolExecutor(4) as clients:
        hosts = [first, second] * (len(USERS) // 2)
        statuses = clients.map(lambda host, user: host.push(user), hosts, USERS)
        assert set(statuses) == {200}
    for host in (first, second):
        assert {host.value(user) for user in USERS} == {"1"}
    assert place.writers() == ["0", "1"]
    assert sorted(place.logged()) == sorted(USERS)


def test_tail_of_a_host_that_is_gone_is_served_by_another(place: Place) -> None:
    """Killed between its log and Redis; the other one needs no more than seconds."""
    host = place.host()
    host.start()
    now = datetime.now(timezone.utc)
    crashed = place.backend.open_push_log(place.state, 7)
    record = {"user_id": "tail", "timestamp": format_micros(micros_of(now)), "clicked": 1}
    entry = LogEntry(place.state.sources[0].id, micros_of(now), 1, 1, msgspec.json.encode(record))
    crashed.append([entry], now)
    began = datetime.now(timezone.utc)
    wait_for(lambda: host.value("tail") == "1", "the record to be served")
    assert datetime.now(timezone.utc) - began < timedelta(seconds=10)


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_process_that_takes_a_slot_fences_off_the_one_before(place: Place) -> None:
    """As when Redis has lost all claims, and nobody knows who writes what: no request fails."""
    first = place.host()
    first.start()
    assert first.push("before") == 200
    place.backend.online.client.delete(*place.backend.online.client.keys("tecton:o:*"))
    second = place.host()
    second.start()
    assert second.push("taken over") == 200
    assert first.push("moved on") == 200
    assert second.push("goes on") == 200
    assert place.writers() == ["0", "1"]
    users = ["before", "taken over", "moved on", "goes on"]
    assert sorted(place.logged()) == sorted(users)
    for host in (first, second):
        assert {host.value(user) for user in users} == {"1"}


def loaded_by_a_job(place: Place) -> None:
    """As the backfill does when it has ended."""
    (view,), now = place.state.views, datetime.now(timezone.utc)
    place.backend.online.mark_loaded([view.online_id])
    run = Run(place.state.folder, view.name, view.id, BACKFILL, now, now, now, now, "")
    place.backend.runs.record(run)
    assert [run.view for run in place.backend.runs.of(place.state.folder)] == [view.name]


def features(host: Host, user: str) -> tuple[int, Any]:
    """Status and body of get-features."""
    params = {
        "workspace_name": "ingestapi-live",
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": user},
    }
    return host.post("/api/v1/feature-service/get-features", {"params": params})


def claim_and_erase(place: Place) -> None:
    """What jobs and the command line keep in documents."""
    claims, erasures = place.backend.claims, place.backend.erasures
    folder, now = place.state.folder, datetime.now(timezone.utc)
    claims.keep(folder, Lease("a", now + timedelta(minutes=1), "a test"))
    assert claims.take(folder, "job", "a", now) is None
    assert claims.take(folder, "job", "b", now) == "a"
    claims.release(folder, "job", "a")
    assert claims.take(folder, "job", "b", now) is None
    assert claims.forget(folder, now + timedelta(days=1)) > 0
    (view,) = place.state.views
    erasures.add(place.state, view, [[USERS[0]]], 1, online=True, offline=True)
    assert erasures.of(place.state, view).offline


def test_store_on_s3_from_apply_to_features(
    on_s3: Callable[[Any], Place], cli: Cli, server: S3
) -> None:
    """Apply, ingest, kill -9, an emptied Redis, start again: what was acknowledged is served."""
    place = on_s3(build_state(name="ingestapi-live"))
    try:
        cli.environ |= {
            "TECTON_STORE": place.store,
            "TECTON_REDIS_URL": place.redis.url,
            **{name: os.environ[name] for name in server.environ},
        }
        cli.ok("workspace", "create", "ingestapi-live", "--live")
        names = {"impressions": "impressions_event_source", "svc": "ad_ctr_feature_service"}
        cli.change("definitions.py", {f'"{old}"': f'"{new}"' for old, new in names.items()})
        cli.ok("apply", "-y")
        assert "1 view" in cli.ok("log", "-w", "ingestapi-live")
        found = place.backend.registry.latest("ingestapi-live")
        assert found is not None
        place.state = found
        loaded_by_a_job(place)
        host = place.host()
        host.start()
        with ThreadPoolExecutor(8) as clients:
            assert set(clients.map(host.push, USERS)) == {200}
        host.kill(signal.SIGKILL)
        place.backend.online.client.flushall()
        host.start()
        wait_for(lambda: features(host, USERS[0])[0] == 200, "the view to be reloaded")
        assert {host.value(user) for user in USERS} == {"1"}
        assert host.push("later") == 200
        assert sorted(place.logged()) == sorted([*USERS, "later"])
        assert place.writers() == ["0"]
        host.kill(signal.SIGTERM)
        assert "ingested" in cli.ok("audit", "-w", "ingestapi-live")
        claim_and_erase(place)
    finally:
        place.close()
