"""Pushes, losses, restarts, maintenance, reloads in any order give what a dict gives; no JVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tecton.adapters.push_tables import DeltaPushTables
from tecton.applied import offline_path
from tecton.stores import BACKFILL, Run
from tecton.timestamps import from_micros
from tests.machine import HOSTS, PLACES, REQUESTS, Drawn, Machine, play
from tests.machine_hosts import DAY, USERS
from tests.model import Generation, Row

NOON = datetime.now(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0) + DAY
"""Redis forgets by the real clock, so what is played lies ahead of it."""


class _Saved(NamedTuple):
    """An old state of Redis.

    Args:
        dumped: Key, rest of its life in ms, value.
        views: By generation: the rows that an online read saw, and whether it was loaded.
        remembered: Idempotency keys.
        number: How much had been accepted.
    """

    dumped: Sequence[tuple[bytes, int, bytes]]
    views: Mapping[str, tuple[list[Row], bool]]
    remembered: set[str]
    number: int


class ServiceMachine(Machine):
    """All that goes on without Spark; what a frontfill does is written by delta-rs."""

    saved: _Saved | None = None

    @initialize(is_loaded=st.booleans())
    def begin(self, is_loaded: bool) -> None:
        """The backfills of all views have ended, or none has."""
        if is_loaded:
            self.end_backfills()

    @rule()
    def end_backfills(self) -> None:
        """Of a source without batch data they bring what was pushed."""
        self.advance()
        for one in self.model.views.values():
            if not one.is_backfilled:
                one.is_backfilled = True
                view = one.view
                start = view.feature_start_time or self.now
                folder = self.state.folder
                run = Run(
                    folder, view.name, view.id, BACKFILL, start, start, self.now, self.now, ""
                )
                self.hosts[0].backend.runs.record(run)
        self.reload(0)

    @rule(left_out=st.none() | st.integers(0, 9))
    def take(self, left_out: int | None) -> None:
        """Every offline table, or all but one, takes what it has not taken of each writer."""
        self.advance()
        for number, one in enumerate(self.model.views.values()):
            if one.view.offline and number != left_out:
                self._take(one)

    @rule()
    def save(self) -> None:
        """Redis is saved."""
        self.advance()
        dumped = [
            (key, self.redis.pttl(key), self.redis.dump(key)) for key in self.redis.scan_iter()
        ]
        views = {one.view.id: (list(one.online), one.is_loaded) for one in self.views_online()}
        self.saved = _Saved(dumped, views, set(self.remembered), self.model.number)

    @precondition(lambda self: self.saved)
    @rule(host=HOSTS, drawn=st.just([]) | REQUESTS)
    def restore(self, host: int, drawn: Sequence[Drawn]) -> None:
        """An old state of Redis comes back, maybe under a request; what it lacks is found."""
        self.advance()
        self.refresh()
        if drawn:
            self.hosts[host].shaky.interrupt = self._restore
            self.ingest(host, drawn, False)
        else:
            self._restore()
        assert self.saved is not None
        for service in self.hosts:
            service.ingest.recover()
        for one in self.views_online():
            old, one.is_loaded = self.saved.views.get(one.view.id, ([], False))
            one.online = old + [row for row in one.pushed if row.number > self.saved.number]

    def _restore(self) -> None:
        assert self.saved is not None
        self.redis.flushall()
        for key, ttl, value in self.saved.dumped:
            self.redis.restore(key, max(ttl, 0), value)
        self.remembered = set(self.saved.remembered)

    @rule(view=st.integers(0, 9), user=st.sampled_from(USERS), places=PLACES)
    def erase(self, view: int, user: str, places: tuple[bool, bool]) -> None:
        """A join key is deleted, for good where no older Redis is brought back."""
        super().erase(view, user, places)
        self.saved = None

    def views_online(self) -> list[Generation]:
        """The generations that are served."""
        return [one for one in self.model.views.values() if one.view.online]

    def _take(self, one: Generation) -> None:
        tables = DeltaPushTables(str(self.folder / "store"))
        _, taken = self.offline_rows(one.view)
        source = self.state.source_by_name[one.view.source]
        numbers = {sequence: number for number, sequence in self.sequences.items()}
        pushed = {row.number: row for row in one.pushed}
        for writer in tables.writers(self.state):
            last = tables.last_batch(self.state, writer)
            if last <= taken.get(writer, 0):
                continue
            rows = []
            for batch in tables.read_after(self.state, writer, taken.get(writer, 0)):
                for entry in batch:
                    if entry.source == source.id:
                        row = pushed[numbers[entry.sequence]]
                        at = from_micros(row.timestamp)
                        rows.append(
                            {
                                "user_id": row.key,
                                "timestamp": at,
                                **row.values,
                                "_sequence": entry.sequence,
                                "_tie": 0,
                                "_origin": "push",
                                "_date": at.date(),
                            }
                        )
            write_deltalake(
                f"{self.folder}/store/{offline_path(self.state, one.view)}",
                pa.Table.from_pylist(rows, _OFFLINE),
                mode="append",
                partition_by=["_origin", "_date"],
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(f"push/{writer}", last)]
                ),
            )


_OFFLINE = pa.schema(
    [
        ("user_id", pa.string()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("part", pa.string()),
        ("amount", pa.int64()),
        ("_sequence", pa.int64()),
        ("_tie", pa.int32()),
        ("_origin", pa.string()),
        ("_date", pa.date32()),
    ]
)


def test_service_is_a_dict(tmp_path: Path, redis_url: str) -> None:
    """Contract §1 and §3, whatever comes between."""
    folders = count()

    def machine() -> ServiceMachine:
        return ServiceMachine(tmp_path / str(next(folders)), redis_url, NOON)

    run_state_machine_as_test(machine, settings=play(examples=16, steps=40))


def test_records_stay_until_the_last_table_has_taken_them(tmp_path: Path, redis_url: str) -> None:
    """Each offline table in turn is the last, far beyond the time that retention keeps."""
    machine = ServiceMachine(tmp_path, redis_url, NOON)
    drawn = [Drawn(source, user, "a", 1, 0, None, False) for source in (0, 1) for user in USERS]
    try:
        machine.end_backfills()
        for number in [n for n, view in enumerate(machine.state.views) if view.offline]:
            for step in (
                lambda: machine.ingest(0, drawn, False),
                partial(machine.take, number),
                lambda: machine.pass_days(1, drawn, 8),
                machine.maintain,
                lambda: machine.take(None),
            ):
                step()
                machine.agrees()
    finally:
        machine.teardown()
