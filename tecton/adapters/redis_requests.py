"""
`stores.RequestStore` on Redis: idempotency keys and token buckets, shared by all processes.

Key spaces: `tecton:i:` idempotency keys, `tecton:r:` rates. A request that is refused changes no
key that holds features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from tecton.adapters.redis_client import answer, connect, script
from tecton.stores import Bucket, Claim

ATTEMPT_MS = 60_000
"""When the lock of a dead process ends (contract §3)."""

ANSWER_MS = 24 * 3_600_000
"""How long an answer is repeated (contract §3)."""


class RedisRequestStore:
    """What is remembered of requests, on one Redis server."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._claim = script(client, "claim")
        self._settle = script(client, "settle")
        self._spend = script(client, "spend")

    @classmethod
    def connect(cls, url: str) -> RedisRequestStore:
        """A store on the server at *url*; connects lazily."""
        return cls(connect(url))

    def claim(self, name: str, digest: str, token: str) -> Claim:
        """Begin the request that *name* stands for, or tell what is known of it."""
        arguments: list[Any] = [digest, token, ATTEMPT_MS]
        found = answer(lambda: self._claim(keys=[_idempotency(name)], args=arguments))
        return Claim(found[0].decode(), found[1] if len(found) > 1 else None)

    def settle(self, name: str, token: str, body: bytes | None) -> None:
        """End an attempt with the answer to repeat, or with none."""
        arguments: list[Any] = [token, body or b"", ANSWER_MS]
        answer(lambda: self._settle(keys=[_idempotency(name)], args=arguments))

    def spend(self, account: str, buckets: Sequence[Bucket]) -> float:
        """Take tokens from all buckets, or tell in how many seconds they will suffice."""
        keys = [f"tecton:r:{{{account}}}:{bucket.name}" for bucket in buckets]
        arguments = [n for bucket in buckets for n in (bucket.rate, bucket.size, bucket.taken)]
        return int(answer(lambda: self._spend(keys=keys, args=arguments))) / 1000


def _idempotency(name: str) -> str:
    return f"tecton:i:{name}"
