"""Ten times the load that the service can bear, for a minute: what it answers, and its memory."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import NamedTuple

from benchmarks.running import Service, body_of, post, records, running

PER_REQUEST = 1_000
TIMES = 10
SECONDS = 60.0
BEARABLE_SECONDS = 10.0
FEW = 8
"""Connections that find out what is bearable."""

MANY = 300
"""Connections that offer too much; each sends once its turn and its last answer have come."""


class Answered(NamedTuple):
    """One answer: status (0: none), seconds that it took, and whether it said when to come back."""

    status: int
    seconds: float
    says_when: bool


def main() -> None:
    """Print rates and latencies by status, and resident memory before, at its height and after."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with running() as service:
        body = body_of(records(PER_REQUEST))
        bearable = _offer(service, body, FEW, BEARABLE_SECONDS, rate=None)
        rate = len(bearable) / BEARABLE_SECONDS
        print(f"bearable: {rate:,.1f} requests/s of {PER_REQUEST:,} records")
        first = service.resident()
        answers = _offer(service, body, MANY, seconds, rate * TIMES)
        last = service.resident()
        print(f"offered {rate * TIMES:,.0f}/s, sent {len(answers) / seconds:,.0f}/s:")
        for status, times in _by_status(answers).items():
            print(
                f"  {status}: {len(times) / seconds:8,.1f}/s, p50 {times[len(times) // 2]:.3f} s, "
                f"p99 {times[len(times) * 99 // 100]:.3f} s"
            )
        print(f"resident: {first:.0f} MiB before, {last:.0f} MiB after")
        mute = sum(a.status in (429, 503) and not a.says_when for a in answers)
        others = {answer.status for answer in answers} - {200, 429}
        after = post(service.connect(), service.key, body)[0]
        print(f"without Retry-After: {mute}; other answers: {sorted(others)}; afterwards: {after}")
        if mute or others or after != 200:
            sys.exit("that is not what is promised")


def _offer(
    service: Service, body: bytes, connections: int, seconds: float, rate: float | None
) -> Sequence[Answered]:
    """
    Send one body again and again.

    Args:
        service: To whom.
        body: What.
        connections: From how many clients.
        seconds: For how long.
        rate: Requests a second of all of them together; None: as many as are answered.
    """
    until = time.perf_counter() + seconds

    def client(number: int) -> list[Answered]:
        connection, answers = service.connect(), []
        for turn in _turns(until - seconds, number, connections, rate):
            now = time.perf_counter()
            if max(now, turn) >= until:
                break
            # Requests are due at fixed times, however long the answers before them took.
            time.sleep(max(0.0, turn - now))
            answers.append(_answer(connection, service.key, body))
        connection.close()
        return answers

    with ThreadPoolExecutor(connections) as pool:
        return [answer for answers in pool.map(client, range(connections)) for answer in answers]


def _turns(start: float, number: int, connections: int, rate: float | None) -> Iterator[float]:
    """When a client is to send."""
    if rate is None:
        yield from (start for _ in count())
    else:
        yield from (start + (number + turn * connections) / rate for turn in count())


def _answer(connection: http.client.HTTPConnection, key: str, body: bytes) -> Answered:
    started = time.perf_counter()
    try:
        connection.request("POST", "/ingest", body, {"Authorization": f"Tecton-key {key}"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return Answered(0, time.perf_counter() - started, says_when=False)
    says_when = answer.headers["Retry-After"] is not None
    return Answered(answer.status, time.perf_counter() - started, says_when)


def _by_status(answers: Sequence[Answered]) -> Mapping[int, Sequence[float]]:
    """Sorted seconds by status."""
    return {
        status: sorted(answer.seconds for answer in answers if answer.status == status)
        for status in sorted({answer.status for answer in answers})
    }


if __name__ == "__main__":
    main()
