"""What the service's memory does over an hour's worth of good and bad requests."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from benchmarks.rejections import Kind, kinds
from benchmarks.running import Service, post, running

REQUESTS = 360_000
"""A hundred a second, for an hour."""

CONNECTIONS = 16
PARTS = 10
SIZES = (1, 1, 1, 1, 10)
"""Records in a request, drawn from these."""


def main() -> None:
    """Print resident memory at the start, after every tenth of the requests, and at the end."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    with running() as service:
        # In two of five requests nothing is wrong.
        made = {size: kinds(service, size) for size in SIZES}
        mixed = [kind for size in SIZES for kind in made[size].values()]
        good = [made[size]["accepted"] for size in SIZES]
        choices = mixed + good * (2 * len(mixed) // (3 * len(good)))
        print(f"resident at the start: {service.resident():.0f} MiB")
        answers: Counter[int] = Counter()
        started = time.perf_counter()
        for part in range(1, PARTS + 1):
            answers += _send(service, choices, total // PARTS, seed=part)
            seconds = time.perf_counter() - started
            print(
                f"after {part * total // PARTS:,} requests, {seconds:.0f} s: "
                f"{service.resident():.0f} MiB",
                flush=True,
            )
        listed = ", ".join(f"{count:,} × {status}" for status, count in sorted(answers.items()))
        print(f"answers: {listed}")


def _send(service: Service, choices: list[Kind], count: int, seed: int) -> Counter[int]:
    def client(number: int) -> Counter[int]:
        connection, answers = service.connect(), Counter[int]()
        draw = random.Random(seed * CONNECTIONS + number)
        for _ in range(count // CONNECTIONS):
            kind = draw.choice(choices)
            status, answer = post(connection, kind.key, kind.body, **kind.headers)
            if status != kind.status:
                sys.exit(f"answered {status} instead of {kind.status}: {answer[:200].decode()}")
            answers[status] += 1
        connection.close()
        return answers

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return sum(pool.map(client, range(CONNECTIONS)), Counter())


if __name__ == "__main__":
    main()
