"""
The online store on Redis: one string a key and view, compared and set by scripts; of views that
aggregate a trie of events (`redis_windows`).

A value is the row's (timestamp, sequence) as two big-endian 64-bit integers, then its body.
Scripts compare and set in one step, so any number of writers may offer rows in any order.

Each bucket (`redis_keys`) keeps its own watermarks and markers, beside the rows that they speak
of, and so knows by itself what it has lost. Every batch of a push log moves the watermarks of all
buckets, of those without a row in it too: the least of them says what has reached all.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, product
from typing import Any, NamedTuple

from tecton.adapters.redis_client import connect
from tecton.adapters.redis_commands import Ask, Command, RedisClient, Script, delete, get, get_all
from tecton.adapters.redis_keys import (
    key_in,
    loaded_key,
    loading_key,
    reached_key,
    row_key,
    sequence_key,
    watermark_key,
)
from tecton.adapters.redis_windows import RedisWindows
from tecton.applied import AppliedView, workspace_of_log
from tecton.errors import StoreForbids, StoreUnavailable, ViewNotLoaded
from tecton.failpoints import Point, reach
from tecton.rows import FeatureRow
from tecton.stores import NOTHING_REACHED, Aggregated, Doubt, Reached, Stored

ROWS_PER_SCRIPT = 1000
"""A script blocks every reader: 1,000 rows take a few milliseconds."""

SCRIPTS_PER_CALL = 8
"""Of a cluster; its nodes share them."""

KEYS_PER_WALK = 1000

_MARKS = (loaded_key, loading_key, reached_key)

LOAD_MS = 7 * 24 * 3_600_000
"""No load takes longer than a week."""

_ORDER = struct.Struct(">qq")

_RESERVE, _RAISE = map(Script.load, ("reserve", "raise"))
_UPSERT, _ERASE = map(Script.load, ("upsert", "erase"))
_BEGIN, _MARK, _ADVANCE = map(Script.load, ("begin", "loaded", "advance"))
_FORGET = Script.load("forget")


class RedisOnlineStore:
    """`stores.OnlineStore` on Redis, one server or a cluster."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._tags = redis.buckets.tags
        self._windows = RedisWindows(redis)

    @classmethod
    def connect(cls, url: str) -> RedisOnlineStore:
        """A store on the Redis at *url* (see `redis_client.connect`); connects lazily."""
        return cls(connect(url))

    @property
    def client(self) -> Any:
        """The driver's client."""
        return self._redis.driver

    def reserve(
        self, workspace: str, count: int, now: int, given: int, life: str = ""
    ) -> int | Doubt:
        """Take *count* new sequences."""
        key = sequence_key(workspace)
        answer = self._redis.ask(_RESERVE.on([key], count, now, given, life))
        return answer if isinstance(answer, int) else Doubt(answer.decode())

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer rows."""
        size = ROWS_PER_SCRIPT * (1 if len(self._tags) == 1 else SCRIPTS_PER_CALL)
        remaining = iter(rows)
        while chunk := list(islice(remaining, size)):
            parts = self._split(self._offer_events(chunk))
            self._redis.ask_all(
                [_offer(tag, rows) for tag, part in parts.items() for rows in _pieces(part)]
            )

    def apply(
        self,
        log: str,
        previous: int,
        batch_no: int,
        rows: Sequence[FeatureRow],
        sequence: int = 0,
    ) -> bool:
        """Offer the rows of one batch of a push log, if all before it were offered."""
        # Only a bucket's last script advances its watermark; rows offered before it commute with
        # everything, so it does no harm if that script then finds a gap.
        plain = self._split(self._offer_events(rows))
        parts = {tag: list(_pieces(part)) for tag, part in plain.items()}
        for tag, pieces in parts.items():
            for piece in pieces[:-1]:
                self._redis.ask(_offer(tag, piece))
        reach(Point.EVENTS_OFFERED)
        chain = _Chain(log, previous, batch_no)
        counter = sequence_key(workspace_of_log(log))
        commands = [_RAISE.on([counter], sequence)] if sequence else []
        commands += [_offer(tag, parts.get(tag, [()])[-1], chain) for tag in self._tags]
        return all(self._redis.ask_all(commands))

    def applied_batch(self, log: str) -> int:
        """The newest batch of *log* up to which all are applied."""
        marks = self._redis.ask_all([get(watermark_key(tag, log)) for tag in self._tags])
        return min(int(mark or 0) for mark in marks)

    def read(self, keys: Sequence[tuple[str, str]]) -> Sequence[Stored | None]:
        """The newest row for each (view, key)."""
        parts = self._redis.buckets.split(
            (key, _Wanted(number, view, key)) for number, (view, key) in enumerate(keys)
        )
        # A bucket's rows and markers are read at one moment.
        buckets = self._redis.ask_all([_look_up(tag, part) for tag, part in parts.items()])
        found: list[Stored | None] = [None] * len(keys)
        for part, values in zip(parts.values(), buckets, strict=True):
            _check_markers(values[: -len(part)])
            for wanted, value in zip(part, values[-len(part) :], strict=True):
                found[wanted.number] = None if value is None else _stored(value)
        return found

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """The aggregates of each (view, key)."""
        views: dict[str, set[str]] = {}
        for view, key in keys:
            views.setdefault(self._redis.buckets.of(key), set()).add(view.online_id)
        # Markers are read after the events, so that they hold for these.
        questions = self._windows.questions(keys, now)
        markers = [
            get_all([loaded_key(tag, view) for view in sorted(part)]) for tag, part in views.items()
        ]
        found = self._redis.ask_all([*questions, *markers])
        for values in found[len(questions) :]:
            _check_markers(values)
        return self._windows.answers(keys, now, found[: len(questions)])

    def tidy(self) -> int:
        """Seal what is closed of windows, of some keys."""
        return self._windows.tidy()

    def erase(self, view: AppliedView, keys: Sequence[str], sequence: int) -> None:
        """Delete what was accepted of some join keys up to *sequence*."""
        if view.aggregations:
            commands = self._windows.erasures(view, keys, sequence)
        else:
            names = [row_key(self._redis.buckets.of(key), view.online_id, key) for key in keys]
            commands = [_ERASE.on([name], sequence) for name in names]
        for start in range(0, len(commands), ROWS_PER_SCRIPT):
            self._redis.ask_all(commands[start : start + ROWS_PER_SCRIPT])

    def keys(self, view: str) -> Iterator[str]:
        """The join keys of which there is something in a view."""
        for names in self._walk(view, self._tags):
            yield from (key_in(name) for name in names)

    def begin_load(self, view: str, erased: int = 0) -> str:
        """Say that rows of a view are going to be offered."""
        [has] = self.reached([view])
        if has.erased < erased:
            with suppress(StoreForbids):
                self.forget([view])
                # At once, so that of two who load it the second does not empty it again.
                self.advance(view, Reached(erased=erased))
        load = secrets.token_hex(8)
        self._redis.ask_all(
            [_BEGIN.on([loading_key(tag, view)], load, LOAD_MS) for tag in self._tags]
        )
        return load

    def mark_loaded(
        self, views: Sequence[str], load: str | None = None, reached: Reached = NOTHING_REACHED
    ) -> None:
        """Say that all rows of these views are there."""
        if not views:
            return
        commands = []
        for tag in self._tags:
            keys = [name(tag, view) for view in views for name in _MARKS]
            commands.append(_MARK.on(keys, load or "", *reached))
        self._check_load(commands)

    def unmark(self, views: Sequence[str]) -> None:
        """Take the marks of loaded views away."""
        marks = [loaded_key(tag, view) for tag in self._tags for view in views]
        self._redis.ask_all([delete(mark) for mark in marks])

    def advance(self, view: str, reached: Reached, load: str | None = None) -> None:
        """Say how far a view has come."""
        keys = [[reached_key(tag, view), loading_key(tag, view)] for tag in self._tags]
        commands = [_ADVANCE.on(pair, *reached, load or "") for pair in keys]
        self._check_load(commands)

    def _check_load(self, commands: Sequence[Command]) -> None:
        if not all(self._redis.ask_all(commands)):
            raise StoreUnavailable(
                "the online store has lost data while a feature view was being loaded; load it "
                "again"
            )

    def reached(self, views: Sequence[str]) -> Sequence[Reached]:
        """How far views have come in all buckets."""
        names = [reached_key(tag, view) for view in views for tag in self._tags]
        answers = iter(self._redis.ask_all([_reached(name) for name in names]))
        return [_least([next(answers) for _ in self._tags]) for _ in views]

    def unloaded(self, views: Sequence[str]) -> Sequence[str]:
        """Those of *views* that are not marked as loaded."""
        if not views:
            return []
        commands = [get_all([loaded_key(tag, view) for view in views]) for tag in self._tags]
        buckets = self._redis.ask_all(commands)
        return [view for view, *marks in zip(views, *buckets, strict=True) if None in marks]

    def forget(self, views: Sequence[str]) -> int:
        """Delete all that there is of views."""
        if views:
            # Who may not look at all keys must not begin.
            self._redis.ask(_walk(row_key(self._tags[0], views[0], ""), 0))
        marks = [name(tag, view) for tag in self._tags for view in views for name in _MARKS]
        # First: whoever reads on finds no marker any more before it misses a row.
        self._redis.ask_all([delete(mark) for mark in marks])
        count = 0
        for view, tag in product(views, self._tags):
            of_bucket = [name(tag, view) for name in _MARKS]
            for names in self._walk(view, [tag]):
                if names:
                    self._redis.ask(_FORGET.on([*of_bucket, *names]))
                count += len(names)
        return count

    def _walk(self, view: str, tags: Sequence[str]) -> Iterator[Sequence[str]]:
        """The keys of a view's rows in some buckets, some at a time, some maybe twice."""
        for tag in tags:
            prefix = row_key(tag, view, "")
            cursor = 0
            while True:
                answer = self._redis.ask(_walk(prefix, cursor))
                cursor = int(answer[0])
                yield [name.decode() for name in answer[1]]
                if not cursor:
                    break

    def _offer_events(self, rows: Sequence[FeatureRow]) -> Sequence[FeatureRow]:
        """Offer the rows that are events of windows; answers the others."""
        events = [row for row in rows if row.event is not None]
        self._windows.upsert(events)
        return [row for row in rows if row.event is None] if events else rows

    def _split(self, rows: Iterable[FeatureRow]) -> dict[str, list[FeatureRow]]:
        return self._redis.buckets.split((row.key, row) for row in rows)


def _reached(name: str) -> Command:
    return Command(("HMGET", name, *Reached._fields), name)


def _least(parts: Sequence[Sequence[bytes | None]]) -> Reached:
    numbers = [[int(value or 0) for value in values] for values in parts]
    return Reached(*map(min, zip(*numbers, strict=True)))


class _Wanted(NamedTuple):
    """A row that is asked for: the number of the answer, and whose row it is."""

    number: int
    view: str
    key: str


class _Chain(NamedTuple):
    """Where a batch stands in its push log."""

    log: str
    previous: int
    batch_no: int


def _check_markers(markers: Sequence[Any]) -> None:
    if None in markers:
        raise ViewNotLoaded(
            "the online store does not hold all rows of a feature view yet; its backfill "
            "is running or has to be run again",
            retry_after=5,
        )


def _pieces(rows: Sequence[FeatureRow]) -> Iterator[Sequence[FeatureRow]]:
    """As many rows as one script takes, then the next ones."""
    for start in range(0, len(rows), ROWS_PER_SCRIPT):
        yield rows[start : start + ROWS_PER_SCRIPT]


def _look_up(tag: str, part: Sequence[_Wanted]) -> Command:
    """Asks a bucket for the markers of the views concerned, then for the rows."""
    markers = [loaded_key(tag, view) for view in sorted({wanted.view for wanted in part})]
    return get_all([*markers, *(row_key(tag, wanted.view, wanted.key) for wanted in part)])


def _offer(tag: str, rows: Sequence[FeatureRow], chain: _Chain | None = None) -> Command:
    """Offers rows of one bucket; with a chain, if the batch before was offered too."""

    def singly(ask: Ask) -> Any:
        for row in rows:
            ask(_offer(tag, [row]))
        return 1 if chain is None else ask(_offer(tag, (), chain))

    keys = [row_key(tag, row.view, row.key) for row in rows]
    arguments: list[Any] = []
    for row in rows:
        arguments.append(_ORDER.pack(row.timestamp, row.sequence) + row.body)
        arguments.append(row.collected_at_ms or 0)
    if chain is None:
        return _UPSERT.on(keys, 0, *arguments, singly=singly if len(keys) > 1 else None)
    keys.insert(0, watermark_key(tag, chain.log))
    arguments = [1, chain.previous, chain.batch_no, *arguments]
    return _UPSERT.on(keys, *arguments, singly=singly if rows else None)


def _walk(prefix: str, cursor: int) -> Command:
    """Asks the node of a bucket for some of its keys that begin so, from a cursor on."""
    return Command(("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", KEYS_PER_WALK), prefix)


def _stored(value: bytes) -> Stored:
    timestamp, sequence = _ORDER.unpack_from(value)
    return Stored(timestamp, sequence, value[_ORDER.size :])
