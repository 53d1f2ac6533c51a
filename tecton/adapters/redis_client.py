"""
Connections to Redis: what a URL means, time-outs, retries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ssl import TLSVersion
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

from tecton.adapters.redis_cluster import ClusterRedis, node_at
from tecton.adapters.redis_commands import Command, RedisClient
from tecton.adapters.redis_keys import ONE_BUCKET, Buckets
from tecton.errors import SettingsError
from tecton.redis_urls import node_urls

TIMEOUT_SECONDS = 5.0
MAX_TIMEOUT_SECONDS = 3600.0

MAX_CONNECTIONS = 10_000
"""A thread waits for the server, never for a connection."""


def connect(url: str) -> RedisClient:
    """
    A client of the Redis at *url*; connects lazily.

    Args:
        url: `redis://`, `rediss://` or `unix://`; of a cluster `redis+cluster://` or
            `rediss+cluster://` with any of its nodes, parted by commas.

    Raises:
        SettingsError: The URL has an option that the driver does not know or cannot read.
    """
    # Every command of ours may be sent twice. After a time-out it is not: whoever waits has
    # waited long enough.
    retry = Retry(
        ExponentialBackoff(cap=0.2, base=0.02), 2, supported_errors=(RedisConnectionError,)
    )
    urls = node_urls(url)
    pools = [_pool(node_url) for node_url in urls]
    if urls == [url]:
        return SingleRedis(pools[0], retry)
    if any(pool.connection_kwargs.get("db") for pool in pools):
        raise SettingsError("TECTON_REDIS_URL names a database; a Redis cluster has only one")
    return ClusterRedis(lambda: _cluster(urls), retry, TIMEOUT_SECONDS)


class SingleRedis(RedisClient):
    """A Redis of one server, or of one that others follow.

    Args:
        pool: Connects to it.
        retry: When commands are sent again.
    """

    def __init__(self, pool: redis.ConnectionPool, retry: Retry) -> None:
        self.buckets = Buckets(ONE_BUCKET)
        pool.connection_kwargs["retry"] = retry
        self._driver = redis.Redis(connection_pool=pool)

    @property
    def driver(self) -> redis.Redis:
        """The driver's client."""
        return self._driver

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one round trip."""
        # The driver's errors of a pipeline quote the command, so a record's content: no raising.
        pipeline: Any = self._driver.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.short)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        if any(isinstance(answer, ReadOnlyError) for answer in answers):
            # Another server has this name now: look it up again.
            self._driver.connection_pool.disconnect(inuse_connections=False)
        return answers

    def exchange_whole(self, command: Command) -> Any:
        """Send one command with its script's whole text."""
        driver: Any = self._driver
        return driver.execute_command(*command.whole)


def _pool(url: str) -> redis.ConnectionPool:
    """Connects to one server; what its URL says is checked at once."""
    try:
        pool = redis.ConnectionPool.from_url(url, **_options(url))
        _check(pool.connection_kwargs)
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, redis.RedisError) as exc:
        # The driver's message may quote the URL, so a password: only an option's name is shown.
        names = parse_qs(urlsplit(url).query)
        seen = next((name for name in re.findall(r"'(\w+)'", str(exc)) if name in names), None)
        what = f"the option {seen}" if seen else "an option"
        raise SettingsError(
            f"TECTON_REDIS_URL has {what} that is not known or has a wrong value; docs/redis.md "
            "lists those of use"
        ) from None
    return pool


def _check(options: Mapping[str, Any]) -> None:
    """
    Refuse what the driver would take, and stumble over in the middle of a request.

    Raises:
        ValueError: An option, named as the driver does it.
    """
    for name in ("socket_timeout", "socket_connect_timeout"):
        if not 0 < options[name] <= MAX_TIMEOUT_SECONDS:
            raise ValueError(f"'{name}'")
    if options.get("decode_responses"):
        raise ValueError("'decode_responses': rows are no text")
    if options.get("encoding", "utf-8").lower() not in ("utf-8", "utf8"):
        raise ValueError("'encoding'")
    if options.get("ssl_min_version") is not None:
        TLSVersion(options["ssl_min_version"])


def _cluster(urls: Sequence[str]) -> redis.RedisCluster:
    """The driver's client of a cluster; connects."""
    places = [urlsplit(url) for url in urls]
    return redis.RedisCluster(
        startup_nodes=[node_at(place.hostname, place.port or 6379) for place in places],
        url=urls[0],
        # Its own retries would be on top of ours.
        retry=Retry(NoBackoff(), 0),
        # What has no node answers an error by itself; the rest goes on.
        require_full_coverage=False,
        **_options(urls[0]),
    )


def _options(url: str) -> dict[str, Any]:
    """What the driver is told beside the URL, whose own options win."""
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "max_connections": MAX_CONNECTIONS,
        "protocol": 2,
    }
    if url.startswith("rediss://"):
        options["ssl_check_hostname"] = True
    return options
