"""Every test here runs on each implementation of a port."""

from __future__ import annotations

from tests.fixtures import redis_online, redis_url

__all__ = ["redis_online", "redis_url"]
