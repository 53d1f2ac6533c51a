"""Every test here runs on each implementation of a port, and on each kind of Redis."""

from __future__ import annotations

from tests.fixtures import redis_online, redis_url
from tests.redis_places import place, redis_cluster, redis_server

__all__ = ["place", "redis_cluster", "redis_online", "redis_server", "redis_url"]
