"""
`slots.SlotClaims` on Redis, which all hosts of a store share: keys that end if nobody renews them.

Time is Redis's alone, so clocks that differ do no harm. What is lost with an emptied Redis is there
again with the next renewal; until then the epochs of the push logs keep two processes apart.
"""

from __future__ import annotations

from tecton.adapters.redis_client import connect
from tecton.adapters.redis_commands import RedisClient, Script
from tecton.adapters.redis_keys import claim_key

CLAIM_MS = 20_000
"""How long a process that has ended, or hangs, keeps others from its slots."""

_HOLD = Script.load("hold")


class RedisSlotClaims:
    """Which process of any host writes which push log, on Redis, one server or a cluster."""

    def __init__(self, redis: RedisClient, claim_ms: int = CLAIM_MS) -> None:
        self._redis = redis
        self._claim_ms = claim_ms

    @classmethod
    def connect(cls, url: str) -> RedisSlotClaims:
        """Claims on the Redis at *url* (see `redis_client.connect`); connects lazily."""
        return cls(connect(url))

    def hold(self, log: str, owner: str) -> bool:
        """Claim a push log, or renew the claim; False if another holds it."""
        return bool(self._redis.ask(_HOLD.on([claim_key(log)], owner, self._claim_ms)))

    def let_go(self, log: str, owner: str) -> None:
        """Give a claim up; does nothing if it is another's."""
        self._redis.ask(_HOLD.on([claim_key(log)], owner, 0))
