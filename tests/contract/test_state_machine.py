"""Pushes, losses, restarts, maintenance, reloads in any order give what a dict gives; no JVM."""

from __future__ import annotations

from datetime import datetime, timezone
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
from tests.machine import DAY, Machine, play
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

    @rule()
    def take(self) -> None:
        """Every offline table takes what it has not taken of each writer."""
        self.advance()
        for one in self.model.views.values():
            if one.view.offline:
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

    run_state_machine_as_test(machine, settings=play(examples=25, steps=40))
