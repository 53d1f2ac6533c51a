"""The service on the kinds of Redis that production has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tecton.adapters.redis_keys import CLUSTER_BUCKETS, slot_of
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.bootstrap import Backend
from tecton.settings import Settings
from tecton.stores import BACKFILL, Run
from tests.ports import free_port
from tests.redis_places import Place, redis_cluster, redis_server
from tests.redis_servers import RedisClusterServers, RedisServer
from tests.running import PATIENCE, ROOT, Running, wait_for

__all__ = ["redis_cluster", "redis_server"]

USERS = [f"user{number}" for number in range(12)]


class Placed(Running):
    """A service whose Redis is elsewhere."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.redis.stop()
        self.url = url
        self.online = RedisOnlineStore.connect(url)
        self.variables["TECTON_REDIS_URL"] = url

    def load(self) -> None:
        """As the backfill does."""
        self.online.mark_loaded([view.id for view in self.state.views])
        view, now = self.state.views[0], datetime.now(timezone.utc)
        run = Run(self.state.folder, view.name, view.id, BACKFILL, now, now, now, now, "")
        Backend(Settings(store=str(self.store), redis_url=self.url)).runs.record(run)

    def answer(self, user: str) -> tuple[int, Any]:
        """Status and body of get-features."""
        params = {
            "workspace_name": "ingestapi-live",
            "feature_service_name": "ad_ctr_feature_service",
            "join_key_map": {"user_id": user},
        }
        return self.post("/api/v1/feature-service/get-features", {"params": params})


Serve = Callable[[str], Placed]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Makes a service on a Redis, which is not started yet."""
    made: list[Placed] = []

    def make(url: str) -> Placed:
        made.append(Placed(tmp_path, url))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture(params=["redis_server", "redis_cluster"])
def place(request: pytest.FixtureRequest) -> Place:
    """As production has it: a user who may do little."""
    place = Place(request.getfixturevalue(request.param), is_restricted=True)
    place.flush()
    return place


def test_record_is_read_as_soon_as_it_is_taken(serve: Serve, place: Place) -> None:
    """Whatever its key; and by the service that is started after a crash."""
    service = serve(place.url)
    service.load()
    service.start()
    for user in USERS:
        assert service.value(user) is None
        assert service.push(user) == 200
        assert service.value(user) == "1"
    service.kill(signal.SIGKILL)
    service.start()
    assert [service.value(user) for user in USERS] == ["1"] * len(USERS)


def test_emptied_node_is_filled_again(serve: Serve, redis_cluster: RedisClusterServers) -> None:
    """Without a request: 503 or the right answer meanwhile, never a missing one."""
    place = Place(redis_cluster)
    place.flush()
    service = serve(place.url)
    service.load()
    service.start()
    assert [service.push(user) for user in USERS] == [200] * len(USERS)
    with redis_cluster.servers[1].admin as client:
        client.flushall()
    seen = []

    def is_whole() -> bool:
        answers = [service.answer(user) for user in USERS]
        seen.extend(answers)
        return all(status == 200 for status, _ in answers)

    assert not is_whole()
    wait_for(is_whole, "the node to be filled")
    assert {status for status, _ in seen} == {200, 503}
    assert all(body["result"]["features"] == ["1"] for status, body in seen if status == 200)
    assert service.push("after") == 200
    assert service.value("after") == "1"


def test_slots_move_under_a_service(serve: Serve, redis_cluster: RedisClusterServers) -> None:
    """Nobody notices."""
    place = Place(redis_cluster)
    place.flush()
    service = serve(place.url)
    service.load()
    service.start()
    for number, user in enumerate(USERS):
        slot = slot_of(CLUSTER_BUCKETS[5 * number])
        target = redis_cluster.begin_move(slot)
        assert service.push(user) == 200
        redis_cluster.move_keys(slot, target)
        assert service.value(user) == "1"
        redis_cluster.end_move(slot, target)
        assert service.push(user) == 200
    assert [service.value(user) for user in USERS] == ["1"] * len(USERS)


def test_wrong_password_is_unavailable(serve: Serve, tmp_path: Path) -> None:
    """The service runs, says 503, and its log says why without the password."""
    server = RedisServer("--requirepass", "swordfish")
    try:
        service = serve(f"redis://:marlin@127.0.0.1:{server.port}")
        with (tmp_path / "log").open("wb") as log:
            service.output = log
            service.start("--host", "127.0.0.1")
            wait_for(lambda: service.get("/livez") == 200, "the service")
            status, body = service.post("/ingest", service.body("u"))
            assert (status, body["requestError"]["errorType"]) == (503, "ServiceUnavailableError")
            assert service.answer("u")[0] == 503
            assert service.get("/readyz") == 503
            service.kill(signal.SIGTERM)
        said = (tmp_path / "log").read_text()
        assert "refuses the user or password" in said
        assert "marlin" not in said + str(body)
    finally:
        server.remove()


def test_wrong_option_ends_the_service_at_once(tmp_path: Path) -> None:
    """With one line that names it, and not the password."""
    url = "redis://:marlin@127.0.0.1:1?swordfish=7"
    answer = subprocess.run(
        [sys.executable, "-m", "ingest_api", "--port", str(free_port())],
        cwd=ROOT,
        env={**os.environ, "TECTON_STORE": str(tmp_path), "TECTON_REDIS_URL": url},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    said = answer.stderr.decode()
    assert (answer.returncode, said.count("\n")) == (1, 1)
    assert "the option swordfish" in said
    assert "marlin" not in said
