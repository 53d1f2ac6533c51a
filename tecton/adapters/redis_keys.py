"""
What every key in Redis is called, and which bucket the rows of a join key are in.

A bucket is what one script can read and write as a whole: in a cluster only keys of one slot can
be named together, so each bucket has a hash tag, and every key of a bucket begins with it. All
views of a join key are in one bucket. A single server is one bucket; a cluster has 64, whatever
its number of nodes, whose slots lie evenly in the range of all slots.

Key spaces: `tecton:f:` feature rows, `tecton:l:` loaded markers, `tecton:w:` how far each push
log is applied, `tecton:b:` loads under way, `tecton:v:` how far views have come, `tecton:s:` each
workspace's counter of sequences, `tecton:i:` idempotency keys, `tecton:r:` rates, `tecton:o:` which
process writes a push log. The first five are kept in each bucket, which so knows by itself what it
has lost.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from typing import TypeVar
from zlib import crc32

from tecton.names import key_of

SLOTS = 16_384
"""Slots of a Redis cluster."""

Item = TypeVar("Item")


def slot_of(tag: str) -> int:
    """The slot of all keys with this hash tag: Redis takes CRC-16/XMODEM."""
    return crc_hqx(tag.encode(), 0) % SLOTS


def slot_of_key(key: str) -> int:
    """The slot of a key: that of its hash tag, if it has one."""
    _, brace, after = key.partition("{")
    tag, end, _ = after.partition("}")
    return slot_of(tag if brace and end and tag else key)


def _spread(count: int) -> tuple[str, ...]:
    """Hash tags, the n-th with a slot in the n-th of *count* equal ranges of slots."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        # From 1: the tag of a single server must never seem to be a cluster's, and the reverse.
        number += 1
        found.setdefault(slot_of(str(number)) * count // SLOTS, str(number))
    return tuple(found[part] for part in range(count))


ONE_BUCKET = ("0",)
"""The hash tag of a single server's only bucket."""

CLUSTER_BUCKETS = _spread(64)
"""The hash tags of a cluster's buckets. Changing them loses everything that is stored."""


class Buckets:
    """The buckets of one Redis, known by their hash tags.

    Args:
        tags: `ONE_BUCKET` or `CLUSTER_BUCKETS`.
    """

    def __init__(self, tags: tuple[str, ...]) -> None:
        self.tags = tags

    def of(self, key: str) -> str:
        """The tag of the bucket that holds a join key, as `rows.encode_key` spells it."""
        # By the key alone, never by the view: all views of a key are read and written at once.
        return self.tags[crc32(key.encode()) % len(self.tags)]

    def split(self, items: Iterable[tuple[str, Item]]) -> dict[str, list[Item]]:
        """Items by bucket, in their order.

        Args:
            items: Each with its join key.

        Returns:
            By tag; buckets without items are left out.
        """
        parts: dict[str, list[Item]] = {}
        for key, item in items:
            parts.setdefault(self.of(key), []).append(item)
        return parts


def row_key(tag: str, view: str, key: str) -> str:
    """Where what a view serves for a join key is: a string, or a hash of an aggregating view."""
    return key_of("tecton", "f", f"{{{tag}}}", view, key)


def key_in(name: str) -> str:
    """The join key in what `row_key` gave; no other part of that has a colon."""
    return name.split(":", 4)[4]


def loaded_key(tag: str, view: str) -> str:
    """What says that a bucket holds all rows of a view that belong in it."""
    return key_of("tecton", "l", f"{{{tag}}}", view)


def loading_key(tag: str, view: str) -> str:
    """The loads of a view that are under way: a hash."""
    return key_of("tecton", "b", f"{{{tag}}}", view)


def reached_key(tag: str, view: str) -> str:
    """How far the rows of a view in a bucket have come, besides what is pushed: a hash."""
    return key_of("tecton", "v", f"{{{tag}}}", view)


def watermark_key(tag: str, log: str) -> str:
    """Up to which batch of a push log all rows that belong in a bucket were offered to it."""
    return key_of("tecton", "w", f"{{{tag}}}", log)


def sequence_key(workspace: str) -> str:
    """The counter of a workspace's sequences: a hash."""
    return key_of("tecton", "s", workspace)


def claim_key(log: str) -> str:
    """Which process writes a push log."""
    return key_of("tecton", "o", log)


def idempotency_key(name: str) -> str:
    """What is remembered of an idempotency key."""
    return key_of("tecton", "i", name)


def rate_key(account: str, name: str) -> str:
    """A rate of an account; all of one account are in one slot."""
    return key_of("tecton", "r", f"{{{account}}}", name)
