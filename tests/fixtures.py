"""Fixtures that several folders of tests share: a real Redis, and services in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.redis_online import RedisOnlineStore


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server for the whole run of one folder's tests."""
    server = EmbeddedRedis(str(tmp_path_factory.mktemp("redis-store")))
    yield server.start()
    server.stop()


@pytest.fixture
def redis_online(redis_url: str) -> RedisOnlineStore:
    """An online store on an empty Redis."""
    store = RedisOnlineStore.connect(redis_url)
    store.client.flushall()
    return store


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, the online store's own files aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "redis"
    }


def redis_contents(store: RedisOnlineStore) -> dict[bytes, object]:
    """Every key in Redis with its value, and whether it stays for ever."""
    contents: dict[bytes, object] = {}
    for key in store.client.keys("*"):
        contents[key] = (store.client.dump(key), store.client.pttl(key) == -1)
    return contents
