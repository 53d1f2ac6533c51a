"""The kinds of Redis that the stores are tested on, as fixtures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.redis_servers import RedisClusterServers, RedisServer

ROOT = Path(__file__).parents[1]
PASSWORD = "correct-horse"
KINDS = ("single", "cluster", "single, restricted", "cluster, restricted")


class Place:
    """Where a store is tested: a Redis that the tests can look into.

    Args:
        redis: Its servers.
        is_restricted: Stores may only do what docs/redis.md allows them.
    """

    def __init__(
        self, redis: RedisServer | RedisClusterServers, is_restricted: bool = False
    ) -> None:
        self.redis = redis
        self.url = redis.url
        if is_restricted:
            self.url = redis.url.replace("://", f"://tecton:{quote(PASSWORD)}@")
            for server in redis.servers:
                with server.admin as client:
                    client.execute_command(*acl_words())

    def flush(self) -> None:
        """Empty it."""
        for server in self.redis.servers:
            with server.admin as client:
                client.flushall()

    def keys(self, pattern: str = "*") -> list[bytes]:
        """The keys that are there."""
        found: list[bytes] = []
        for server in self.redis.servers:
            with server.admin as client:
                found += client.keys(pattern)
        return found


def acl_words(password: str = PASSWORD) -> list[str]:
    """The words of the `ACL SETUSER` that docs/redis.md tells people to type."""
    text = (ROOT / "docs" / "redis.md").read_text("utf-8")
    found = re.search(r"^ACL SETUSER tecton .*$", text, re.M)
    assert found is not None
    return [f">{password}" if word == ">PASSWORD" else word for word in found[0].split(" ")]


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
