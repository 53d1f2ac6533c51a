"""
`stores.RequestStore` on Redis: idempotency keys and token buckets, shared by all processes.

A request that is refused changes no key that holds features.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from tecton.adapters.redis_client import connect
from tecton.adapters.redis_commands import RedisClient, Script
from tecton.adapters.redis_keys import idempotency_key, rate_key
from tecton.stores import Bucket, Claim

ATTEMPT_MS = 60_000
"""When the lock of a dead process ends (contract §3)."""

ANSWER_MS = 24 * 3_600_000
"""How long an answer is repeated (contract §3)."""


PAYMENT_MS = 30_000
"""How long a payment is remembered, so that it is not taken twice: longer than any retry takes."""

_CLAIM, _SETTLE, _SPEND = map(Script.load, ("claim", "settle", "spend"))


class RedisRequestStore:
    """What is remembered of requests, on Redis, one server or a cluster."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    @classmethod
    def connect(cls, url: str) -> RedisRequestStore:
        """A store on the Redis at *url* (see `redis_client.connect`); connects lazily."""
        return cls(connect(url))

    def claim(self, name: str, digest: str, token: str) -> Claim:
        """Begin the request that *name* stands for, or tell what is known of it."""
        claim = _CLAIM.on([idempotency_key(name)], digest, token, ATTEMPT_MS)
        found = self._redis.ask(claim)
        return Claim(found[0].decode(), found[1] if len(found) > 1 else None)

    def settle(self, name: str, token: str, body: bytes | None) -> None:
        """End an attempt with the answer to repeat, or with none."""
        self._redis.ask(_SETTLE.on([idempotency_key(name)], token, body or b"", ANSWER_MS))

    def spend(self, account: str, buckets: Sequence[Bucket]) -> float:
        """Take tokens from all buckets, or tell in how many seconds they will suffice."""
        # No name of a bucket begins so.
        payment = f"#{secrets.token_hex(8)}"
        keys = [rate_key(account, name) for name in (payment, *(b.name for b in buckets))]
        rates = [number for b in buckets for number in (b.rate, b.size, b.taken)]
        return int(self._redis.ask(_SPEND.on(keys, PAYMENT_MS, *rates))) / 1000
