"""
Connections to Redis: timeouts, retries, scripts, and the one place where driver errors are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.commands.core import Script
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from tecton.errors import StoreUnavailable

TIMEOUT_SECONDS = 5.0


def connect(url: str) -> redis.Redis:
    """A client of the server at *url* (`redis://`, `rediss://`, `unix://`); connects lazily."""
    # Every command of ours may be sent twice: scripts compare before they set, a claim knows its
    # own token, and a sequence or token that is taken in vain is missed by nobody. After a
    # time-out it is not sent again: whoever waits has waited long enough.
    retry = Retry(
        ExponentialBackoff(cap=0.2, base=0.02), 2, supported_errors=(RedisConnectionError,)
    )
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=retry,
    )


def script(client: redis.Redis, name: str) -> Script:
    """One of the Lua scripts beside this module."""
    text = files("tecton.adapters").joinpath(f"{name}.lua").read_text()
    return client.register_script(text)


def answer(call: Callable[[], Any]) -> Any:
    """
    What a command answers.

    Raises:
        StoreUnavailable: The driver failed, for whatever reason.
    """
    try:
        return call()
    except RedisError as exc:
        raise StoreUnavailable(f"Redis does not answer: {exc}") from exc
