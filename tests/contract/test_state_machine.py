"""Pushes, losses, restarts, maintenance, reloads in any order give what a dict gives; no JVM."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from itertools import count
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tecton.adapters.push_tables import DeltaPushTables
from tecton.applied import offline_path
from tecton.stores import BACKFILL, Run
from tecton.timestamps import from_micros
from tests.machine import Machine, play
from tests.machine_hosts import DAY, USERS
from tests.machine_requests import Drawn
from tests.model import Generation

NOON = datetime.now(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0) + DAY
"""Redis forgets by the real clock, so what is played lies ahead of it."""


class ServiceMachine(Machine):
    """All that goes on without Spark; what a frontfill does is written by delta-rs."""

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


def _play(machine: ServiceMachine, *steps: Callable[[], None]) -> None:
    for step in steps:
        step()
        machine.agrees()


def _records_of(*users: str) -> list[Drawn]:
    """One for each source and user."""
    return [Drawn(source, user, "a", 1, 0, None, False) for source in (0, 1) for user in users]


def test_records_stay_until_the_last_table_has_taken_them(tmp_path: Path, redis_url: str) -> None:
    """Each offline table in turn is the last, far beyond the time that retention keeps."""
    machine = ServiceMachine(tmp_path, redis_url, NOON)
    drawn = _records_of(*USERS)
    try:
        machine.end_backfills()
        for number in [n for n, view in enumerate(machine.state.views) if view.offline]:
            _play(
                machine,
                lambda: machine.ingest(0, drawn, False),
                partial(machine.take, number),
                lambda: machine.pass_days(1, drawn, 8),
                machine.maintain,
                lambda: machine.take(None),
            )
    finally:
        machine.teardown()


def test_losses_in_the_worst_moments(tmp_path: Path, redis_url: str) -> None:
    """What random plays seldom meet: each of these has one mechanism that stands against it."""
    machine = ServiceMachine(tmp_path, redis_url, NOON)
    first, second, third = (_records_of(user) for user in USERS)
    newest = [view.name for view in machine.state.views].index("newest")
    try:
        _play(
            machine,
            machine.end_backfills,
            # An older Redis between log and script: only the script sees the gap.
            machine.save,
            lambda: machine.ingest(0, first, False),
            lambda: machine.restore(0, second),
            # Of a key that is erased online alone the replay still finds the record.
            machine.save,
            lambda: machine.ingest(0, first, False),
            lambda: machine.erase(newest, USERS[0], (True, False)),
            lambda: machine.restore(1, []),
            lambda: machine.look(1),
            lambda: machine.reload(0),
            # As the reload does, in offline and push tables.
            lambda: machine.ingest(0, first, False),
            lambda: machine.take(None),
            lambda: machine.ingest(0, second, False),
            lambda: machine.erase(newest, USERS[0], (True, False)),
            lambda: machine.erase(newest, USERS[1], (True, False)),
            machine.flush,
            lambda: machine.reload(1),
            # An older Redis that is lost while it is filled: nobody may hear that all is there.
            machine.recover,
            machine.save,
            lambda: machine.ingest(0, third, False),
            lambda: machine.lose_twice(0, third),
            # Clocks that differ, with a counter that has forgotten.
            lambda: machine.ingest(0, third, False),
            machine.flush,
            lambda: machine.ingest(1, second, False, 9),
            lambda: machine.cross(0, first, second),
            lambda: machine.ingest(1, third, False, 9),
            # Rows of an erased key come back with a view that was not loaded.
            lambda: machine.ingest(0, first, False),
            machine.save,
            lambda: machine.erase(newest, USERS[0], (True, False)),
            lambda: machine.restore(0, []),
            lambda: machine.look(0),
            lambda: machine.reload(1),
        )
    finally:
        machine.teardown()
