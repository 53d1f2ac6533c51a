"""What a state machine compares with its model: push tables, offline tables, online reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from tecton.adapters.push_tables import DeltaPushTables
from tecton.applied import AppliedView, WorkspaceState, offline_path, push_log_name, push_path
from tecton.stores import LogEntry
from tecton.timestamps import format_micros, micros_of
from tecton.types import Array, Int64
from tests.machine_hosts import DAY, USERS, Host
from tests.model import Generation, Model, Push

MARGIN = 2 * DAY
"""How much longer than any view sees pushed records are kept (docs/decisions/0030)."""


class Checks:
    """A store, its services and a model of it.

    Args:
        folder: Holds the store.
        state: What is applied.
        model: What was done so far.
        start: What the clock shows at first.
    """

    key: str
    hosts: list[Host]

    def __init__(self, folder: Path, state: WorkspaceState, model: Model, start: datetime) -> None:
        super().__init__()
        self.folder = folder
        self.state = state
        self.model = model
        self.now = start
        self.sequences: dict[int, int] = {}
        """Of each record that was accepted, by its number."""
        self._known: dict[str, tuple[Sequence[str], Any]] = {}

    @property
    def micros(self) -> int:
        """The clock."""
        return micros_of(self.now)

    def check_log(self) -> None:
        """Each record is in a push table once, under a greater sequence than all before it."""
        physical = self.physical()
        known = set(self.sequences.values())
        new = sorted(physical.keys() - known)
        expected = [
            push for push in self.model.pushes.values() if push.number not in self.sequences
        ]
        assert [_spelled(push) for push in expected] == [_read(physical[n]) for n in new]
        assert not new or new[0] > max(known, default=0)
        self.sequences.update(zip((push.number for push in expected), new, strict=True))
        assert set(physical) == {self.sequences[number] for number in self.model.pushes}

    def check_applied(self, host: Host) -> None:
        """All that a service has logged was offered to Redis."""
        writer = host.settings.writer
        last = DeltaPushTables(str(self.folder / "store")).last_batch(self.state, str(writer))
        assert host.online.applied_batch(push_log_name(self.state, writer)) == last

    def check_online(self) -> None:
        """Every key is answered right; 503 exactly while a view is not loaded."""
        online = [one for one in self.model.views.values() if one.view.online]
        for one in online:
            if not one.is_loaded:
                assert None is self.read(f"only_{one.view.name}", USERS[0]), one.view.name
        loaded = sorted((one for one in online if one.is_loaded), key=lambda one: one.view.name)
        for user in USERS if loaded else ():
            if len(loaded) == len(online):
                answers = [("all", loaded)]
            else:
                answers = [(f"only_{one.view.name}", [one]) for one in loaded]
            for service, views in answers:
                expected: list[Any] = []
                for one in views:
                    expected += _wire(one.view, self.model.served(one, user, self.micros))
                assert expected == self.read(service, user), (service, user)

    def read(self, service: str, user: str) -> list[Any] | None:
        """The vector of a service; None for 503."""
        params = {
            "workspace_name": self.state.name,
            "feature_service_name": service,
            "join_key_map": {"user_id": user},
        }
        response = self.hosts[0].features({"params": params}, self.key)
        if response.status_code == 503:
            return None
        assert response.status_code == 200, response.data
        features: list[Any] = response.get_json()["result"]["features"]
        return features

    def check_offline(self, one: Generation) -> None:
        """What an offline table has taken, and what it has not, is all of the rows, once."""
        rows, taken = self.offline_rows(one.view)
        source = self.state.source_by_name[one.view.source]
        pushed = [row["_sequence"] for row in rows if row["_origin"] == "push"]
        tail = [
            entry.sequence
            for writer, entry in self.entries()
            if entry.source == source.id and entry.batch_no > taken.get(writer, 0)
        ]
        assert Counter(self.sequences[row.number] for row in one.pushed) == Counter(pushed + tail)
        by_sequence = {self.sequences[row.number]: row for row in one.pushed}
        for row in rows:
            if row["_origin"] == "push":
                assert _values(one.view, row) == by_sequence[row["_sequence"]].values
        expected = Counter((row.key, row.timestamp, row.tie, row.body()) for row in one.batch)
        batch = [row for row in rows if row["_origin"] == "batch"]
        assert expected == Counter(_plain(one.view, row) for row in batch)
        runs = {(row.key, row.timestamp, row.tie): row.number for row in one.batch}
        places = {runs[_plain(one.view, row)[:3]]: row["_sequence"] for row in batch}
        assert sorted(places.values()) == [places[number] for number in sorted(places)]

    def entries(self) -> list[tuple[str, LogEntry]]:
        """Every record of every push table, and whose table it is."""
        tables = DeltaPushTables(str(self.folder / "store"))

        def read(writer: str) -> list[tuple[str, LogEntry]]:
            batches = tables.read_after(self.state, writer, 0)
            return [(writer, entry) for batch in batches for entry in batch]

        found: list[tuple[str, LogEntry]] = []
        for writer in tables.writers(self.state):
            path = push_path(self.state, int(writer))
            found += self.unless_known(path, partial(read, writer))
        return found

    def physical(self) -> dict[int, LogEntry]:
        """The records of all push tables by sequence, which no two have in common."""
        entries = [entry for _, entry in self.entries()]
        found = {entry.sequence: entry for entry in entries}
        assert len(found) == len(entries)
        return found

    def offline_rows(self, view: AppliedView) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """The rows of an offline table, and what it has taken of each writer."""
        path = offline_path(self.state, view)

        def read() -> tuple[list[dict[str, Any]], dict[str, int]]:
            table = DeltaTable(f"{self.folder}/store/{path}")
            taken = {w: table.transaction_version(f"push/{w}") or 0 for w in ("0", "1")}
            return table.to_pyarrow_table().to_pylist(), taken

        return self.unless_known(path, read) or ([], {})

    def unless_known(self, path: str, read: Callable[[], Any]) -> Any:
        """What *read* says of a table, or said when its log was the same; None without a table."""
        log = sorted(entry.name for entry in (self.folder / "store" / path).glob("_delta_log/*"))
        if log and self._known.get(path, ((), None))[0] != log:
            self._known[path] = (log, read())
        return self._known[path][1] if log else None

    def check_what_was_dropped(self) -> None:
        """Records that left the push tables are too old for every view, and in offline tables."""
        physical = self.physical()
        sees = [one.view.ttl or DAY for one in self.model.views.values()]
        first = (self.now - max(sees) - MARGIN).replace(hour=0, minute=0, second=0, microsecond=0)
        dropped = [
            push
            for push in self.model.pushes.values()
            if self.sequences[push.number] not in physical
        ]
        for push in dropped:
            assert push.accepted_at < micros_of(first)
        for one in self.model.views.values():
            if one.view.offline and dropped:
                rows, _ = self.offline_rows(one.view)
                held = {row["_sequence"] for row in rows}
                own = [push for push in dropped if push.source == one.view.source]
                assert {self.sequences[push.number] for push in own} <= held
        self.model.forget([push.number for push in dropped])


def _spelled(push: Push) -> dict[str, Any]:
    return {**push.record, "timestamp": format_micros(push.record["timestamp"])}


def _read(entry: LogEntry) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(entry.record)
    return record


def _values(view: AppliedView, row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: row[column.name] for column in view.columns}


def _plain(view: AppliedView, row: Mapping[str, Any]) -> tuple[str, int, int, bytes]:
    body = json.dumps(list(_values(view, row).values()), separators=(",", ":"), ensure_ascii=False)
    return (row["user_id"], micros_of(row[view.timestamp_field]), row["_tie"], body.encode())


def _wire(view: AppliedView, values: Mapping[str, Any] | None) -> list[Any]:
    """A vector as get-features spells it."""
    features = []
    for feature in view.features:
        value = None if values is None else values[feature.name]
        if value is not None and feature.dtype == Int64:
            value = str(value)
        if value is not None and feature.dtype == Array(Int64):
            value = [None if item is None else str(item) for item in value]
        features.append(value)
    return features
