"""What Redis holds for an aggregating view, byte by byte (docs/decisions/0027)."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from tecton.adapters import redis_windows
from tecton.adapters.redis_client import connect
from tecton.adapters.redis_commands import Command, RedisClient
from tecton.adapters.redis_keys import row_key
from tecton.adapters.redis_windows import RedisWindows
from tecton.adapters.trie_layout import LEAF_EVENTS, LEAF_TEXTS, layout_of
from tecton.applied import AppliedView
from tecton.packed import identity_hash, pack_values
from tecton.rows import BATCH_SEQUENCE_OFFSET, GARBAGE_GRACE_MS, Event, FeatureRow
from tecton.stores import WindowStore
from tecton.testing import NOW, InMemoryWindows
from tecton.timestamps import micros_of
from tecton.tombstones import accepted_micros
from tecton.types import Float64, Int64, String
from tests.window_views import LISTS, aggregation, windows_view

AT = micros_of(NOW)
SECOND = 1_000_000
HOUR = 3600 * SECOND
KEY = '["k"]'
BLOCK = 2 ** ((HOUR // 4).bit_length() - 1)
LATER_MS = 1000 * 365 * 86_400_000

SUMS = windows_view({"x": Int64}, [aggregation("x", "sum", HOUR)])
KEYED = windows_view({"x": Int64, "e": Int64}, [aggregation("x", "sum", HOUR)], event_key=["e"])
FLOATS = windows_view(
    {"x": Float64},
    [aggregation("x", f, w) for f in ("mean", "var_pop", "max") for w in (SECOND, HOUR)],
)
LAST = windows_view({"x": Int64, "e": Int64}, [aggregation("x", "last", HOUR, n=3)], ["e"])
SKETCHES = windows_view(
    {"x": Int64},
    [
        aggregation("x", "approx_count_distinct", HOUR, precision=4),
        aggregation("x", "approx_percentile", HOUR, precision=20, percentile=0.5),
    ],
)
TEXTS = windows_view({"x": String}, [aggregation("x", f, HOUR, n=2) for f in LISTS])
VIEWS = {
    "sums": SUMS,
    "event key": KEYED,
    "floats": FLOATS,
    "ordered": LAST,
    "sketches": SKETCHES,
    "strings": TEXTS,
}


@pytest.fixture
def client(redis_url: str) -> RedisClient:
    """An empty Redis."""
    client = connect(redis_url)
    client.driver.flushall()
    return client


@pytest.fixture
def store(client: RedisClient) -> RedisWindows:
    """A store on it."""
    return RedisWindows(client)


def row(
    view: AppliedView, timestamp: int, x: Any, sequence: int = 1, event_key: int = 0, tie: int = 0
) -> FeatureRow:
    identity = identity_hash([event_key]) if view.event_key else b""
    event = Event(view, identity, tie)
    body = pack_values(view, {"x": x})
    return FeatureRow(view.id, KEY, timestamp, sequence, body, LATER_MS, event)


def fields(client: RedisClient, view: AppliedView) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = client.driver.hgetall(row_key("0", view.id, KEY))
    return found


def seal(store: RedisWindows) -> None:
    """Tidy until nothing is left."""
    for _ in range(1000):
        if not store.tidy():
            return
    raise AssertionError("tidying does not end")


def stream(view: AppliedView, seed: int) -> list[FeatureRow]:
    """Ties, bursts, gaps, late events and corrections, in random order."""
    chosen = random.Random(seed)
    span = chosen.choice([40, 20 * SECOND, HOUR, 3 * HOUR])
    rows: list[FeatureRow] = []
    for number in range(chosen.choice([1, 150, 700])):
        timestamp = AT + chosen.randrange(span)
        if rows and chosen.random() < 0.4:
            timestamp = chosen.choice(rows).timestamp + chosen.choice([0, 0, 1])
        x: Any = chosen.choice([None, 1, 2, chosen.randrange(100)])
        if x is not None and view is TEXTS:
            x = "é" * x
        if x is not None and view is FLOATS:
            x = x / 7
        sequence = chosen.choice([1, 2, -(2**53) + 7, number])
        # Also many events of one microsecond.
        event_key = chosen.randrange(chosen.choice([3, 600]))
        rows.append(row(view, timestamp, x, sequence, event_key))
    return rows


def offered(store: RedisWindows, rows: Sequence[FeatureRow], step: int) -> None:
    for start in range(0, len(rows), step):
        store.upsert(rows[start : start + step])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", VIEWS)
def test_bytes_do_not_depend_on_order(
    client: RedisClient, store: RedisWindows, name: str, seed: int
) -> None:
    """Whatever the order of events, of calls and of sealing, a key's bytes in the end are those
    of the set of its events."""
    view = VIEWS[name]
    rows = stream(view, seed)
    chosen = random.Random(seed)
    ends = []
    for step in (1000, 7):
        client.driver.flushall()
        for start in range(0, len(rows), step):
            store.upsert(rows[start : start + step])
            if chosen.random() < 0.1:
                store.tidy()
        seal(store)
        ends.append(fields(client, view))
        chosen.shuffle(rows)
    # Every write once more, as a driver does that has lost an answer.
    offered(store, rows, 50)
    seal(store)
    ends.append(fields(client, view))
    assert ends[0] == ends[1]
    assert ends[0] == ends[2]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", VIEWS)
def test_bytes_are_those_of_the_model(
    client: RedisClient, store: RedisWindows, name: str, seed: int
) -> None:
    """What is stored before anything is sealed is what decision 0027 says, worked out anew."""
    view = VIEWS[name]
    rows = stream(view, 100 + seed)
    offered(store, rows, 30)
    assert dict(Model(view).fields(rows)) == fields(client, view)


class Model:
    """The shape of a trie, in plain Python: from all events at once."""

    def __init__(self, view: AppliedView) -> None:
        self._layout = layout_of(view)
        self._unsealed = bytes(self._layout.summary_width)
        self._limit = LEAF_TEXTS if view is TEXTS else LEAF_EVENTS

    def fields(self, rows: Iterable[FeatureRow]) -> Iterator[tuple[bytes, bytes]]:
        """The fields of the hash."""
        latest: dict[bytes, FeatureRow] = {}
        for row in sorted(rows, key=lambda row: (row.sequence, row.event.tie, row.body)):
            latest[_micros(row.timestamp) + row.event.identity] = row
        newest = max(row.timestamp for row in latest.values())
        blocks: dict[int, list[FeatureRow]] = {}
        for _, row in sorted(latest.items()):
            start = row.timestamp // BLOCK * BLOCK
            if start + BLOCK - 1 > newest - HOUR:
                blocks.setdefault(start, []).append(row)
        root = _micros(newest)
        level = BLOCK.bit_length() - 1
        for start, part in blocks.items():
            yield from self._part(bytes([level]) + _micros(start), part, level, start, b"")
            root += _micros(start) + self._entry(0, 0, part)
        yield b"r", root

    def _entry(self, slot: int, bits: int, part: Sequence[FeatureRow]) -> bytes:
        directory = 2 if len(part) > self._limit else 0
        return bytes([slot * 16 + bits * 4 + directory]) + self._unsealed

    def _part(
        self, name: bytes, part: Sequence[FeatureRow], level: int, start: int, digits: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        if len(part) <= self._limit:
            yield name, self._layout.join([self._layout.pack(row) for row in part])
            return
        unit = max(level - 4, 0)
        width = min(level, 4) if level > 0 else 4
        slots: list[list[FeatureRow]] = [[] for _ in range(2**width)]
        for row in part:
            slots[_slot(row, level, start)].append(row)
        entries = b""
        for slot, bits in self._halved(slots, 0, width):
            inside = [row for one in slots[slot : slot + 2**bits] for row in one]
            entries += self._entry(slot, bits, inside)
            begins = start + (slot << unit)
            if level > 0:
                child = bytes([unit + bits]) + _micros(begins)
                yield from self._part(child, inside, unit, begins, digits)
            else:
                longer = digits + bytes([slot])
                child = bytes([68 - 4 * level - bits]) + _micros(start) + longer
                yield from self._part(child, inside, level - 1, start, longer)
        yield name, entries

    def _halved(
        self, slots: list[list[FeatureRow]], slot: int, bits: int
    ) -> Iterator[tuple[int, int]]:
        """The ranges of slots that have an entry."""
        size = sum(map(len, slots[slot : slot + 2**bits]))
        if size > self._limit and bits:
            yield from self._halved(slots, slot, bits - 1)
            yield from self._halved(slots, slot + 2 ** (bits - 1), bits - 1)
        elif size:
            yield slot, bits


def _slot(row: FeatureRow, level: int, start: int) -> int:
    if level > 0:
        return (row.timestamp - start) >> max(level - 4, 0)
    pair = row.event.identity[-level // 2]
    return pair % 16 if level % 2 else pair // 16


def _micros(micros: int) -> bytes:
    return struct.pack(">Q", micros)[1:]


def answers(store: WindowStore, view: AppliedView) -> dict[str, Any]:
    """What is served; of floats so much as is promised."""
    aggregated = store.aggregate([(view, KEY)], AT + BLOCK)[0]
    assert aggregated is not None
    values = aggregated.values.items()
    return {name: round(v, 6) if isinstance(v, float) else v for name, v in values}


class Interrupted:
    """A Redis on which something else happens once, after the next call."""

    def __init__(self, client: RedisClient) -> None:
        self.buckets = client.buckets
        self.happens: Callable[[], None] | None = None
        self._client = client

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        answers = self._client.ask_all(commands)
        happens, self.happens = self.happens, None
        if happens:
            happens()
        return answers


@pytest.mark.parametrize("sealed_meanwhile", [0, 2, 5, 1000])
@pytest.mark.parametrize("name", VIEWS)
def test_stale_seal_never_wins(
    client: RedisClient,
    store: RedisWindows,
    name: str,
    sealed_meanwhile: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A summary of events that have changed meanwhile is not stored, even if another has sealed
    the change in part or as a whole, or the change leaves all numbers as they were."""
    view = VIEWS[name]
    # Of strings only those that are not null are counted.
    values = ["a", "b"] if view is TEXTS else [1, 2]
    memory = InMemoryWindows()
    redis: Any = Interrupted(client)
    late = RedisWindows(redis)
    # One block, of five leaves where they hold 128 events.
    start = AT - AT % BLOCK
    rows = [row(view, start + i * SECOND, values[0]) for i in range(300)]
    sequences = count(2)

    def change() -> None:
        changed = [row(view, rows[50].timestamp, values[1], next(sequences))]
        memory.upsert(changed)
        store.upsert(changed)
        with monkeypatch.context() as patch:
            patch.setattr(redis_windows, "PARTS_PER_TIDY", sealed_meanwhile)
            store.tidy()

    for windows in (memory, late):
        windows.upsert([*rows, row(view, start + BLOCK, values[0])])
    for number in range(51, 53):
        redis.happens = change
        late.tidy()
        assert answers(memory, view) == answers(store, view)
        for windows in (late, store):
            seal(windows)
            assert answers(memory, view) == answers(store, view)
        for windows in (memory, late):
            windows.upsert([row(view, rows[number].timestamp, None, next(sequences))])


@pytest.mark.parametrize("name", VIEWS)
def test_sealed_keys_are_read_by_summaries(
    client: RedisClient, store: RedisWindows, name: str
) -> None:
    """Once all is sealed, a read takes few events, however many there are in the window."""
    view = VIEWS[name]
    value = "a" if view is TEXTS else 1
    rows = [row(view, AT - i * (HOUR // 20_000), value) for i in range(20_000)]
    offered(store, rows, 2000)
    seal(store)
    _, unsealed, loose, *_ = client.ask_all(store.questions([(view, KEY)], AT))[0]
    assert unsealed == 0
    # Of the directories at both edges; of those at one edge if leaves have summaries.
    limit = LEAF_TEXTS if view is TEXTS else LEAF_EVENTS
    assert layout_of(view).unpack(loose).size <= 2 * 16 * limit


def test_unsealed_keys_are_noted_by_reads(client: RedisClient, store: RedisWindows) -> None:
    """A service that died left keys unsealed: who reads them seals them."""
    offered(store, [row(SUMS, AT - i * SECOND, 1) for i in range(3000)], 1000)
    other = RedisWindows(client)
    assert other.tidy() == 0
    before = other.aggregate([(SUMS, KEY)], AT)
    seal(other)
    assert before == other.aggregate([(SUMS, KEY)], AT)
    _, unsealed, *_ = client.ask_all(other.questions([(SUMS, KEY)], AT))[0]
    assert unsealed == 0


def test_tidy_does_a_bounded_part_at_a_time(
    store: RedisWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call looks at some keys, and says how many are left."""
    monkeypatch.setattr(redis_windows, "KEYS_PER_TIDY", 4)
    for number in range(10):
        keyed = [row(SUMS, AT + i * SECOND, 1)._replace(key=f"[{number}]") for i in range(200)]
        store.upsert(keyed)
    assert [6, 2, 0, 0] == [store.tidy() for _ in range(4)]


def test_keys_that_wait_are_bounded(store: RedisWindows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that never gets to tidying does not fill its memory with keys."""
    monkeypatch.setattr(redis_windows, "NOTED_KEYS", 5)
    for number in range(10):
        keyed = [row(SUMS, AT + i * SECOND, 1)._replace(key=f"[{number}]") for i in range(200)]
        store.upsert(keyed)
    assert store.tidy() == 0


def test_fields_of_old_events_are_deleted(client: RedisClient, store: RedisWindows) -> None:
    """What no window sees any more is deleted, and what remains are the bytes of the rest."""
    rows = [row(KEYED, AT + i * SECOND, 1) for i in range(30_000)]
    offered(store, rows, 500)
    seal(store)
    kept = fields(client, KEYED)
    assert len(kept) < 120
    client.driver.flushall()
    offered(store, rows[-6000:], 500)
    seal(store)
    assert fields(client, KEYED) == kept


def test_a_jump_in_time_deletes_all_before(client: RedisClient, store: RedisWindows) -> None:
    """Also many fields at once are deleted, by and by."""
    offered(store, [row(SUMS, AT - i, 1) for i in range(30_000)], 500)
    store.upsert([row(SUMS, AT + 100 * HOUR, 5)])
    assert answers(store, SUMS) == {SUMS.aggregations[0].name: 5}
    seal(store)
    assert len(fields(client, SUMS)) == 2


def test_keys_expire_after_their_newest_event(client: RedisClient, store: RedisWindows) -> None:
    """Redis forgets a key an hour after its newest event has left the longest window; a late event
    does not prolong that."""
    now = int(time.time() * 1000)
    newest = now * 1000
    for timestamp in (newest - 5 * SECOND, newest, newest - 7 * SECOND):
        store.upsert([row(SUMS, timestamp, 1)._replace(ttl_ms=3_600_000)])
    left = client.driver.pttl(row_key("0", SUMS.id, KEY))
    assert 0 <= now + 3_600_000 + GARBAGE_GRACE_MS + 1 - int(time.time() * 1000) - left + 1 < 1000
    store.upsert([row(SUMS, newest - 10 * HOUR, 1)._replace(ttl_ms=3_600_000, key="[2]")])
    assert client.driver.exists(row_key("0", SUMS.id, "[2]")) == 0


def test_a_script_takes_a_bounded_number_of_events(store: RedisWindows) -> None:
    """Readers never wait for long: events of many keys, or of one, are parted."""
    one = [row(SUMS, AT + i, 1) for i in range(450)]
    many = [row(SUMS, AT, 1)._replace(key=f"[{i}]") for i in range(450)]
    assert len(store.offers(one)) == 3
    assert len(store.offers(many)) == 3
    long = [row(TEXTS, AT + i, "x" * 65_536) for i in range(40)]
    assert len(store.offers(long)) == 3


def test_keys_can_be_offered_one_by_one(client: RedisClient, store: RedisWindows) -> None:
    """While a slot moves to another node, each key of a command is written by one of its own."""
    rows = [row(SUMS, AT + i, 1)._replace(key=f"[{i % 3}]") for i in range(200)]
    [offer] = store.offers(rows)
    assert offer.command.singly is not None
    numbers = offer.command.singly(client.ask)
    assert client.ask(offer.command) == []
    assert numbers == []
    assert [key.key for key in offer.keys] == ["[0]", "[1]", "[2]"]
    read = store.aggregate([(SUMS, f"[{i}]") for i in range(3)], AT)
    assert [67, 67, 66] == [sum(answer.values.values()) for answer in read if answer]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_erased_trie_is_that_of_the_events_that_stay(
    store: RedisWindows, client: RedisClient, view: AppliedView
) -> None:
    """As if what is erased had never been: pushed and batch rows, sealed or not; twice too."""
    draw = random.Random(7)
    # Redis forgets by the real clock.
    now = time.time_ns() // 1000
    until = 50
    run = until - BATCH_SEQUENCE_OFFSET
    choices = [until - 1, until, until + 1, run - 1, run, run + 1]
    rows = [
        row(view, now - draw.randrange(HOUR), _value(view, draw), draw.choice(choices), number)
        for number in range(400)
    ]
    store.upsert(rows)
    while store.tidy():
        pass
    kept = [each for each in rows if accepted_micros(each.sequence) > until]
    name = row_key(client.buckets.of(KEY), view.id, KEY)
    for _ in range(2):
        client.ask_all(store.erasures(view, [KEY], until))
        erased = client.driver.hgetall(name)
    assert client.driver.pttl(name) > 0
    client.driver.delete(name)
    store.upsert(kept)
    assert client.driver.hgetall(name) == erased
    client.ask_all(store.erasures(view, [KEY], 2**52))
    assert not client.driver.exists(name)


def _value(view: AppliedView, draw: random.Random) -> Any:
    [field] = [field for field in view.value_fields if field.name == "x"]
    if field.dtype == String:
        return draw.choice(["", "long" * 50, "é"])
    return float(draw.randrange(9)) if field.dtype == Float64 else draw.randrange(9)
