"""
The rules that both state machines share: two services over one store and one Redis, and a model.

After each rule the push tables, the offline tables and every online read are compared with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import AppliedView, new_id, push_path
from tecton.erase import erase
from tecton.maintain import maintain_push_tables
from tecton.testing import build_source, build_state, build_view, next_version
from tests.machine_hosts import (
    DAY,
    FIELDS,
    HOUR,
    MINUTE,
    USERS,
    WINDOWS,
    Host,
    services_of,
    views_of,
)
from tests.machine_losses import Losses
from tests.machine_requests import HOSTS, REQUESTS, Drawn
from tests.model import Model

PLACES = st.sampled_from([(True, True), (True, False), (False, True)])
"""Where a key is erased: online, offline."""


class Machine(Losses, RuleBasedStateMachine):
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
        self.applied = 0

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
            self.check_applied(host)

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

    @invariant()
    def agrees(self) -> None:
        """Push tables, offline tables and online reads are what the model says."""
        self.check_log()
        for one in self.model.views.values():
            if one.view.offline:
                self.check_offline(one)
        self.check_online()


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
