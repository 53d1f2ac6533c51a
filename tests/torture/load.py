"""
Clients that send all kinds of requests, send again what was not answered, and read what they wrote.
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Sequence
from itertools import count
from threading import Event, Thread
from typing import Any, NamedTuple

from tecton.timestamps import parse_rfc3339
from tests.torture.definitions import EVENTS, ORDERS, SERVICE, WORKSPACE, Sent
from tests.torture.history import Attempt, History, Outcome, Reading, Request
from tests.torture.stage import Service, Stage

HOUR = 3_600_000_000
TIMEOUT = 10.0
PAUSE = 0.05
"""Before something is sent again."""

PER_CLIENT = 10**6
"""Values of clients do not meet."""


class Shape(NamedTuple):
    """What a client does.

    Args:
        requests: How many, each with its retries.
        most: Records in one, of most requests.
        big: Records in a big one.
        is_patient: Does it send again until there is an answer?
        pause: Seconds between two requests.
    """

    requests: int
    most: int
    big: int
    is_patient: bool
    pause: float = 0


class Wire:
    """Connections of one client to the services, made anew when they break."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._open: dict[int, http.client.HTTPConnection] = {}

    def post(
        self, service: Service, path: str, body: bytes, key: str | None = None
    ) -> tuple[int | None, Any]:
        """Status and body of the answer; (None, None): there was none."""
        headers = {"Authorization": f"Tecton-key {self._stage.key}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        connection = self._open.get(service.number)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=TIMEOUT)
            self._open[service.number] = connection
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            del self._open[service.number]
            return None, None

    def close(self) -> None:
        """End all connections."""
        for connection in self._open.values():
            connection.close()


def read(wire: Wire, service: Service, user: str, known: Sequence[Sent]) -> Reading:
    """What is served for a join key."""
    options = {"include_names": True, "include_effective_times": True}
    params = {
        "workspace_name": WORKSPACE,
        "feature_service_name": SERVICE,
        "join_key_map": {"user_id": user},
        "metadata_options": options,
    }
    began = time.monotonic()
    path = "/api/v1/feature-service/get-features"
    status, answer = wire.post(service, path, json.dumps({"params": params}).encode())
    if status != 200:
        return Reading(user, began, status, {}, {}, known)
    described = answer["metadata"]["features"]
    names = [one["name"] for one in described]
    values = dict(zip(names, answer["result"]["features"], strict=True))
    times = {
        name: parse_rfc3339(one["effectiveTime"]) or 0
        for name, one in zip(names, described, strict=True)
        if "effectiveTime" in one
    }
    return Reading(user, began, status, values, times, known)


class Client(Thread):
    """Sends and reads, on a thread of its own.

    Args:
        stage: Where.
        number: Of this client.
        shape: What it does.
        rng: Decides what it sends.
    """

    def __init__(self, stage: Stage, number: int, shape: Shape, rng: random.Random) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.history = History()
        self.done = 0
        self.total = shape.requests
        self._stage = stage
        self._shape = shape
        self._rng = rng
        self._is_over = Event()
        self._numbers = count((number + 1) * PER_CLIENT)
        self._name = f"c{number}"
        self._wire = Wire(stage)
        # Own keys tell what was lost, shared ones who was first.
        own = [user for user in stage.users if user.startswith(self._name)]
        self._users = [*own, *(user for user in stage.users if user.startswith("shared"))]
        self._acknowledged: dict[str, list[Sent]] = {}

    def run(self) -> None:
        """Send and read until all is done."""
        for _ in range(self._shape.requests):
            if self._is_over.is_set():
                break
            request = self._again() if self._rng.random() < 0.1 else None
            if request is None:
                request = self._new()
                self.history.requests.append(request)
            self._send(request)
            self.done += 1
            if self._rng.random() < 0.6:
                self._read(self._rng.choice(request.records).user)
            self._is_over.wait(self._shape.pause)
        self._wire.close()

    def give_up(self) -> None:
        """Try nothing any more."""
        self._is_over.set()

    def _again(self) -> Request | None:
        """A request that was answered, as if its client did not know."""
        sent = [r for r in self.history.requests if r.outcome is not Outcome.FAILED]
        return self._rng.choice(sent) if sent else None

    def _send(self, request: Request) -> None:
        while True:
            service = self._rng.choice(self._stage.services)
            began = time.monotonic()
            status, answer = self._wire.post(service, "/ingest", request.body, request.key)
            attempt = Attempt(began, time.monotonic(), status, answer)
            request.attempts.append(attempt)
            if attempt.outcome is Outcome.OK and request.is_written:
                for record in request.records:
                    self._acknowledged.setdefault(record.user, []).append(record)
            is_final = attempt.outcome is not Outcome.UNKNOWN and status not in (409, 429)
            if is_final or self._is_over.is_set():
                return
            if not self._shape.is_patient:
                self._is_over.wait(4 * PAUSE)
                return
            if status == 409 and len(request.attempts) > 5:
                return  # The lock of a dead process lasts a minute.
            self._is_over.wait(PAUSE)

    def _read(self, user: str) -> None:
        known = tuple(self._acknowledged.get(user, ()))
        service = self._rng.choice(self._stage.services)
        self.history.readings.append(read(self._wire, service, user, known))

    def _new(self) -> Request:
        rng = self._rng
        kind = rng.choices(
            ["good", "late", "correction", "big", "bad", "too old", "dry run"],
            [10, 2, 3, self._shape.big > 0, 1, 1, 1],
        )[0]
        key = f"{self._name}-{next(self._numbers)}" if rng.random() < 0.3 else None
        size = self._shape.big if kind == "big" else rng.randint(1, self._shape.most)
        records = [self._record(kind) for _ in range(size)]
        bodies: dict[str, list[Any]] = {}
        for record in records:
            bodies.setdefault(record.source, []).append({"record": record.body()})
        if kind == "bad":
            listed = rng.choice(list(bodies.values()))
            listed[rng.randrange(len(listed))]["record"]["n"] = "one"
        body = {"workspace_name": WORKSPACE, "dry_run": kind == "dry run", "records": bodies}
        expected = 400 if kind in ("bad", "too old") else 200
        is_written = kind not in ("bad", "too old", "dry run")
        return Request(records, json.dumps(body).encode(), key, expected, is_written)

    def _record(self, kind: str) -> Sent:
        rng = self._rng
        source = rng.choice([EVENTS, EVENTS, ORDERS])
        user, now = rng.choice(self._users), time.time_ns() // 1000
        order = rng.choice("abc") if source == ORDERS else ""
        at = now - rng.randrange(HOUR // 2)
        if kind == "late":
            at = now - rng.randrange(2 * HOUR, 20 * HOUR)
        elif kind == "too old":
            at = now - 8 * 24 * HOUR
        elif kind == "correction" and self._acknowledged.get(user):
            before = rng.choice(self._acknowledged[user])
            source, at, order = before.source, before.timestamp, before.order
        elif rng.random() < 0.3:
            # Others write at the same microsecond.
            at = now - now % 10_000_000
        return Sent(source, user, at, next(self._numbers), order)
