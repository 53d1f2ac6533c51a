"""
The rules that both state machines share: two services over one store and one Redis, and a model.

After each rule the push tables, the offline tables and every online read are compared with it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from werkzeug.test import TestResponse

from tecton.adapters.push_tables import DeltaPushTables
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import AppliedView, new_id, push_log_name, push_path
from tecton.erase import erase
from tecton.maintain import maintain_push_tables
from tecton.reload import reload_lost
from tecton.testing import build_source, build_state, build_view, next_version
from tecton.timestamps import format_micros, micros_of
from tests.machine_checks import Checks
from tests.machine_hosts import (
    DAY,
    FIELDS,
    HOUR,
    MICROSECOND,
    MINUTE,
    SECOND,
    USERS,
    WINDOWS,
    Host,
    services_of,
    views_of,
)
from tests.model import Generation, Model

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
PLACES = st.sampled_from([(True, True), (True, False), (False, True)])
"""Where a key is erased: online, offline."""


class Sent(NamedTuple):
    """A request that was answered with 200, and the answer."""

    records: Sequence[tuple[str, Mapping[str, Any]]]
    key: str | None
    answer: bytes


class Machine(Checks, RuleBasedStateMachine):
    """A store, a Redis, two services, a clock that is moved on by rules.

    Args:
        folder: Empty.
        redis_url: A Redis, which is emptied.
        start: What the clock shows at first.
        source: Attributes of the first source.
    """

    def __init__(self, folder: Path, redis_url: str, start: datetime, **source: Any) -> None:
        clicks = build_source("clicks", FIELDS, event_key=("part",), **source)
        plain = build_source("plain", FIELDS)
        first_day = start.replace(hour=0, minute=0, second=0, microsecond=0) - 3 * DAY
        views = views_of(clicks, first_day)
        views.append(build_view(plain, "plain_sums", ttl=None, aggregations=WINDOWS))
        views = self.views(views)
        state = build_state([clicks, plain], views, services_of(views), applied_at=start)
        super().__init__(folder, state, Model(), start)
        for view in views:
            self.model.add_view(view)
        self.redis_url = redis_url
        self.redis = RedisOnlineStore.connect(redis_url).client
        self.redis.flushall()
        self.hosts = [self._host(number) for number in (0, 1)]
        self.hosts[0].registry.commit(state)
        self.key = self.hosts[0].key
        self.refresh()
        for host in self.hosts:
            host.ingest.recover()
        self.sent: list[Sent] = []
        self.remembered: set[str] = set()
        self.applied = 0
        self.bursts = 0
        self.weeks = 0

    def views(self, views: Sequence[AppliedView]) -> list[AppliedView]:
        """The views as a machine has them."""
        return list(views)

    def teardown(self) -> None:
        """End all threads."""
        for host in self.hosts:
            host.close()

    def _host(self, writer: int) -> Host:
        host = Host(self.folder / "store", self.redis_url, writer)
        host.clock.at = self.now
        return host

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

    # Requests.

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

    @rule(
        host=HOSTS,
        drawn=REQUESTS,
        place=st.sampled_from(["redis", "log"]),
        moment=st.sampled_from(["before", "after"]),
        then=st.sampled_from(["recover", "restart", "rescue"]),
    )
    def lose_answer(
        self, host: int, drawn: Sequence[Drawn], place: str, moment: str, then: str
    ) -> None:
        """A store fails under a request: whoever goes on takes the whole of it or nothing."""
        self.advance()
        service = self.hosts[host]
        service.shaky.fault = (place, moment)
        records = self.records(drawn)
        response = self.send(service, records, None)
        service.shaky.fault = None
        assert response.status_code == 503
        if then == "restart" or (then == "rescue" and place == "log"):
            self.restart(host, False)
        elif then == "recover":
            service.ingest.recover()
        for _ in range(2):
            list(self.hosts[1 - host].rescue.look([self.state]))
        found = len(self.physical().keys() - set(self.sequences.values()))
        assert found in (0, len(records))
        if found:
            self.accept(records)

    # What happens to services and stores.

    @rule()
    def flush(self) -> None:
        """Redis is emptied."""
        self.advance()
        self.redis.flushall()
        self.model.flush()
        self.remembered.clear()

    @rule(host=HOSTS, is_killed=st.booleans())
    def restart(self, host: int, is_killed: bool) -> None:
        """A new process takes a slot over; of the old one nothing is taken any more."""
        self.advance()
        old = self.hosts[host]
        if not is_killed:
            old.close()
        self.hosts[host] = self._host(host)
        self.refresh()
        self.hosts[host].ingest.recover()
        if is_killed:
            record = self.record(Drawn(0, "u1", "a", 1, 0, None, False))
            assert self.send(old, [record], None).status_code == 503
            old.close()

    @rule()
    def recover(self) -> None:
        """What each service does every second."""
        self.advance()
        self.refresh()
        for host in self.hosts:
            host.ingest.recover()
            list(host.rescue.look([self.state]))
            while host.online.tidy():
                pass
            log = push_log_name(self.state, host.settings.writer)
            tables = DeltaPushTables(str(self.folder / "store"))
            last = tables.last_batch(self.state, str(host.settings.writer))
            assert host.online.applied_batch(log) == last

    @rule(host=HOSTS)
    def reload(self, host: int) -> None:
        """What Redis has lost is filled again without a JVM."""
        self.advance()
        self.refresh()
        backend = self.hosts[host].backend
        online = self.hosts[host].online
        reports = reload_lost(online, backend.history, backend.runs, [self.state], self.now)
        reloaded = {report.view for report in reports if report.rows is not None}
        lost = [one for one in self.model.views.values() if self.is_lost(one)]
        assert reloaded == {one.view.name for one in lost}
        for one in lost:
            self.model.load(one)

    @rule(by=st.sampled_from([MINUTE, HOUR, 23 * HOUR, DAY, 6 * DAY]))
    def wait(self, by: timedelta) -> None:
        """Time goes by."""
        self.advance(by)

    @rule()
    def maintain(self) -> None:
        """The push tables are joined, checkpointed, and rid of what nobody needs."""
        self.advance()
        backend = self.hosts[0].backend
        list(maintain_push_tables(backend.delta_logs, backend.care, self.state, self.now))
        self.check_what_was_dropped()

    @rule(host=HOSTS)
    def clean_log(self, host: int) -> None:
        """A push table is checkpointed and its older log entries go, while its writer sleeps."""
        url = f"{self.folder}/store/{push_path(self.state, host)}"
        if not DeltaTable.is_deltatable(url):
            return
        self.advance(2 * HOUR)
        DeltaTable(url).create_checkpoint()
        long_ago = time.time() - 40 * 86_400
        for entry in Path(url, "_delta_log").glob("[0-9]*"):
            os.utime(entry, (long_ago, long_ago))
        DeltaTable(url).cleanup_metadata()

    @rule(
        view=st.integers(0, 9),
        user=st.sampled_from(USERS),
        places=PLACES,
    )
    def erase(self, view: int, user: str, places: tuple[bool, bool]) -> None:
        """A join key is deleted."""
        self.advance()
        one = self.state.views[view % len(self.state.views)]
        host = self.hosts[0]
        lines = erase(
            host.backend.erasures, lambda: host.online, self.state, one, [[user]], *places,
            lambda: self.now, lambda _: None,
        )  # fmt: skip
        list(lines)
        self.model.erase(self.model.views[one.name], user, *places)
        self.advance()

    @precondition(lambda self: self.applied < 2)
    @rule(name=st.sampled_from(["newest", "sums", "later"]), is_stale=st.booleans())
    def apply(self, name: str, is_stale: bool) -> None:
        """A view is added or recreated; one service may not know yet."""
        self.advance()
        self.applied += 1
        version = self.state.version + 1
        like = self.state.view_by_name["sums" if name == "later" else name]
        made = msgspec.structs.replace(
            like, name=name, id=new_id(), since_version=version, applied_at=self.now
        )
        others = [view for view in self.state.views if view.name != name]
        views = (*others, made)
        self.state = next_version(self.state, views=views, services=services_of(views))
        self.hosts[0].registry.commit(self.state)
        self.model.add_view(made)
        for host in self.hosts[: 1 if is_stale else 2]:
            host.catalog.refresh()
            host.known = self.state

    # What must hold.

    @invariant()
    def agrees(self) -> None:
        """Push tables, offline tables and online reads are what the model says."""
        self.check_log()
        for one in self.model.views.values():
            if one.view.offline:
                self.check_offline(one)
        self.check_online()

    # What rules are made of.

    def is_lost(self, one: Generation) -> bool:
        """Can a view be filled again without Spark, and has to be?"""
        is_kept = one.view.offline or one.view.source not in self.model.files
        return one.view.online and one.is_backfilled and not one.is_loaded and is_kept

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


def play(examples: int, steps: int) -> settings:
    """
    The same few examples each time or, if STATE_MACHINE_EXAMPLES says how many, random ones.

    Args:
        examples: How many are always tried.
        steps: How many rules each has at most.
    """
    told = int(os.environ.get("STATE_MACHINE_EXAMPLES", "0"))
    return settings(
        max_examples=told or examples,
        stateful_step_count=steps,
        derandomize=not told,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # What fails in CI is made smaller by hand.
        phases=[Phase.generate, *([Phase.shrink] if told else [])],
    )
