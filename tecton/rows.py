"""
Records and feature rows, and the one encoding of each.

A row's *body* is the JSON array of its canonical values in schema order. Equal rows have equal
bodies, so bodies decide the last tie of recency (contract §1, event identity), in Redis, in Spark
and in Python alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tecton.applied import AppliedSource, AppliedView
from tecton.packed import identity_of, pack_values
from tecton.timestamps import micros_of
from tecton.types import Field

JOIN_KEY_MAX_BYTES = 512
GARBAGE_GRACE_MS = 3_600_000
"""How long a row outlives its ttl in Redis; the ttl itself is checked by the reader."""
BATCH_SEQUENCE_OFFSET = 2**53
"""Batch sequences are a run's start in µs minus this, so every pushed record is later."""

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Record(NamedTuple):
    """One pushed event that has passed every check.

    Args:
        source: The stream source.
        values: Canonical values by column, in schema order.
        rows: The feature rows it yields, without a sequence yet.
    """

    source: AppliedSource
    values: Mapping[str, Any]
    rows: tuple[FeatureRow, ...]

    def encode(self) -> bytes:
        """The record's canonical JSON, as the push table keeps it."""
        return _encode(self.values)


class Event(NamedTuple):
    """What makes a row of an aggregating view one event among others of its key.

    Args:
        view: The view.
        identity: What tells it from others of its timestamp, `packed.identity_of`.
        tie: Its rank among rows of one batch run with its key and timestamp; 0 for pushed ones.
    """

    view: AppliedView
    identity: bytes
    tie: int


class FeatureRow(NamedTuple):
    """A view's values for a key and an event timestamp, ready for the online store.

    Args:
        view: The view's `online_id`.
        key: The join key values as `encode_key` spells them.
        timestamp: Event timestamp, µs since the epoch.
        sequence: Order of acceptance; negative for batch rows.
        body: The values as `encode_body` spells them; of an event, as `packed.pack_values` does.
        ttl_ms: How long after its timestamp it may be served, in ms; None: for ever.
        event: For an aggregating view, which keeps every event; None where the newest row is all.
    """

    view: str
    key: str
    timestamp: int
    sequence: int
    body: bytes
    ttl_ms: int | None
    event: Event | None = None

    @property
    def order(self) -> tuple[int, int, bytes]:
        """The total order of recency."""
        return (self.timestamp, self.sequence, self.body)

    @property
    def collected_at_ms(self) -> int | None:
        """When Redis may forget the row, ms since the epoch."""
        if self.ttl_ms is None:
            return None
        return self.timestamp // 1000 + 1 + self.ttl_ms + GARBAGE_GRACE_MS


def encode_key(values: Sequence[Any]) -> str:
    """The join key values as one text: their JSON array, so no two keys share one."""
    return _encode(values).decode()


def encode_body(values: Sequence[Any]) -> bytes:
    """The canonical values as one JSON array."""
    return _encode(values)


def decode_body(body: bytes) -> list[Any]:
    """The canonical values of a row."""
    values: list[Any] = _decode(body)
    return values


def row_of(
    view: AppliedView, values: Mapping[str, Any], timestamp: int, sequence: int = 0, tie: int = 0
) -> FeatureRow:
    """The feature row of a record or batch row for one view.

    Args:
        view: The view.
        values: Canonical values by column: join keys and columns of the view at least.
        timestamp: Event timestamp, µs since the epoch.
        sequence: Order of acceptance; 0 for one that is assigned later.
        tie: Of a batch row of an aggregating view, see `Event`.
    """
    event = None
    if view.aggregations:
        event = Event(view, identity_of(view, values), tie)
        body = pack_values(view, values)
    else:
        body = encode_body([values[field.name] for field in view.value_fields])
    return FeatureRow(
        view=view.online_id,
        key=encode_key([values[field.name] for field in view.key_fields]),
        timestamp=timestamp,
        sequence=sequence,
        body=body,
        ttl_ms=None if view.reach_micros is None else -(-view.reach_micros // 1000),
        event=event,
    )


def batch_sequence(run_started: datetime) -> int:
    """The sequence of all rows of a batch run: negative, and greater for a later run."""
    return micros_of(run_started) - BATCH_SEQUENCE_OFFSET


def canonical(fields: Sequence[Field], native: Mapping[str, Any]) -> dict[str, Any]:
    """Native values of typed columns → canonical values."""
    values = {}
    for field in fields:
        value = native[field.name]
        values[field.name] = None if value is None else field.dtype.from_native(value)
    return values
