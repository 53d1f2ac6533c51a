"""What the service's memory does over ten thousand commits."""

from __future__ import annotations

import sys
import time

from benchmarks.running import MEBIBYTE, Service, body_of, post, records, running

COMMITS = 10_000
PARTS = 5
AT_MOST = 400.0
"""MiB."""

IDLE_SECONDS = 8.0
"""Until the look at all push tables, which reads the log once commits have ended, is over."""


def main() -> None:
    """Print resident memory of the process that answers, and of what runs beside it."""
    with running() as service:
        print(f"at the start: {service.resident():.0f} MiB")
        connection, started, highest = service.connect(), time.perf_counter(), 0.0
        for part in range(1, PARTS + 1):
            for _ in range(COMMITS // PARTS):
                # One client that waits for each answer: a commit for every request.
                status, answer = post(connection, service.key, body_of(records(1)))
                if status != 200:
                    sys.exit(f"answered {status}: {answer[:200].decode()}")
            highest = max(highest, service.resident())
            print(
                f"after {part * COMMITS // PARTS:6,} commits, {time.perf_counter() - started:.0f} "
                f"s: {service.resident():.0f} MiB, {_beside(service)}",
                flush=True,
            )
        until = time.perf_counter() + IDLE_SECONDS
        while time.perf_counter() < until:
            highest = max(highest, service.resident())
            time.sleep(0.05)
        print(f"afterwards: {service.resident():.0f} MiB; at most {highest:.0f} MiB")
        if highest > AT_MOST:
            sys.exit(f"more than the {AT_MOST:.0f} MiB that are promised")


def _beside(service: Service) -> str:
    sizes = [child.memory_info().rss / MEBIBYTE for child in service.process.children()]
    return f"the writer of checkpoints {max(sizes):.0f} MiB" if sizes else "nothing beside it"


if __name__ == "__main__":
    main()
