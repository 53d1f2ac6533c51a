"""What a key with 100,000 events in a window of 30 days costs, against one with 100."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from statistics import median
from typing import Any, NamedTuple

from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.adapters.redis_client import connect
from tecton.adapters.redis_keys import row_key
from tecton.adapters.redis_windows import RedisWindows
from tecton.applied import AppliedAggregation, AppliedView
from tecton.packed import identity_hash, pack_values
from tecton.rows import Event, FeatureRow
from tecton.testing import NOW, build_source, build_view
from tecton.timestamps import micros_of
from tecton.types import Field, Int64, String, Timestamp

AT = micros_of(NOW)
DAYS = 30
WINDOW = DAYS * 86_400_000_000
FEW, MANY = 100, 100_000
ROUNDS = 60
CALLS = 25
LATER_MS = 1000 * 365 * 86_400_000
FIELDS = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("x", Int64),
    Field("e", Int64),
)


class Cost(NamedTuple):
    """Of one call, in µs."""

    wall: float
    redis: float


class Stream:
    """
    One key with so many events in the window, all sealed.

    Args:
        store: Where.
        view: The view.
        events: How many; in the window evenly at random, or else in bursts of 10 seconds.
        bursts: How many bursts; 0 for none.
    """

    def __init__(
        self, store: RedisWindows, view: AppliedView, events: int, bursts: int = 0
    ) -> None:
        self.store = store
        self.view = view
        self.key = f'["{events}"]'
        self._random = random.Random(events)
        self._step = WINDOW // events
        self._now = AT
        self._sequence = count(1)
        starts = [AT - self._random.randrange(WINDOW) for _ in range(bursts or events)]
        times = starts
        if bursts:
            times = [
                self._random.choice(starts) + self._random.randrange(10**7) for _ in range(events)
            ]
        for start in range(0, events, 2000):
            store.upsert([self._row(at) for at in times[start : start + 2000]])
        self.times = times
        self.tidy()

    def tidy(self) -> None:
        """Seal all that is closed."""
        while self.store.tidy():
            pass

    def read(self) -> None:
        """Ask for the aggregates, at another time each time."""
        self.store.aggregate([(self.view, self.key)], self._now + self._random.randrange(10**7))

    def push(self) -> None:
        """Offer an event after all others."""
        self._now += self._random.randrange(2 * self._step)
        self.store.upsert([self._row(self._now)])

    def correct(self) -> None:
        """Offer an event for the time of an old one."""
        self.store.upsert([self._row(self._random.choice(self.times))])

    def and_tidy(self, call: Callable[[], None]) -> Callable[[], None]:
        """A call with the sealing that follows from it."""

        def both() -> None:
            call()
            self.tidy()

        return both

    def _row(self, timestamp: int) -> FeatureRow:
        number = self._random.randrange(1000)
        identity = identity_hash([number]) if self.view.event_key else b""
        body = pack_values(self.view, {"x": number})
        event = Event(self.view, identity, 0)
        sequence = next(self._sequence)
        return FeatureRow(self.view.id, self.key, timestamp, sequence, body, LATER_MS, event)


class Meter:
    """Measures calls that ask one Redis."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def compare(
        self, few: Callable[[], None], many: Callable[[], None], after: Callable[[], None]
    ) -> tuple[Cost, Cost]:
        """
        What two calls cost at least, in turn: whatever else the machine does adds to both, and not
        evenly, so the least of many rounds tells them apart better than the middle one.
        """
        costs = [(self._cost(few, after), self._cost(many, after)) for _ in range(ROUNDS)]
        least = [
            Cost(min(cost.wall for cost in side), min(cost.redis for cost in side))
            for side in zip(*costs, strict=True)
        ]
        return least[0], least[1]

    def _cost(self, call: Callable[[], None], after: Callable[[], None]) -> Cost:
        before = self._redis_micros()
        walls = []
        for _ in range(CALLS):
            started = time.perf_counter()
            call()
            walls.append(time.perf_counter() - started)
        redis = self._redis_micros() - before
        after()
        return Cost(median(walls) * 1e6, redis / CALLS)

    def _redis_micros(self) -> float:
        info = self._client.info("cpu")
        return 1e6 * float(info["used_cpu_user"] + info["used_cpu_sys"])


def main() -> None:
    """Print the ratios that docs/decisions/0027 speaks of."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(folder)
        client = connect(server.start())
        try:
            _print_costs(RedisWindows(client), Meter(client.driver))
            _print_sizes(RedisWindows(client), client.driver)
        finally:
            server.stop()


def _print_costs(store: RedisWindows, meter: Meter) -> None:
    print(f"{'µs a call':45} {f'{FEW} events':>16} {f'{MANY:,} events':>16} {'ratio':>14}  most")
    print(f"{'':45} {'wall':>8}{'Redis':>8} {'wall':>8}{'Redis':>8} {'wall':>7}{'Redis':>7}")
    for name, most, few, many, after in _calls(store):
        a, b = meter.compare(few, many, after)
        print(
            f"{name:45} {a.wall:8.0f}{a.redis:8.0f} {b.wall:8.0f}{b.redis:8.0f}"
            f" {b.wall / a.wall:7.2f}{b.redis / a.redis:7.2f}  {most}",
            flush=True,
        )


Call = Callable[[], None]


def _calls(store: RedisWindows) -> Iterator[tuple[str, str, Call, Call, Call]]:
    """Name, target, the two calls, and what follows without being measured."""
    for name, most, view in _views():
        few, many = Stream(store, view, FEW), Stream(store, view, MANY)

        def tidy(few: Stream = few) -> None:
            few.tidy()

        yield f"read {name}", most, few.read, many.read, tidy
        if name in ("sum", "last_distinct(10)"):
            corrections = (few.and_tidy(few.correct), many.and_tidy(many.correct))
            yield f"correct an old event ({name})", "2", few.correct, many.correct, tidy
            yield f"correct an old event and seal ({name})", "", *corrections, tidy
            yield f"push in order ({name})", "2", few.push, many.push, tidy
            pushes = (few.and_tidy(few.push), many.and_tidy(many.push))
            yield f"push in order and seal ({name})", "2", *pushes, tidy


def _views() -> Iterator[tuple[str, str, AppliedView]]:
    yield "sum", "2", _view([_aggregation("sum")])
    windows = [_aggregation("sum", days) for days in (1, 7, DAYS)]
    yield "sum over 1, 7 and 30 days", "2", _view(windows)
    moments = [_aggregation(f) for f in ("count", "mean", "min", "max", "stddev_pop")]
    yield "count, mean, min, max, stddev_pop", "2", _view(moments)
    for function in ("first", "last", "last_distinct"):
        yield f"{function}(10)", "4", _view([_aggregation(function, n=10)])
    distinct = _aggregation("approx_count_distinct", precision=8)
    yield "approx_count_distinct", "4", _view([distinct])
    percentile = _aggregation("approx_percentile", precision=100, percentile=0.5)
    yield "approx_percentile(0.5)", "4", _view([percentile])


def _print_sizes(store: RedisWindows, client: Any) -> None:
    print(f"\n{'bytes an event, all in':45} {'even':>8} {'bursts':>8}  most")
    event_keys: list[tuple[str, int, tuple[str, ...]]] = [
        ("one column", 40, ()),
        ("with event_key", 48, ("e",)),
    ]
    for name, most, event_key in event_keys:
        for events in (FEW, 1000, 10_000, 30_000, MANY):
            sizes = []
            for bursts in (0, 1 + events // 300):
                view = _view([_aggregation("sum")], event_key)
                stream = Stream(store, view, events, bursts)
                key = row_key("0", view.id, stream.key)
                sizes.append(client.memory_usage(key, samples=0) / events)
            print(f"{f'{name}, {events:,} events':45} {sizes[0]:8.1f} {sizes[1]:8.1f}  {most}")


def _aggregation(function: str, days: int = DAYS, **parameters: Any) -> AppliedAggregation:
    name = f"{function}_{days}d"
    return AppliedAggregation(
        name=name, column="x", function=function, time_window=timedelta(days=days), **parameters
    )


def _view(aggregations: list[AppliedAggregation], event_key: tuple[str, ...] = ()) -> AppliedView:
    source = build_source(fields=FIELDS, event_key=event_key)
    return build_view(source, aggregations=tuple(aggregations), ttl=None)


if __name__ == "__main__":
    main()
