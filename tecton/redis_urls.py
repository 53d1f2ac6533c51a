"""
How a URL names one Redis server, or several nodes of a cluster.
"""

from __future__ import annotations

import re

_CLUSTER = re.compile(r"(rediss?)\+cluster://([^/?#]*)(.*)", re.DOTALL)


def node_urls(url: str) -> list[str]:
    """
    The URL of each server that *url* names.

    Args:
        url: `redis+cluster://login@a:1,b:2/?option=1`, or with `rediss` for TLS: nodes of a
            cluster, all with the same login and options. Anything else is one server.
    """
    parts = _CLUSTER.fullmatch(url)
    if parts is None:
        return [url]
    scheme, place, rest = parts.groups()
    login, at, hosts = place.rpartition("@")
    return [f"{scheme}://{login}{at}{host}{rest}" for host in hosts.split(",")]
