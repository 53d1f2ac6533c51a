"""
Which join keys were erased, and up to when: the rule that every read, replay and job applies.

An erasure keeps a salted hash of each key, never the key, and the greatest sequence that had been
given by then. Rows up to it are as if they had never been; what is pushed later counts, and so do
the batch rows of a later run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from tecton.rows import BATCH_SEQUENCE_OFFSET, FeatureRow

SALT_BYTES = 16

GRACE = timedelta(minutes=5)
"""How long an erasure that goes on may take to reach the online store."""


def key_hash(salt: str, values: Sequence[Any]) -> str:
    """
    The salted hash of join key values; `key_input` and Spark's `sha2` make the same.

    Args:
        salt: Of the workspace, hexadecimal.
        values: Strings and integers, in the order of the view.
    """
    text = salt + "".join(f"{len(part.encode())}:{part}" for part in map(str, values))
    return hashlib.sha256(text.encode()).hexdigest()


def accepted_micros(sequence: int) -> int:
    """When a row came to be, to be compared with an erasure: of a batch row, when its run began."""
    return sequence if sequence > 0 else sequence + BATCH_SEQUENCE_OFFSET


class Tombstones(NamedTuple):
    """The erased keys of one view.

    Args:
        salt: What they are hashed with.
        online: By hash: the sequence up to which rows are not served.
        offline: By hash: the sequence up to which rows are in no offline read.
    """

    salt: str = ""
    online: Mapping[str, int] = {}
    offline: Mapping[str, int] = {}

    def kept(self, rows: Sequence[FeatureRow]) -> Sequence[FeatureRow]:
        """Those rows of the view that may be served."""
        if not self.online:
            return rows
        return [row for row in rows if not self._is_erased(row)]

    def _is_erased(self, row: FeatureRow) -> bool:
        until = self.online.get(key_hash(self.salt, msgspec.json.decode(row.key)))
        return until is not None and accepted_micros(row.sequence) <= until
