"""Every test here runs on each implementation of a port, and on each kind of Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures import redis_online, redis_url
from tests.redis_servers import Place, RedisClusterServers, RedisServer

__all__ = ["redis_online", "redis_url"]

KINDS = ("single", "cluster", "single, restricted", "cluster, restricted")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server of one's own."""
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisClusterServers]:
    """Three nodes."""
    cluster = RedisClusterServers()
    yield cluster
    cluster.remove()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    """An empty Redis of each kind."""
    return place_of(request)


def place_of(request: pytest.FixtureRequest) -> Place:
    """An empty Redis of the kind that is asked for."""
    kind, _, restricted = request.param.partition(", ")
    name = "redis_server" if kind == "single" else "redis_cluster"
    place = Place(request.getfixturevalue(name), bool(restricted))
    place.flush()
    return place
