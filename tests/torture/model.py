"""
What every answer must be: brute force over what the push tables hold, and the batch rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tecton.applied import AppliedView, WorkspaceState
from tecton.timestamps import parse_stored
from tecton.types import Array, Int64
from tests.oracle import OracleEvent, differences, oracle
from tests.torture.definitions import EVENTS, NEWEST, Sent
from tests.torture.stage import Stage

BATCH_SEQUENCE = -1
"""Any below those of pushed records: there is one batch run, or equal ones."""


class Logged(NamedTuple):
    """A record in a push table."""

    writer: str
    batch_no: int
    sequence: int
    sent: Sent


def logged(stage: Stage) -> list[Logged]:
    """Every record in the push tables."""
    names = {source.id: source.name for source in stage.state.sources}
    tables = stage.backend.push_tables
    return [
        Logged(writer, entry.batch_no, entry.sequence, _sent(names[entry.source], entry.record))
        for writer in tables.writers(stage.state)
        for batch in tables.read_after(stage.state, writer, 0)
        for entry in batch
    ]


class Model:
    """The answers.

    Args:
        state: The workspace.
        rows: What the push tables hold.
        batch: Batch rows that were materialised.
    """

    def __init__(
        self, state: WorkspaceState, rows: Iterable[Logged], batch: Iterable[Sent]
    ) -> None:
        self._events: dict[tuple[str, str], list[OracleEvent]] = defaultdict(list)
        for row in rows:
            self._add(row.sent, row.sequence)
        for sent in batch:
            self._add(sent, BATCH_SEQUENCE)
        self._sources = {view.name: view.source for view in state.views}

    def wrong(
        self, view: AppliedView, user: str, got: Mapping[str, Any], at: int
    ) -> dict[str, tuple[Any, Any]]:
        """
        The features that are not what they must be, each with what it is and should be.

        Args:
            view: The view.
            user: The join key.
            got: Canonical values by feature.
            at: When it was asked, µs since the epoch.
        """
        events = self._events[self._sources[view.name], user]
        if view.name != NEWEST:
            return differences(view, got, oracle(view, events, at), events, at)
        seen = [event for event in events if event.timestamp <= at]
        newest = max(seen, key=lambda event: (event.timestamp, event.sequence), default=None)
        is_old = newest is None or at - newest.timestamp > (view.ttl_micros or 0)
        expected = None if newest is None or is_old else newest.values["n"]
        return {} if got["n"] == expected else {"n": (got["n"], expected)}

    def _add(self, sent: Sent, sequence: int) -> None:
        event = OracleEvent(sent.timestamp, sent.order.encode(), sequence, 0, sent.values())
        self._events[sent.source, sent.user].append(event)


def canonical(view: AppliedView, served: Mapping[str, Any]) -> dict[str, Any]:
    """What a service has answered, as the model has it: integers are no strings there."""
    values = {}
    for feature in view.features:
        value = served.get(f"{view.name}.{feature.name}")
        if value is not None and feature.dtype == Int64:
            value = int(value)
        elif value is not None and feature.dtype == Array(Int64):
            value = [int(item) for item in value]
        values[feature.name] = value
    return values


def _sent(source: str, record: bytes) -> Sent:
    values = msgspec.json.decode(record)
    at = parse_stored(values["timestamp"])
    assert at is not None
    return Sent(source, values["user_id"], at, values["n"], values.get("order", ""))


def by_n(rows: Sequence[Logged]) -> dict[int, list[Logged]]:
    """The occurrences of each value."""
    found: dict[int, list[Logged]] = defaultdict(list)
    for row in rows:
        found[row.sent.n].append(row)
    return found


def is_event(sent: Sent) -> bool:
    """Is it one of those that the view of newest rows sees?"""
    return sent.source == EVENTS
