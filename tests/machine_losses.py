"""Redis loses what it had: it is emptied, or an old state of it comes back; both are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tecton.lapse import mark_lapsed, told
from tecton.reload import reload_lost
from tecton.tombstones import GRACE
from tests.machine_requests import HOSTS, REQUESTS, Drawn, Requests
from tests.model import Generation, Online


class Saved(NamedTuple):
    """An old state of Redis.

    Args:
        dumped: Key, rest of its life in ms, value.
        online: What the model says of each generation.
        remembered: Idempotency keys.
        number: How much had been accepted.
    """

    dumped: Sequence[tuple[bytes, int, bytes]]
    online: Mapping[str, Online]
    remembered: set[str]
    number: int


class Losses(Requests):
    """The rules of losses, and of what the services do about them; a machine adds others."""

    redis: Any
    saved: Saved | None = None

    @rule()
    def flush(self) -> None:
        """Redis is emptied."""
        self.advance()
        self.redis.flushall()
        self.model.flush()
        self.remembered.clear()

    @rule(host=HOSTS, drawn=REQUESTS, others=REQUESTS)
    def cross(self, host: int, drawn: Sequence[Drawn], others: Sequence[Drawn]) -> None:
        """Redis is emptied after it gave sequences; another service, its clock behind, is first."""

        def meanwhile() -> None:
            self.flush()
            self.ingest(1 - host, others, False, 9)

        self.hosts[host].shaky.interrupts["log"] = meanwhile
        self.ingest(host, drawn, False)

    @rule()
    def save(self) -> None:
        """Redis is saved."""
        self.advance()
        keys = self.redis.scan_iter()
        dumped = [(key, self.redis.pttl(key), self.redis.dump(key)) for key in keys]
        self.saved = Saved(dumped, self.model.saved(), set(self.remembered), self.model.number)

    @precondition(lambda self: self.saved)
    @rule(host=HOSTS, drawn=st.just([]) | REQUESTS)
    def restore(self, host: int, drawn: Sequence[Drawn]) -> None:
        """An old state comes back, maybe under a request; what was pushed since is replayed."""
        self.advance()
        self.refresh()
        if drawn:
            self.hosts[host].shaky.interrupts["redis"] = self.go_back
            self.ingest(host, drawn, False)
            self.check_applied(self.hosts[host])
        else:
            self.go_back()
        for service in self.hosts:
            service.ingest.recover()
        assert self.saved is not None
        self.model.go_back(self.saved.online, self.saved.number)

    def lose_twice(self, host: int, drawn: Sequence[Drawn]) -> None:
        """An old state comes back under a request, and is lost while the rest is replayed."""
        self.advance()
        service = self.hosts[host]
        interrupts = service.shaky.interrupts

        def first() -> None:
            interrupts["redis"] = self.flush
            self.go_back()

        interrupts["redis"] = first
        records = self.records(drawn)
        assert self.send(service, records, None).status_code == 503
        self.accept(records)

    def go_back(self) -> None:
        """Redis is another server with the state that was saved."""
        assert self.saved is not None
        self.redis.flushall()
        for key, ttl, value in self.saved.dumped:
            self.redis.restore(key, max(ttl, 0), value)
        # Whoever ends to be a replica has a new id, as a server that starts again has.
        self.redis.execute_command("REPLICAOF", "127.0.0.1", 1)
        self.redis.execute_command("REPLICAOF", "NO", "ONE")
        self.remembered = set(self.saved.remembered)

    @rule(host=HOSTS)
    def look(self, host: int) -> None:
        """What each service does every 10 s: views as they once were lose their marks."""
        # No erasure is under way any more.
        self.advance(GRACE)
        self.refresh()
        backend, online = self.hosts[host].backend, self.hosts[host].online
        lapsed = mark_lapsed(online, backend.ledger, backend.erasures, [self.state], self.now)
        found = {one.view: one.erased for one in lapsed}
        for one in self.loaded():
            name = one.view.name
            if one.has_erased_rows():
                assert found.get(name) is True, name
            elif one.is_behind:
                assert name in found
            elif not one.is_suspect:
                assert name not in found
            one.is_suspect = False
            if name in found:
                self.model.unload(one, found[name])

    @rule(host=HOSTS)
    def reload(self, host: int) -> None:
        """What Redis has lost is filled again without a JVM."""
        self.advance()
        self.refresh()
        backend, online = self.hosts[host].backend, self.hosts[host].online
        lost = [one for one in self.model.views.values() if self.is_lost(one)]
        self.empty(lost)
        reports = reload_lost(
            online, backend.history, backend.runs, [self.state], self.now, self._told(host)
        )
        reloaded = {report.view for report in reports if report.rows is not None}
        assert reloaded == {one.view.name for one in lost}
        for one in lost:
            self.model.load(one)

    def empty(self, ones: Iterable[Generation]) -> None:
        """Views that are not served are going to be filled: those with erased rows anew."""
        online, should_have = self.hosts[0].online, self._told(0)
        for one in ones:
            if one.view.online and not one.is_loaded:
                [has] = online.reached([one.view.online_id])
                if has.erased < should_have(self.state, one.view).erased:
                    self.model.unload(one, True)

    def trust(self, ones: Iterable[Generation]) -> None:
        """A job may have taken the mark of a view away that lacks what another one brought."""
        behind = [one for one in ones if one.is_loaded and one.is_behind]
        lost = self.hosts[0].online.unloaded([one.view.online_id for one in behind])
        for one in behind:
            if one.view.online_id in lost:
                self.model.unload(one, False)

    def loaded(self) -> list[Generation]:
        """The views that are served."""
        return [one for one in self.model.views.values() if one.is_loaded]

    def is_lost(self, one: Generation) -> bool:
        """Can a view be filled again without Spark, and has to be?"""
        is_kept = one.view.offline or one.view.source not in self.model.files
        return one.view.online and one.is_backfilled and not one.is_loaded and is_kept

    def _told(self, host: int) -> Callable[..., Any]:
        backend = self.hosts[host].backend
        return partial(told, ledger=backend.ledger, erasures=backend.erasures, now=self.now)
