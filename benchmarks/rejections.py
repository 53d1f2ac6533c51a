"""What a refused request costs the service, beside an accepted one of the same size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import NamedTuple

from benchmarks.running import MEBIBYTE, Service, body_of, post, records, running
from tecton.access import new_key

ROUNDS = 3
CONNECTIONS = 8
"""Requests come from so many clients at once, since then accepted ones share commits: the cheapest
that accepting can be."""

REQUESTS = {1: 1600, 100: 320, 10_000: 16}
"""In a round, by the number of records in each."""


class Kind(NamedTuple):
    """One way to be answered."""

    status: int
    key: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


def main() -> None:
    """Print CPU per request by kind and size, and its ratio to an accepted one's."""
    with running(TECTON_MAX_QUEUED_RECORDS="10000000") as service:
        dearest = 0.0
        for size, count in REQUESTS.items():
            dearest = max(dearest, _measure(service, size, count))
        print(f"dearest refusal (at most 1): {dearest:.2f} of an accepted request")
        if dearest > 1:
            sys.exit("a refusal is dearer than an accepted request of its size")


def _measure(service: Service, size: int, count: int) -> float:
    made = kinds(service, size)
    used = dict.fromkeys(made, 0.0)
    for _ in range(ROUNDS):
        # In turn, so that whatever else the machine does meets all alike.
        for name, kind in made.items():
            used[name] += _cpu(service, kind, count)
    accepted = used["accepted"]
    print(f"{size:,} record(s) a request, {ROUNDS * count:,} requests of each kind:")
    for name, seconds in used.items():
        each = seconds / (ROUNDS * count) * 1e3
        print(f"  {name:34} {each:8.3f} ms CPU, ratio {seconds / accepted:.2f}")
    return max(seconds for name, seconds in used.items() if name != "accepted") / accepted


def kinds(service: Service, size: int) -> Mapping[str, Kind]:
    """A request of so many records that is accepted, and every way to refuse it."""
    good = records(size)
    bad = {**good[-1], "clicked": "1"}
    admin = service.key
    make: dict[str, Callable[[], Kind]] = {
        "accepted": lambda: Kind(200, admin, body_of(good)),
        "no key": lambda: Kind(401, "", body_of(good)),
        "unknown key": lambda: Kind(401, new_key().api_key, body_of(good)),
        "wrong secret": lambda: Kind(401, admin[:-9] + new_key().api_key[-9:], body_of(good)),
        "not JSON (cut short)": lambda: Kind(400, admin, body_of(good)[:-1]),
        "deeply nested": lambda: Kind(400, admin, b"[" * len(body_of(good))),
        "no dry_run": lambda: Kind(400, admin, body_of(good, dry_run=None)),
        "unknown workspace": lambda: Kind(404, admin, body_of(good, workspace_name="nobody")),
        "unknown source": lambda: Kind(
            404, admin, body_of(good).replace(b"impressions", b"x" * 11)
        ),
        "wrong role": lambda: Kind(403, service.viewer, body_of(good)),
        "last record bad": lambda: Kind(400, admin, body_of([*good[:-1], bad])),
        "every record bad": lambda: Kind(400, admin, body_of([bad] * size)),
        "every record older than the ttl": lambda: Kind(
            400, admin, body_of(records(size, timestamp="2020-01-01T00:00:00Z"))
        ),
        "every record empty": lambda: Kind(400, admin, body_of([{}] * size)),
        "every record with other fields": lambda: Kind(
            400, admin, body_of([dict.fromkeys("abcdef", 1)] * size)
        ),
        "every record with 20 more fields": lambda: Kind(
            400, admin, body_of([{**good[0], **dict.fromkeys("abcdefghijklmnopqrst", 1)}] * size)
        ),
        # It is refused by its length, and not sent.
        "body over the limit": lambda: Kind(
            413, admin, b"", {"Content-Length": str(10 * MEBIBYTE + 1), "Connection": "close"}
        ),
    }
    return {name: kind() for name, kind in make.items()}


def _cpu(service: Service, kind: Kind, count: int) -> float:
    """CPU seconds for so many requests of one kind."""

    def client(_: int) -> None:
        connection = service.connect()
        for _ in range(count // CONNECTIONS):
            status, answer = post(connection, kind.key, kind.body, **kind.headers)
            if status != kind.status:
                sys.exit(f"answered {status} instead of {kind.status}: {answer[:200].decode()}")
        connection.close()

    before = service.cpu()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(client, range(CONNECTIONS)))
    return service.cpu() - before


if __name__ == "__main__":
    main()
