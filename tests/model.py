"""
What the whole system must answer: the events of each view in plain dicts and lists.

Nothing here knows how the product keeps or moves rows. Aggregates are `tests/oracle.py`'s. Times
are µs since the epoch; `number` counts what is accepted: pushed records, batch runs, erasures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any, NamedTuple

from tecton.applied import AppliedView
from tests.oracle import OracleEvent, oracle

MICROSECOND = timedelta(microseconds=1)
RUN = 10**12
"""A batch row's order is its run's number minus this, so that every pushed record is later."""


class Push(NamedTuple):
    """A record that was accepted, its time in µs."""

    number: int
    source: str
    record: Mapping[str, Any]
    accepted_at: int


class Row(NamedTuple):
    """A feature row; of the rows of one identity that with the greatest (order, tie) counts."""

    key: str
    timestamp: int
    identity: bytes
    order: int
    tie: int
    values: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Of the push or of the batch run."""
        return self.order % RUN

    def body(self) -> bytes:
        """The canonical encoding of the values, by which rows of one run are ordered."""
        values = list(self.values.values())
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()


class Online(NamedTuple):
    """What the online store holds of a generation; see there."""

    rows: Sequence[Row] = ()
    is_loaded: bool = False
    is_behind: bool = False


@dataclass
class Generation:
    """One generation of a view: what the stores must hold of it.

    Args:
        view: Its definition.
        pushed: Rows of pushed records that an offline read sees.
        batch: Rows of its offline table that come from the batch source.
        online: What an online read may see; what has left the batch source stays until a flush.
        runs: Over batch periods: start, end, number.
        hidden: By key, online (True) or offline (False): up to which number it is erased.
        filled: When a job last brought rows to the online store.
        is_behind: The online store lacks what a job has brought.
        is_suspect: The online store has lost or had lost something since the services looked.
    """

    view: AppliedView
    pushed: list[Row]
    batch: list[Row] = field(default_factory=list)
    online: list[Row] = field(default_factory=list)
    runs: list[tuple[int, int, int]] = field(default_factory=list)
    hidden: dict[tuple[str, bool], int] = field(default_factory=dict)
    is_loaded: bool = False
    is_backfilled: bool = False
    filled: int = 0
    is_behind: bool = False
    is_suspect: bool = False

    def is_served(self, row: Row) -> bool:
        """Is a row not erased online?"""
        return row.number > self.hidden.get((row.key, True), 0)

    def has_erased_rows(self) -> bool:
        """Does the online store have erased rows again?"""
        return not all(map(self.is_served, self.online))

    def run_over(self, timestamp: int) -> int:
        """The number of the newest run that has read the batch rows of that time, 0 for none."""
        return max((n for start, end, n in self.runs if start <= timestamp < end), default=0)

    def has_run_over(self, start: int, end: int) -> bool:
        """Is there a run over each time of a period?"""
        for first, last, _ in sorted(self.runs):
            start = max(start, last) if first <= start else start
        return start >= end


class Model:
    """All that was accepted, and what follows from it."""

    def __init__(self) -> None:
        self.number = 0
        self.pushes: dict[int, Push] = {}
        self.files: dict[str, list[Mapping[str, Any]]] = {}
        self.views: dict[str, Generation] = {}

    def add_view(self, view: AppliedView) -> Generation:
        """A new generation, maybe of a name that there was; it is not loaded."""
        known = [push for push in self.pushes.values() if push.source == view.source]
        made = Generation(view, [_row(view, push.record, push.number) for push in known])
        self.views[view.name] = made
        return made

    def of(self, source: str) -> list[Generation]:
        """The generations that subscribe to a source."""
        return [one for one in self.views.values() if one.view.source == source]

    def push(self, source: str, record: Mapping[str, Any], now: int) -> None:
        """A record was accepted."""
        self.number += 1
        self.pushes[self.number] = Push(self.number, source, record, now)
        for one in self.of(source):
            row = _row(one.view, record, self.number)
            one.pushed.append(row)
            one.online.append(row)

    def forget(self, numbers: Iterable[int]) -> None:
        """Records are in no push table any more."""
        for number in numbers:
            del self.pushes[number]

    def flush(self) -> None:
        """The online store is empty."""
        for one in self.views.values():
            self.unload(one, True)
            one.is_suspect = True

    def unload(self, one: Generation, is_emptied: bool) -> None:
        """A view is not served any more."""
        one.is_loaded = one.is_behind = False
        if is_emptied:
            one.online = []

    def saved(self) -> Mapping[str, Online]:
        """The state of the online store, by id of the generation."""
        return {
            one.view.id: Online(tuple(one.online), one.is_loaded, one.is_behind)
            for one in self.views.values()
        }

    def go_back(self, saved: Mapping[str, Online], number: int) -> None:
        """The online store is as it was at *number*, and all that was pushed since is replayed."""
        for one in self.views.values():
            if not one.view.online:
                continue
            old = saved.get(one.view.id, Online())
            since = [row for row in one.pushed if row.number > number and one.is_served(row)]
            one.online = [*old.rows, *since]
            one.is_loaded, one.is_suspect = old.is_loaded, True
            one.is_behind = old.is_behind or one.filled > number

    def load(self, one: Generation) -> None:
        """All that is kept of a view is offered to the online store."""
        rows = one.batch + one.pushed
        one.online += filter(one.is_served, rows)
        one.is_loaded, one.is_behind = one.view.online, False

    def backfill_batch(self, one: Generation, end: int) -> None:
        """All of the batch source until *end*, or as far as there were runs before."""
        if one.view.source in self.files:
            ends = [end, *(end for _, end, _ in one.runs)]
            self.replace(one, one.view.start_micros, max(ends))

    def finish_backfill(self, one: Generation) -> None:
        """All that was pushed is there too."""
        self.number += 1
        one.is_backfilled, one.filled = True, self.number
        self.load(one)

    def replace(self, one: Generation, start: int, end: int, is_due: bool = False) -> None:
        """A run over the batch rows of a period; *is_due*: of its times without a run."""
        self.number += 1
        start = max(start, one.view.start_micros)

        def is_in(at: int) -> bool:
            return start <= at < end and not (is_due and one.run_over(at))

        rows = self._file_rows(one, self.number - RUN, is_in)
        if one.view.offline:
            one.batch = [row for row in one.batch if not is_in(row.timestamp)] + rows
        one.online += rows
        if not (is_due and one.has_run_over(start, end)):
            one.filled = self.number
        one.runs.append((start, end, self.number))

    def erase(self, one: Generation, key: str, is_online: bool, is_offline: bool) -> None:
        """`delete_keys`; what was pushed goes together with all views of its source."""
        self.number += 1
        for other in self.of(one.view.source) if is_offline else [one]:
            if is_online:
                other.hidden[key, True] = self.number
                other.online = [row for row in other.online if row.key != key]
            if is_offline:
                other.hidden[key, False] = self.number
                other.batch = [row for row in other.batch if row.key != key]
                other.pushed = [row for row in other.pushed if row.key != key]
        if is_offline:
            pushes = [push for push in self.pushes.values() if push.source == one.view.source]
            self.forget(push.number for push in pushes if push.record["user_id"] == key)

    def served(self, one: Generation, key: str, now: int) -> Mapping[str, Any] | None:
        """What an online read answers: at *now* or, if later, at the newest event of the key."""
        rows = [row for row in one.online if row.key == key]
        return _answer(one.view, rows, max([now, *(row.timestamp for row in rows)]))

    def trained(self, one: Generation, key: str, at: int) -> Mapping[str, Any] | None:
        """What an offline read answers at a time."""
        batch = one.batch
        if not one.view.offline:
            rows = self._file_rows(one, -RUN, one.view.start_micros.__le__)
            until = one.hidden.get((key, False), -1)
            batch = [row for row in rows if one.run_over(row.timestamp) > until]
        return _answer(one.view, [row for row in batch + one.pushed if row.key == key], at)

    def _file_rows(self, one: Generation, order: int, is_in: Callable[[int], bool]) -> list[Row]:
        """The batch source's rows: of one identity the greatest, ranked within a key and time."""
        records = self.files.get(one.view.source, ())
        records = [record for record in records if record["user_id"] is not None]
        rows = [_row(one.view, record, order) for record in records if is_in(record["timestamp"])]
        best = {row[:3]: row for row in sorted(rows, key=Row.body)}.values()
        ranked: list[Row] = []
        for _, moment in groupby(sorted(best, key=lambda row: row[:2]), lambda row: row[:2]):
            ordered = enumerate(sorted(moment, key=Row.body))
            ranked += [row._replace(tie=tie if one.view.event_key else 0) for tie, row in ordered]
        return ranked


def _row(view: AppliedView, record: Mapping[str, Any], order: int) -> Row:
    identity = json.dumps([record[name] for name in view.event_key]).encode()
    values = {column.name: record[column.name] for column in view.columns}
    return Row(record["user_id"], record[view.timestamp_field], identity, order, 0, values)


def _answer(view: AppliedView, rows: Sequence[Row], at: int) -> Mapping[str, Any] | None:
    """The features of one key at a time, from rows in any order; None if nothing is in reach."""
    past = [row for row in rows if row.timestamp <= at]
    newest = max(past, key=lambda row: (row.timestamp, row.order, row.tie), default=None)
    if newest is None or not _is_in_reach(view, at - newest.timestamp):
        return None
    if not view.aggregations:
        return newest.values
    return oracle(view, [OracleEvent(*row[1:5], row.values) for row in past], at)


def _is_in_reach(view: AppliedView, age: int) -> bool:
    if view.aggregations:
        return age * MICROSECOND < max(one.time_window for one in view.aggregations)
    return view.ttl is None or age * MICROSECOND <= view.ttl
