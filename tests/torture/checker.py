"""
Proves the invariants of a round (ARCHITECTURE.md) from what clients saw and what the stores hold.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from tecton.applied import AppliedView
from tecton.rows import decode_body, encode_key
from tecton.testing import InMemoryOnlineStore
from tests.torture.definitions import NEWEST, WINDOWS, Sent
from tests.torture.history import History, Outcome, Reading, Request
from tests.torture.load import HOUR, Wire, read
from tests.torture.model import Logged, Model, by_n, canonical, is_event, logged
from tests.torture.stage import Stage


class Kind(Enum):
    """What is wrong."""

    LOST = "lost"
    DOUBLED = "doubled"
    DIVERGED = "diverged"


class Violation(NamedTuple):
    """Something that must never be."""

    kind: Kind
    text: str


class Trust(NamedTuple):
    """What may be asked of what was seen while a fault was under way.

    Args:
        statuses: Clients are answered by the right rules; not where a clock is far off.
        reads: What was acknowledged is read at once; not where Redis goes back in time, which
            is found by the next write or within a second.
        memory: Answers to idempotency keys are remembered.
        serving: Every read is answered, whatever happens to requests that write.
    """

    statuses: bool = True
    reads: bool = True
    memory: bool = True
    serving: bool = False


class Checker:
    """One round, at rest.

    Args:
        stage: The stores.
        histories: What each client has seen.
        prefilled: What was in the push tables before.
        trust: How much was promised.
    """

    def __init__(
        self, stage: Stage, histories: Sequence[History], prefilled: Sequence[Sent], trust: Trust
    ) -> None:
        self._stage = stage
        self._requests = [request for one in histories for request in one.requests]
        self._readings = [reading for one in histories for reading in one.readings]
        self._sent = {record for request in self._requests for record in request.records}
        self._sent.update(prefilled)
        self._trust = trust
        self._rows = logged(stage)
        self._found = by_n(self._rows)
        self.model = Model(stage.state, self._rows, stage.batch)

    def violations(self, rng: random.Random) -> Iterator[Violation]:
        """All that is wrong, without Spark."""
        yield from self.books()
        yield from self._online(rng)
        yield from self._tables()

    def books(self) -> Iterator[Violation]:
        """What push tables and the clients' histories say against each other."""
        yield from self._log()
        for request in self._requests:
            yield from self._answers(request)
            yield from self._occurrences(request)
        yield from self._order()
        for reading in self._readings:
            yield from self._reading(reading)

    def _log(self) -> Iterator[Violation]:
        """Batches without a gap, sequences that were handed out once, nothing that nobody sent."""
        for writer, last in self._last_batches().items():
            missing = set(range(1, last + 1)) - {
                row.batch_no for row in self._rows if row.writer == writer
            }
            if missing:
                yield Violation(Kind.LOST, f"writer {writer} has no batches {sorted(missing)}")
        sequences = Counter(row.sequence for row in self._rows)
        for sequence, number in sequences.items():
            if number > 1:
                yield Violation(Kind.DIVERGED, f"sequence {sequence} is that of {number} records")
        for row in self._rows:
            if row.sent not in self._sent:
                yield Violation(Kind.DIVERGED, f"{row} was never sent")

    def _last_batches(self) -> Mapping[str, int]:
        tables, state = self._stage.backend.push_tables, self._stage.state
        return {writer: tables.last_batch(state, writer) for writer in tables.writers(state)}

    def _answers(self, request: Request) -> Iterator[Violation]:
        """A good request is taken, a bad one refused, and neither is an internal error."""
        for attempt in request.attempts:
            is_surprise = attempt.status not in (request.expected, 409, 429, 503, None)
            if attempt.status == 500 or (is_surprise and self._trust.statuses):
                yield Violation(
                    Kind.DIVERGED,
                    f"status {attempt.status} instead of {request.expected}: {attempt.answer} "
                    f"for {request.body[:300]!r}",
                )

    def _occurrences(self, request: Request) -> Iterator[Violation]:
        """Each attempt as a whole or not at all, and as often as it may have been taken."""
        ok, unknown = request.count(Outcome.OK), request.count(Outcome.UNKNOWN)
        least, most = ok, ok + unknown
        if request.key is not None:
            least = min(ok, 1)
            most = least + unknown if self._trust.memory else most
        if not request.is_written:
            least = most = 0
        batches = {
            frozenset((row.writer, row.batch_no) for row in self._found.get(record.n, ()))
            for record in request.records
        }
        counts = {len(self._found.get(record.n, ())) for record in request.records}
        told = f"{ok} times acknowledged, {unknown} unknown, {sorted(counts)} in the push tables"
        told += f": {request.body[:300]!r}"
        if min(counts) < least:
            yield Violation(Kind.LOST, told)
        if max(counts) > most:
            yield Violation(Kind.DOUBLED, told)
        if len(batches) > 1 or len(counts) > 1:
            yield Violation(Kind.DIVERGED, f"torn: {told}")

    def _order(self) -> Iterator[Violation]:
        """What was sent after an acknowledgement is later than what was acknowledged."""
        spans = []
        for request in self._requests:
            rows = [row for record in request.records for row in self._found.get(record.n, ())]
            if request.outcome is Outcome.OK and rows and len(request.attempts) == 1:
                sequences = [row.sequence for row in rows]
                attempt = request.attempts[0]
                spans.append((attempt.began, attempt.ended, min(sequences), max(sequences)))
        ended = sorted(spans, key=lambda span: span[1])
        position, greatest = 0, 0
        for began, _, least, _ in sorted(spans):
            while position < len(ended) and ended[position][1] < began:
                greatest = max(greatest, ended[position][3])
                position += 1
            if least <= greatest:
                yield Violation(
                    Kind.DIVERGED,
                    f"out of order: sequence {least} was sent after {greatest} was acknowledged",
                )

    def _reading(self, reading: Reading) -> Iterator[Violation]:
        """A read after an acknowledgement sees what was acknowledged, or something newer."""
        allowed = (200,) if self._trust.serving else (200, 503, None)
        if reading.status not in allowed:
            yield Violation(Kind.DIVERGED, f"a read was answered {reading.status}")
        if reading.status != 200 or not self._trust.reads:
            return
        known = [sent for sent in reading.known if is_event(sent)]
        served = canonical(self._view(NEWEST), reading.values)["n"]
        newest = max(map(self._first, known), default=None)
        if newest is not None and (served is None or self._last(served) < newest):
            yield Violation(Kind.LOST, f"{reading.user} was served {served} after {newest}")
        count = reading.values[f"{WINDOWS}.n_count_1h"]
        at = reading.times.get(f"{WINDOWS}.n_count_1h", 0)
        inside = {sent.timestamp for sent in known if at - HOUR < sent.timestamp <= at}
        if len(inside) > int(count or 0):
            yield Violation(
                Kind.LOST, f"{reading.user} has {count} events after {len(inside)} were taken"
            )

    def _first(self, sent: Sent) -> tuple[int, int]:
        rows = self._found.get(sent.n, ())
        return sent.timestamp, min((row.sequence for row in rows), default=0)

    def _last(self, n: int) -> tuple[int, int]:
        rows: Sequence[Logged] = self._found.get(n, ())
        found = [(row.sent.timestamp, row.sequence) for row in rows]
        # Batch rows are in no push table.
        batch = ((row.timestamp, 0) for row in self._stage.batch if row.n == n)
        return max(found, default=next(batch, (0, 0)))

    def _online(self, rng: random.Random) -> Iterator[Violation]:
        """Every service answers what brute force does."""
        wire = Wire(self._stage)
        for user in self._stage.users:
            service = rng.choice(self._stage.services)
            reading = read(wire, service, user, ())
            if reading.status != 200:
                yield Violation(Kind.DIVERGED, f"{user} is answered {reading.status} at rest")
                continue
            for view in self._stage.state.views:
                at = self._asked_at(view, reading)
                got = canonical(view, reading.values)
                yield from self.compare("online", view, user, got, at)
        wire.close()

    def _asked_at(self, view: AppliedView, reading: Reading) -> int:
        """The time of an answer; what has none is compared with that of the clock."""
        if view.aggregations:
            times = [at for name, at in reading.times.items() if name.startswith(f"{view.name}.")]
            if times:
                return times[0]
        return time.time_ns() // 1000

    def _tables(self) -> Iterator[Violation]:
        """What a reader without a JVM makes of push and offline tables is the same."""
        state, history = self._stage.state, self._stage.backend.history
        store = InMemoryOnlineStore()
        store.mark_loaded([view.id for view in state.views])
        for view in state.views:
            for rows in history.rows(state, view, None):
                store.upsert(rows)
        now = time.time_ns() // 1000
        for user in self._stage.users:
            key = encode_key([user])
            for view in state.views:
                got: dict[str, Any] = dict.fromkeys(feature.name for feature in view.features)
                at = now
                if view.aggregations:
                    (answer,) = store.aggregate([(view, key)], now)
                    if answer is not None:
                        at = answer.at
                        got.update(answer.values)
                else:
                    (row,) = store.read([(view.id, key)])
                    got["n"] = None if row is None else decode_body(row.body)[0]
                yield from self.compare("tables", view, user, got, at)

    def compare(
        self, where: str, view: AppliedView, user: str, got: Mapping[str, Any], at: int
    ) -> Iterator[Violation]:
        """What a store says and brute force does not."""
        for feature, (seen, expected) in self.model.wrong(view, user, got, at).items():
            yield Violation(
                Kind.DIVERGED,
                f"{where}: {view.name}.{feature} of {user} at {at} is {seen}, should be {expected}",
            )

    def _view(self, name: str) -> AppliedView:
        return self._stage.state.view_by_name[name]
