"""
How the events of a view are laid out in its tries in Redis (trie_common.lua).

An event is its timestamp (7 bytes), the hash of its event key if the view has one (8), its
sequence (8, growing from 0), its tie (4) where answers depend on it, and its packed values;
before it comes its length (4) where strings make that differ. All but the values big-endian, so
that bytes compare as what they stand for.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from tecton.applied import AppliedView
from tecton.packed import IDENTITY_BYTES, packed_width
from tecton.rows import GARBAGE_GRACE_MS, FeatureRow
from tecton.stores import WINDOWED_MICROS
from tecton.windows import Algebra, Events, algebra_of, unpack

LEAF_EVENTS = 128
"""How many events a leaf holds. Of more, fewer summaries are read; of fewer, fewer events."""

LEAF_TEXTS = 32
"""The same where events hold strings, which can be long."""

DIGEST_BYTES = 8
"""Of a part's bytes, in its summary: where summaries are bulky, equal ones do not say that the
events are equal."""

_TIME_BYTES = 7
_SEQUENCE_BYTES = 8
_TIE_BYTES = 4
_SEQUENCE_OFFSET = 1 << 63
_length = struct.Struct(">I")

_Bytes = npt.NDArray[np.uint8]


class TrieLayout:
    """
    The layout of one view.

    Args:
        view: An aggregating view.

    Attributes:
        algebra: Of the view.
        windows: The distinct windows, as trie_collect.lua takes them.
        digest_width: Bytes of a summary that come before its scalar state.
        summary_width: Bytes of a summary.
    """

    def __init__(self, view: AppliedView) -> None:
        self.algebra: Algebra = algebra_of(view)
        self.windows = b"".join(map(_micros, self.algebra.windows))
        self.digest_width = DIGEST_BYTES if self.algebra.has_bulky else 0
        self.summary_width = self.digest_width + self.algebra.scalar_width
        self._identity_width = IDENTITY_BYTES if view.event_key else 0
        self._tie_width = _TIE_BYTES if self.algebra.is_ordered else 0
        self._prefix = _TIME_BYTES + self._identity_width + _SEQUENCE_BYTES + self._tie_width
        body = packed_width(view)
        self._width = 0 if body is None else self._prefix + body
        self._headers: dict[int | None, bytes] = {}

    def header(self, ttl_ms: int | None = None) -> bytes:
        """
        What the scripts must know of the view.

        Args:
            ttl_ms: How long after its newest event a key is kept, at least; for ever by default.
        """
        if ttl_ms not in self._headers:
            self._headers[ttl_ms] = self._header(ttl_ms)
        return self._headers[ttl_ms]

    def _header(self, ttl_ms: int | None) -> bytes:
        window = self.algebra.windows[-1]
        # The longest window covers 5 to 9 blocks.
        block_level = max(0, (window // 4).bit_length() - 1)
        life = WINDOWED_MICROS.stop // 1000 if ttl_ms is None else ttl_ms + GARBAGE_GRACE_MS
        limit = LEAF_EVENTS if self._width else LEAF_TEXTS
        widths = struct.pack(">HBHH", self._width, self._identity_width, self.summary_width, limit)
        is_bulky = bytes([self.algebra.has_bulky])
        return b"".join((bytes([block_level]), _micros(window), widths, _micros(life), is_bulky))

    def pack(self, row: FeatureRow) -> bytes:
        """An event without its length."""
        identity, tie = (row.event.identity, row.event.tie) if row.event else (b"", 0)
        return b"".join(
            (
                _micros(row.timestamp),
                identity,
                self.sequence(row.sequence),
                tie.to_bytes(self._tie_width, "big") if self._tie_width else b"",
                row.body,
            )
        )

    def sequence(self, sequence: int) -> bytes:
        """A sequence as it is stored."""
        return (sequence + _SEQUENCE_OFFSET).to_bytes(_SEQUENCE_BYTES, "big")

    def join(self, events: list[bytes]) -> bytes:
        """Packed events, one after another as they are stored."""
        if self._width:
            return b"".join(events)
        return b"".join(_length.pack(len(event)) + event for event in events)

    def unpack(self, stored: bytes) -> Events:
        """Events that were stored, in the order of time."""
        if self._width:
            rows = np.frombuffer(stored, np.uint8).reshape(-1, self._width)
            return self._events(rows, rows[:, self._prefix :])
        parts = _parts(stored)
        prefixes = b"".join([part[: self._prefix] for part in parts])
        rows = np.frombuffer(prefixes, np.uint8).reshape(-1, self._prefix)
        return self._events(rows, [part[self._prefix :] for part in parts])

    def scalars(self, entries: bytes) -> bytes:
        """The scalar states in entries of directories, one after another."""
        if not entries:
            return b""
        rows = np.frombuffer(entries, np.uint8).reshape(-1, 1 + self.summary_width)
        return rows[:, 1 + self.digest_width :].tobytes()

    def _events(self, rows: _Bytes, bodies: _Bytes | list[bytes]) -> Events:
        timestamps = _integers(rows[:, :_TIME_BYTES])
        if not self.algebra.is_ordered:
            return unpack(self.algebra.layout, timestamps, bodies)
        at = _TIME_BYTES + self._identity_width
        tie_at = at + _SEQUENCE_BYTES
        return unpack(
            self.algebra.layout,
            timestamps,
            bodies,
            # Taking the offset off and keeping 64 bits: the highest one is turned over.
            _integers(rows[:, at:tie_at]) ^ np.int64(-_SEQUENCE_OFFSET),
            _integers(rows[:, tie_at : self._prefix]),
            _integers(rows[:, _TIME_BYTES:at]).view(np.uint64),
        ).ordered()


def lengthened(data: bytes) -> list[bytes]:
    """Texts that each come after their length, apart."""
    return _parts(data)


def layout_of(view: AppliedView) -> TrieLayout:
    """The layout of an aggregating view, made once for each object of it."""
    made: TrieLayout | None = view.__dict__.get("_trie_layout")
    if made is None:
        made = view.__dict__["_trie_layout"] = TrieLayout(view)
    return made


def _micros(micros: int) -> bytes:
    return micros.to_bytes(_TIME_BYTES, "big")


def _parts(data: bytes) -> list[bytes]:
    parts = []
    at = 0
    while at < len(data):
        start = at + _length.size
        at = start + _length.unpack_from(data, at)[0]
        parts.append(data[start:at])
    return parts


def _integers(rows: _Bytes) -> npt.NDArray[np.int64]:
    """Big-endian numbers of up to 8 bytes, one in each row."""
    padded = np.zeros((len(rows), 8), np.uint8)
    padded[:, 8 - rows.shape[1] :] = rows
    return padded.view(">i8").ravel().astype(np.int64)
