"""
Time windows on Redis: the events of a view and join key in one hash, as a trie over time.

A read costs what the depth of the trie costs, however many events there are: parts that lie
wholly inside a window are read as one summary each (docs/decisions/0027). Events are stored
by one script and change nothing else than what they are in; `tidy` works out the summaries
afterwards. Until then a read takes the events themselves, and is right too.

All scripts may be sent twice, as everything here (docs/decisions/0022).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from threading import Lock
from typing import Any, NamedTuple

from tecton.adapters.redis_commands import Ask, Command, RedisClient, Script
from tecton.adapters.redis_keys import row_key
from tecton.adapters.trie_layout import layout_of, lengthened
from tecton.adapters.trie_sealing import seals
from tecton.applied import AppliedView
from tecton.errors import StoreUnavailable
from tecton.rows import BATCH_SEQUENCE_OFFSET, FeatureRow
from tecton.stores import WINDOWED_MICROS, Aggregated
from tecton.windows import Sealed

EVENTS_PER_SCRIPT = 200
"""A script blocks every reader: 200 events take 2 or 3 milliseconds."""

BYTES_PER_SCRIPT = 1 << 20
"""The same where events hold long strings."""

EVENTS_PER_CALL = 2000

KEYS_PER_TIDY = 32
"""How many keys a call of `tidy` looks at."""

PARTS_PER_TIDY = 64
"""About how many parts of a key it seals."""

NOTED_KEYS = 100_000
"""How many keys wait to be tidied. One that is forgotten is noted again when it is read."""

UNSEALED_PARTS = 8
"""A read that meets more than this many parts that should be sealed has the key tidied."""


def _script(*names: str) -> Script:
    text = "\n".join(Script.load(f"trie_{part}").text for part in ("common", *names))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_COLLECT, _UNSEALED, _SEAL = map(_script, ("collect", "unsealed", "seal"))
_UPSERT, _ERASE = _script("offer", "upsert"), _script("offer", "erase")


class WindowKey(NamedTuple):
    """A join key of an aggregating view."""

    view: AppliedView
    key: str


class Offer(NamedTuple):
    """Events that one script stores; its answer tells which of *keys* have to be tidied."""

    keys: Sequence[WindowKey]
    command: Command


class RedisWindows:
    """`stores.WindowStore` on Redis, one server or a cluster; whether views are loaded is left to
    whoever asks the markers."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._buckets = redis.buckets
        self._noted = _Noted()

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer events."""
        remaining = iter(rows)
        while chunk := list(islice(remaining, EVENTS_PER_CALL)):
            offers = self.offers(chunk)
            self.note(offers, self._redis.ask_all([offer.command for offer in offers]))

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """The aggregates of each (view, key)."""
        return self.answers(keys, now, self._redis.ask_all(self.questions(keys, now)))

    def erasures(self, view: AppliedView, keys: Sequence[str], sequence: int) -> list[Command]:
        """The commands that delete the events of keys that were accepted up to *sequence*."""
        layout = layout_of(view)
        ttl_ms = None if view.reach_micros is None else -(-view.reach_micros // 1000)
        until = [layout.sequence(s) for s in (sequence, sequence - BATCH_SEQUENCE_OFFSET)]
        names = [row_key(self._buckets.of(key), view.online_id, key) for key in keys]
        return [_ERASE.on([name], layout.header(ttl_ms), *until) for name in names]

    def tidy(self) -> int:
        """Seal what is closed, of the keys that were noted longest ago."""
        keys = self._noted.take(KEYS_PER_TIDY)
        try:
            again = self._tidy(keys)
        except StoreUnavailable:
            self._noted.add(keys)
            raise
        self._noted.add(again)
        return len(self._noted)

    def offers(self, rows: Iterable[FeatureRow]) -> list[Offer]:
        """The commands that `upsert` asks, for who asks others with them; then call `note`."""
        parts = self._buckets.split(_packed(rows))
        return [offer for tag, part in parts.items() for offer in _offers(tag, part)]

    def note(self, offers: Sequence[Offer], answers: Sequence[Any]) -> None:
        """Take the answers to *offers*, for `tidy`."""
        for offer, numbers in zip(offers, answers, strict=True):
            self._noted.add([offer.keys[number - 1] for number in numbers])

    def questions(self, keys: Sequence[tuple[AppliedView, str]], now: int) -> list[Command]:
        """The commands that `aggregate` asks, one a key; then call `answers`."""
        commands = []
        for view, key in keys:
            layout = layout_of(view)
            name = row_key(self._buckets.of(key), view.online_id, key)
            commands.append(_COLLECT.on([name], layout.header(), now, layout.windows))
        return commands

    def answers(
        self, keys: Sequence[tuple[AppliedView, str]], now: int, found: Sequence[Any]
    ) -> list[Aggregated | None]:
        """The aggregates, from the answers to `questions`."""
        answers = []
        for (view, key), collected in zip(keys, found, strict=True):
            if collected is not None and collected[1] > UNSEALED_PARTS:
                self._noted.add([WindowKey(view, key)])
            answers.append(None if collected is None else _aggregated(view, now, collected))
        return answers

    def _tidy(self, keys: Sequence[WindowKey]) -> Sequence[WindowKey]:
        """Seal parts of keys; answers those that have more."""
        again = []
        commands = []
        asked = [self._on(_UNSEALED, noted, PARTS_PER_TIDY) for noted in keys]
        found = self._redis.ask_all(asked)
        for noted, (has_more, *parts) in zip(keys, found, strict=True):
            if has_more:
                again.append(noted)
            found_seals = list(seals(layout_of(noted.view), parts))
            if found_seals:
                commands.append(self._on(_SEAL, noted, *(v for seal in found_seals for v in seal)))
        self._redis.ask_all(commands)
        return again

    def _on(self, script: Script, noted: WindowKey, *arguments: Any) -> Command:
        name = row_key(self._buckets.of(noted.key), noted.view.online_id, noted.key)
        return script.on([name], layout_of(noted.view).header(), *arguments)


class _Noted:
    """Keys that have to be tidied, each once, in the order in which they were noted."""

    def __init__(self) -> None:
        self._keys: OrderedDict[tuple[str, str], WindowKey] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: Iterable[WindowKey]) -> None:
        """Note keys."""
        with self._lock:
            for noted in keys:
                self._keys.setdefault((noted.view.online_id, noted.key), noted)
            while len(self._keys) > NOTED_KEYS:
                self._keys.popitem(last=False)

    def take(self, count: int) -> list[WindowKey]:
        """The first keys, which are noted no more."""
        with self._lock:
            count = min(count, len(self._keys))
            return [self._keys.popitem(last=False)[1] for _ in range(count)]


class _Event(NamedTuple):
    """An event as it is stored."""

    key: WindowKey
    timestamp: int
    ttl_ms: int | None
    data: bytes

    @property
    def place(self) -> tuple[str, str]:
        """Whose event it is."""
        return (self.key.view.online_id, self.key.key)


def _packed(rows: Iterable[FeatureRow]) -> Iterator[tuple[str, _Event]]:
    """Each event that can be kept, with its join key."""
    for row in rows:
        if row.event and row.timestamp in WINDOWED_MICROS:
            view = row.event.view
            data = layout_of(view).pack(row)
            yield row.key, _Event(WindowKey(view, row.key), row.timestamp, row.ttl_ms, data)


def _offers(tag: str, events: Iterable[_Event]) -> Iterator[Offer]:
    """Events of one bucket, as many in a script as it may take."""
    batch: list[_Event] = []
    size = 0
    # In the order of time neighbours are found where the last one went.
    for event in sorted(events, key=lambda event: (event.place, event.timestamp)):
        if len(batch) == EVENTS_PER_SCRIPT or size > BYTES_PER_SCRIPT:
            yield _offer(tag, batch)
            batch, size = [], 0
        batch.append(event)
        size += len(event.data)
    if batch:
        yield _offer(tag, batch)


def _offer(tag: str, events: Sequence[_Event]) -> Offer:
    parts = [list(part) for _, part in groupby(events, key=lambda event: event.place)]
    names = []
    arguments = []
    for part in parts:
        first = part[0]
        layout = layout_of(first.key.view)
        names.append(row_key(tag, first.key.view.online_id, first.key.key))
        arguments.append(layout.header(first.ttl_ms))
        arguments.append(layout.join([event.data for event in part]))

    def singly(ask: Ask) -> list[int]:
        numbered = enumerate(parts, 1)
        return [number for number, part in numbered if ask(_offer(tag, part).command)]

    several = singly if len(parts) > 1 else None
    command = _UPSERT.on(names, *arguments, singly=several)
    return Offer([part[0].key for part in parts], command)


def _aggregated(view: AppliedView, now: int, collected: Sequence[Any]) -> Aggregated | None:
    newest, _, loose, *parts = collected
    layout = layout_of(view)
    at = max(now, int.from_bytes(newest, "big"))
    sealed = [
        Sealed(layout.scalars(entries), lengthened(further))
        for entries, further in zip(parts[::2], parts[1::2], strict=True)
    ]
    values = layout.algebra.answer(at, layout.unpack(loose), sealed)
    return None if values is None else Aggregated(at, values)
