"""What clients send to the services of a state machine: new, late, repeated and bad records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from werkzeug.test import TestResponse

from tecton.timestamps import format_micros, micros_of
from tests.machine_checks import Checks
from tests.machine_hosts import DAY, HOUR, MICROSECOND, MINUTE, SECOND, USERS, Host

BURST = 150
"""Events of one request; a leaf of a trie holds 128."""


class Drawn(NamedTuple):
    """A record before its time is known.

    Args:
        source: Number of the source.
        user: Whose.
        part: The event key, where there is one.
        amount: A value.
        back: Its time, in µs before the clock.
        again: If not None: identity, and maybe all, of the record that was sent so long ago.
        is_same: All of it.
    """

    source: int
    user: str
    part: str
    amount: int | None
    back: int
    again: int | None
    is_same: bool


_BACK = [-10 * MINUTE, 0 * MINUTE, SECOND, HOUR, 3 * HOUR, 5 * HOUR, 23 * HOUR]
_EDGES = [back // MICROSECOND - edge for back in _BACK for edge in (0, 1)]
DRAWN = st.builds(
    Drawn,
    st.integers(0, 1),
    st.sampled_from(USERS),
    st.sampled_from("ab"),
    st.none() | st.integers(-2, 9),
    st.sampled_from(_EDGES),
    st.none() | st.integers(0, 9) | st.integers(0, 2 * BURST),
    st.booleans(),
)
REQUESTS = st.lists(DRAWN, min_size=1, max_size=4)
HOSTS = st.integers(0, 1)


class Sent(NamedTuple):
    """A request that was answered with 200, and the answer."""

    records: Sequence[tuple[str, Mapping[str, Any]]]
    key: str | None
    answer: bytes


class Requests(Checks):
    """The rules of requests; a machine puts them together with others."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[Sent] = []
        self.remembered: set[str] = set()
        self.bursts = 0
        self.weeks = 0

    @rule(host=HOSTS, drawn=REQUESTS, is_keyed=st.booleans(), behind=st.sampled_from([0, 0, 9]))
    def ingest(self, host: int, drawn: Sequence[Drawn], is_keyed: bool, behind: int = 0) -> None:
        """New, late, corrected, repeated and early records, by clocks that differ."""
        self.advance()
        records = self.records(drawn, behind * MINUTE)
        key = f"key {len(self.sent)}" if is_keyed else None
        service = self.hosts[host]
        service.clock.at -= behind * MINUTE
        try:
            response = self.send(service, records, key)
        finally:
            service.clock.at = self.now
        self.took(service, records, key, response)

    @precondition(lambda self: self.bursts < 2)
    @rule(
        host=HOSTS,
        source=st.integers(0, 1),
        user=st.sampled_from(USERS),
        corrected=st.lists(st.integers(0, BURST - 1), max_size=3),
    )
    def burst(self, host: int, source: int, user: str, corrected: Sequence[int]) -> None:
        """So many events of one key that windows are summed up, and then some are corrected."""
        self.advance()
        self.bursts += 1
        service = self.hosts[host]
        backs = [minute * MINUTE // MICROSECOND for minute in range(BURST)]
        drawn = [Drawn(source, user, "a", back % 7, back, None, False) for back in backs]
        records = self.records(drawn)
        self.took(service, records, None, self.send(service, records, None))
        while service.online.tidy():
            pass
        self.check_online()
        records = [
            (found[0], {**found[1], "amount": 99}) for found in map(records.__getitem__, corrected)
        ]
        if records:
            self.took(service, records, None, self.send(service, records, None))

    @precondition(lambda self: self.weeks < 2)
    @rule(host=HOSTS, drawn=REQUESTS, days=st.integers(4, 8))
    def pass_days(self, host: int, drawn: Sequence[Drawn], days: int) -> None:
        """A request a day."""
        self.weeks += 1
        for _ in range(days):
            self.advance(DAY)
            self.ingest(host, drawn, False)

    @precondition(lambda self: self.sent)
    @rule(host=HOSTS, which=st.integers(0, 20))
    def retry(self, host: int, which: int) -> None:
        """A request comes again as it was, maybe to another service."""
        self.advance()
        sent = self.sent[-1 - which % len(self.sent)]
        service = self.hosts[host]
        if sent.key not in self.remembered:
            if all(self.is_in_time(source, record) for source, record in sent.records):
                response = self.send(service, sent.records, sent.key)
                self.took(service, sent.records, sent.key, response)
            return
        response = self.send(service, sent.records, sent.key)
        assert (response.status_code, response.data) == (200, sent.answer)
        other = self.send(service, sent.records[:1] * 2 + list(sent.records), sent.key)
        assert other.status_code == 400

    @rule(host=HOSTS, drawn=REQUESTS, fault=st.sampled_from(["dry", "late", "early", "field"]))
    def refuse(self, host: int, drawn: Sequence[Drawn], fault: str) -> None:
        """A dry run, and a bad record among good ones: nothing changes."""
        self.advance()
        service = self.hosts[host]
        records = self.records(drawn)
        before = self.redis.dbsize()
        if fault == "dry":
            response = self.send(service, records, None, dry_run=True)
            assert response.status_code == 200
            assert set(_counts(response)) <= {(view.name, 0, 0) for view in service.known.views}
            return
        source, record = records[-1]
        if fault == "field":
            bad = {**record, "amount": "1"}
        else:
            at = self.now + 11 * MINUTE if fault == "early" else self.now - 2 * DAY - MINUTE
            bad = {**record, "timestamp": micros_of(at)}
        assert self.send(service, [*records, (source, bad)], None).status_code == 400
        assert self.redis.dbsize() == before

    # What rules are made of.

    def refresh(self) -> None:
        """Both services learn what is applied."""
        for host in self.hosts:
            host.catalog.refresh()
            host.known = self.state

    def advance(self, by: timedelta = SECOND) -> None:
        """Every rule takes a second."""
        self.now += by
        for host in self.hosts:
            host.clock.at = self.now

    def records(
        self, drawn: Sequence[Drawn], behind: timedelta = 0 * MINUTE
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """Records that every view takes now, each with its source; together by source."""
        found = [self.record(one, behind) for one in drawn]
        return sorted(found, key=lambda one: one[0])

    def record(self, drawn: Drawn, behind: timedelta = 0 * MINUTE) -> tuple[str, Mapping[str, Any]]:
        """A record that every view takes now, by a clock that is behind, with its source."""
        source = self.state.sources[drawn.source].name
        record: Mapping[str, Any] = {
            "user_id": drawn.user,
            "timestamp": self.micros - drawn.back,
            "part": drawn.part,
            "amount": drawn.amount,
        }
        pushes = list(self.model.pushes.values())
        if drawn.again is not None and drawn.again < len(pushes):
            _, source, record, _ = pushes[-1 - drawn.again]
            amount = record["amount"] if drawn.is_same else drawn.amount
            record = {**record, "amount": amount}
        if not self.is_in_time(source, record, behind):
            record = {**record, "timestamp": self.micros - behind // MICROSECOND}
        return source, record

    def is_in_time(
        self, source: str, record: Mapping[str, Any], behind: timedelta = 0 * MINUTE
    ) -> bool:
        """Would every view take a record now, by a clock that is behind?"""
        age = (self.micros - record["timestamp"]) * MICROSECOND
        reach = [one.view.ttl or DAY for one in self.model.of(source) if one.view.online]
        return behind - 10 * MINUTE <= age < min(reach)

    def send(
        self,
        host: Host,
        records: Sequence[tuple[str, Mapping[str, Any]]],
        key: str | None,
        dry_run: bool = False,
    ) -> TestResponse:
        """A request with these records."""
        by_source: dict[str, list[Any]] = {}
        for source, record in records:
            spelled = {**record, "timestamp": format_micros(record["timestamp"])}
            by_source.setdefault(source, []).append({"record": spelled})
        body = {"workspace_name": self.state.name, "dry_run": dry_run, "records": by_source}
        headers = {} if key is None else {"Idempotency-Key": key}
        return host.send(body, self.key, **headers)

    def took(
        self,
        host: Host,
        records: Sequence[tuple[str, Mapping[str, Any]]],
        key: str | None,
        response: TestResponse,
    ) -> None:
        """A request must have been taken."""
        assert response.status_code == 200, response.data
        counts = Counter(source for source, _ in records)
        expected = [
            (view.name, counts[view.source] * view.online, counts[view.source] * view.offline)
            for view in sorted(host.known.views, key=lambda view: view.name)
            if view.source in counts
        ]
        assert expected == list(_counts(response))
        self.accept(records)
        self.sent.append(Sent(records, key, response.data))
        if key is not None:
            self.remembered.add(key)

    def accept(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Records are in the log."""
        for source, record in records:
            self.model.push(source, record, self.micros)


def _counts(response: TestResponse) -> Iterator[tuple[str, int, int]]:
    for found in response.get_json()["ingestMetrics"]["featureViewIngestMetrics"]:
        yield (
            found["featureViewName"],
            int(found["onlineRecordIngestCount"]),
            int(found["offlineRecordIngestCount"]),
        )
