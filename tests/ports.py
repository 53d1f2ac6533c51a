"""
Ports for the servers of tests, a different one each time.

Those that the kernel gives to whoever asks for any (from 32768 on) could be taken again by another
process of the tests before our server listens, or while it is stopped.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from itertools import cycle

CLUSTER_BUS = 10_000
"""How far a Redis cluster node's second port is above its first."""

_EACH = 2_000
_FIRST = 12_000


def free_port() -> int:
    """A TCP port of this machine that nobody listens on, nor on the one of its cluster bus."""
    return next(port for port in _PORTS if _is_free(port) and _is_free(port + CLUSTER_BUS))


def _ports_of_this_process() -> Iterator[int]:
    """Each process that tests has ports of its own, and begins anywhere among them."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw4").removeprefix("gw")) % 5
    ports = range(_FIRST + worker * _EACH, _FIRST + (worker + 1) * _EACH)
    begin = random.randrange(_EACH)
    return cycle([*ports[begin:], *ports[:begin]])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_PORTS = _ports_of_this_process()
