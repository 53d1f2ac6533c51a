"""
A Redis cluster: commands to the nodes that have their slots, wherever those are just now.

The driver says which node has which slot and connects. Sending is done here: to all nodes at
once, and never again after a time-out (the driver would send each command of a pipeline again,
one after the other, and hold all threads while it looks for the nodes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock, Thread
from time import sleep
from typing import Any

import redis
from redis.cluster import ClusterNode
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tecton.adapters.redis_commands import Command, RedisClient
from tecton.adapters.redis_keys import CLUSTER_BUCKETS, Buckets, slot_of_key

REDIRECTIONS = 8
"""How often one command follows its key from node to node."""

_PAUSE_SECONDS = 0.05


class ClusterRedis(RedisClient):
    """A Redis cluster.

    Args:
        connect: Finds the cluster's nodes.
        retry: When commands are sent again.
        patience: Seconds that a call waits for the nodes to be found.
    """

    def __init__(
        self, connect: Callable[[], redis.RedisCluster], retry: Retry, patience: float
    ) -> None:
        self.buckets = Buckets(CLUSTER_BUCKETS)
        self._connect = connect
        self._retry = retry
        self._patience = patience
        self._nodes: redis.RedisCluster | None = None
        self._finding = Lock()
        self._is_stale = False

    @property
    def driver(self) -> redis.RedisCluster:
        """The driver's client."""
        if self._nodes is None:
            if not self._finding.acquire(timeout=self._patience):
                raise RedisTimeoutError("no node of the cluster answers")
            try:
                self._nodes = self._nodes or self._connect()
            finally:
                self._finding.release()
        return self._nodes

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands, in one round trip for each node."""
        if self._is_stale:
            self._find_again()
        answers: list[Any] = self._retry.call_with_retry(
            lambda: self._send(commands), lambda _: self._find_again()
        )
        for number, answer in enumerate(answers):
            if isinstance(answer, AskError | TryAgainError):
                answers[number] = self._pursue(commands[number])
            elif isinstance(answer, ClusterDownError):
                self._is_stale = True
        return answers

    def exchange_whole(self, command: Command) -> Any:
        """Send one command with its script's whole text."""
        return self._follow(command)

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        """The answers of the nodes that should have the slots."""
        nodes: dict[str, ClusterNode] = {}
        parts: dict[str, list[int]] = {}
        for number, command in enumerate(commands):
            node = self._node_of(command)
            nodes[node.name] = node
            parts.setdefault(node.name, []).append(number)
        answers: list[Any] = [None] * len(commands)
        with ExitStack() as stack:
            connections = [
                (stack.enter_context(self._connection(nodes[name])), numbers)
                for name, numbers in parts.items()
            ]
            for connection, numbers in connections:
                _write(connection, [commands[number].short for number in numbers])
            for connection, numbers in connections:
                for number in numbers:
                    answers[number] = _read(connection)
        return answers

    def _pursue(self, command: Command) -> Any:
        """The answer to a command whose keys are not, or not all, where they were."""
        # The slot has moved or is moving.
        self._is_stale = True
        try:
            if command.singly is None:
                return self._follow(command)
            return command.singly(self._follow)
        except (RedisError, RedisClusterException) as exc:
            return exc

    def _follow(self, command: Command) -> Any:
        """
        The answer to one command, from whichever node has its key now.

        Raises:
            RedisError: What that node answered, or nobody could be found.
        """
        node, is_asking = self._node_of(command), False
        for _ in range(REDIRECTIONS):
            with self._connection(node) as connection:
                sent = [("ASKING",), command.whole] if is_asking else [command.whole]
                _write(connection, sent)
                answer = [_read(connection) for _ in sent][-1]
            if isinstance(answer, AskError):
                is_asking = not isinstance(answer, MovedError)
                node = self._node_at(answer.host or node.host, answer.port)
            elif isinstance(answer, TryAgainError):
                sleep(_PAUSE_SECONDS)
            elif isinstance(answer, Exception):
                raise answer
            else:
                return answer
        raise TryAgainError("its key is moving from node to node")

    def _node_of(self, command: Command) -> ClusterNode:
        return self.driver.nodes_manager.get_node_from_slot(slot_of_key(command.key))

    def _node_at(self, host: str, port: int) -> ClusterNode:
        # A node to which the first slot is moving is in no list yet.
        name = f"{host}:{port}"
        return self.driver.nodes_manager.nodes_cache.get(name) or node_at(host, port)

    @contextmanager
    def _connection(self, node: ClusterNode) -> Iterator[Any]:
        pool = self.driver.get_redis_connection(node).connection_pool
        with self._watched():
            connection: Any = pool.get_connection()
        try:
            with self._watched():
                yield connection
        except BaseException:
            # It may hold answers that nobody has read.
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """After a time-out the nodes are asked again: another may have the slots by then."""
        try:
            yield
        except RedisTimeoutError:
            self._is_stale = True
            raise

    def _find_again(self) -> None:
        """Ask which node has which slot, unless somebody is; nodes may keep one waiting."""
        if self._finding.acquire(blocking=False):
            finder = Thread(target=self._find, name="redis nodes", daemon=True)
            finder.start()
            finder.join(self._patience)

    def _find(self) -> None:
        try:
            self._is_stale = False
            if self._nodes is not None:
                self._nodes.nodes_manager.initialize()
        except (RedisError, RedisClusterException):
            self._is_stale = True
            # All nodes may have new addresses.
            self._nodes = self._connected() or self._nodes
        finally:
            self._finding.release()

    def _connected(self) -> redis.RedisCluster | None:
        try:
            return self._connect()
        except (RedisError, RedisClusterException):
            return None


def node_at(host: str | None, port: int) -> ClusterNode:
    """The driver's name for a server of a cluster."""
    # The driver's constructor has no types; whoever calls this has.
    node: ClusterNode = ClusterNode(host, port)  # type: ignore[no-untyped-call]
    return node


def _write(connection: Any, commands: Sequence[tuple[Any, ...]]) -> None:
    connection.send_packed_command(connection.pack_commands(commands))


def _read(connection: Any) -> Any:
    """The next answer, an error too; raises if there can be none."""
    try:
        return connection.read_response()
    except ResponseError as exc:
        return exc
