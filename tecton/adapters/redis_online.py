"""
The online store on Redis: one string a key and view, compared and set by scripts.

A value is the row's (timestamp, sequence) as two big-endian 64-bit integers, then its body.
Scripts compare and set in one step, so any number of writers may offer rows in any order.

Key spaces: `tecton:f:` feature rows, `tecton:l:` loaded markers, `tecton:w:` how far each push
log is applied, `tecton:b:` loads under way, `tecton:seq` the sequence counter. `{0}` is the hash
tag of the only bucket.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import redis

from tecton.adapters.redis_client import answer, connect, script
from tecton.errors import StoreUnavailable, ViewNotLoaded
from tecton.rows import FeatureRow
from tecton.stores import Stored

ROWS_PER_CALL = 1000
"""A script blocks every reader: 1,000 rows take a few milliseconds."""

LOAD_MS = 7 * 24 * 3_600_000
"""No load takes longer than a week."""

_ORDER = struct.Struct(">qq")
_SEQUENCE = "tecton:seq"


class RedisOnlineStore:
    """`stores.OnlineStore` on one Redis server."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._reserve = script(client, "reserve")
        self._upsert = script(client, "upsert")
        self._mark = script(client, "loaded")

    @classmethod
    def connect(cls, url: str) -> RedisOnlineStore:
        """A store on the server at *url* (`redis://`, `rediss://`, `unix://`); connects lazily."""
        return cls(connect(url))

    def reserve(self, count: int, floor: int) -> int:
        """The first of *count* new sequences."""
        return int(answer(lambda: self._reserve(keys=[_SEQUENCE], args=[count, floor])))

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer rows."""
        remaining = iter(rows)
        while chunk := list(islice(remaining, ROWS_PER_CALL)):
            self._offer(chunk)

    def apply(self, log: str, previous: int, batch_no: int, rows: Sequence[FeatureRow]) -> bool:
        """Offer the rows of one batch of a push log, if all before it were offered."""
        # Only the last call advances the watermark; rows offered before it commute with
        # everything, so it does no harm if that call then finds a gap.
        start = max(0, (len(rows) - 1) // ROWS_PER_CALL * ROWS_PER_CALL)
        self.upsert(rows[:start])
        return self._offer(rows[start:], [_watermark(log)], [previous, batch_no])

    def applied_batch(self, log: str) -> int:
        """The newest batch of *log* up to which all are applied."""
        return int(answer(lambda: self.client.get(_watermark(log))) or 0)

    def read(self, keys: Sequence[tuple[str, str]]) -> Sequence[Stored | None]:
        """The newest row for each (view, key)."""
        views = sorted({view for view, _ in keys})
        names = [_loaded(view) for view in views] + [_row(view, key) for view, key in keys]
        answers = answer(lambda: self.client.mget(names)) if names else []
        missing = [view for view, marker in zip(views, answers, strict=False) if marker is None]
        if missing:
            raise ViewNotLoaded(
                "the online store does not hold all rows of a feature view yet; its backfill is "
                "running or has to be run again",
                retry_after=5,
            )
        return [None if value is None else _stored(value) for value in answers[len(views) :]]

    def begin_load(self, view: str) -> str:
        """Say that all rows of a view are going to be offered."""
        load = secrets.token_hex(8)

        def begin() -> None:
            self.client.hset(_loading(view), load, "1")
            self.client.pexpire(_loading(view), LOAD_MS)

        answer(begin)
        return load

    def mark_loaded(self, views: Sequence[str], load: str | None = None) -> None:
        """Say that all rows of these views are there."""
        keys = [key for view in views for key in (_loaded(view), _loading(view))]
        if keys and not answer(lambda: self._mark(keys=keys, args=[load or ""])):
            raise StoreUnavailable(
                "the online store has lost data while a feature view was being loaded; load it "
                "again"
            )

    def unloaded(self, views: Sequence[str]) -> Sequence[str]:
        """Those of *views* that are not marked as loaded."""
        markers = answer(lambda: self.client.mget(map(_loaded, views))) if views else []
        return [view for view, marker in zip(views, markers, strict=True) if marker is None]

    def _offer(
        self,
        rows: Sequence[FeatureRow],
        chain_key: Sequence[str] = (),
        chain: Sequence[int] = (),
    ) -> bool:
        keys = [*chain_key, *(_row(row.view, row.key) for row in rows)]
        arguments: list[Any] = [len(chain_key), *chain]
        for row in rows:
            arguments.append(_ORDER.pack(row.timestamp, row.sequence) + row.body)
            arguments.append(row.collected_at_ms or 0)
        return bool(answer(lambda: self._upsert(keys=keys, args=arguments)))


def _row(view: str, key: str) -> str:
    return f"tecton:f:{{0}}:{view}:{key}"


def _loaded(view: str) -> str:
    return f"tecton:l:{{0}}:{view}"


def _loading(view: str) -> str:
    return f"tecton:b:{{0}}:{view}"


def _watermark(log: str) -> str:
    return f"tecton:w:{{0}}:{log}"


def _stored(value: bytes) -> Stored:
    timestamp, sequence = _ORDER.unpack_from(value)
    return Stored(timestamp, sequence, value[_ORDER.size :])
