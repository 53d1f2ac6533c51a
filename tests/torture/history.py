"""
What clients have seen: each request with its attempts and their outcomes, and each reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from tests.torture.definitions import Sent


class Outcome(Enum):
    """What a client knows after an attempt."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Attempt(NamedTuple):
    """A request, sent once.

    Args:
        began: When it was sent, on the harness's monotonic clock.
        ended: When the answer was there, or it was plain that none would come.
        status: Of the answer; None: there was none.
        answer: The body.
    """

    began: float
    ended: float
    status: int | None
    answer: Any

    @property
    def outcome(self) -> Outcome:
        """200: all of it; 4xx: nothing; else nobody knows (contract §3)."""
        if self.status == 200:
            return Outcome.OK
        is_refused = self.status is not None and 400 <= self.status < 500
        return Outcome.FAILED if is_refused else Outcome.UNKNOWN


@dataclass
class Request:
    """One body and all attempts to have it taken.

    Args:
        records: What it holds, as far as it is good.
        body: Its bytes.
        key: Its `Idempotency-Key`.
        expected: The status that an answer other than 5xx, 409 and 429 must have.
        is_written: Does it write anything when it is accepted?
        attempts: In the order of their beginning.
    """

    records: Sequence[Sent]
    body: bytes
    key: str | None
    expected: int = 200
    is_written: bool = True
    attempts: list[Attempt] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """How many attempts ended so."""
        return sum(attempt.outcome is outcome for attempt in self.attempts)

    @property
    def outcome(self) -> Outcome:
        """Of all attempts together."""
        for outcome in (Outcome.OK, Outcome.UNKNOWN):
            if self.count(outcome):
                return outcome
        return Outcome.FAILED


class Reading(NamedTuple):
    """The features of a join key.

    Args:
        user: The join key.
        began: When it was asked.
        status: Of the answer; None: there was none.
        values: By full name, as they were served.
        times: Effective times by full name, µs since the epoch; left out where there is no value.
        known: What this client had sent for the key and got acknowledged before it asked.
    """

    user: str
    began: float
    status: int | None
    values: Mapping[str, Any]
    times: Mapping[str, int]
    known: Sequence[Sent]


@dataclass
class History:
    """What one client has seen."""

    requests: list[Request] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    def acknowledged(self) -> Iterator[Sent]:
        """Every record that was acknowledged."""
        for request in self.requests:
            if request.is_written and request.outcome is Outcome.OK:
                yield from request.records
