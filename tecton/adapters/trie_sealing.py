"""
The summaries of parts of a trie, worked out from what trie_unsealed.lua answers.

A leaf's is that of its events, a directory's that of its parts' summaries. Where summaries are
bulky only directories have one: what a leaf's entry holds is its digest alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tecton.adapters.trie_layout import TrieLayout
from tecton.windows import Sealed

_FIELDS = 5
_LEAVES = (b"L", b"l")
_SEALED = 1
_DIRECTORY = 2


class Part(NamedTuple):
    """One part as trie_unsealed.lua answers it, which see."""

    kind: bytes
    parent: bytes
    entry: bytes
    name: bytes
    data: bytes


class Seal(NamedTuple):
    """What trie_seal.lua takes of a part, which see."""

    parent: bytes
    entry: bytes
    name: bytes
    digest: str
    summary: bytes
    further: bytes


def seals(layout: TrieLayout, answer: Sequence[bytes]) -> Iterator[Seal]:
    """
    What to seal.

    Args:
        layout: Of the view.
        answer: Fields of parts, one after another.
    """
    known = _Known(layout)
    for at in range(0, len(answer), _FIELDS):
        part = Part(*answer[at : at + _FIELDS])
        if part.kind in _LEAVES:
            known.add_leaf(part)
        if part.kind == b"d":
            known.further[part.parent].append(part.data)
        if part.kind == b"L":
            yield known.seal(part, part.data, *known.of_leaf(part))
        if part.kind == b"D":
            data = known.sealed(part)
            yield known.seal(part, data, *known.of_directory(part, data))


class _Known:
    """What is known of the parts so far.

    Args:
        layout: Of the view.

    Attributes:
        further: Further summaries of those parts of a directory that are directories.
    """

    def __init__(self, layout: TrieLayout) -> None:
        self.further: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._layout = layout
        self._leaves: defaultdict[bytes, list[tuple[bytes, bytes]]] = defaultdict(list)
        self._summaries: dict[tuple[bytes, bytes], bytes] = {}

    def add_leaf(self, part: Part) -> None:
        """Remember a leaf's events: they count for its directory where summaries are bulky."""
        if self._layout.algebra.has_bulky:
            self._leaves[part.parent].append((part.entry, part.data))

    def of_leaf(self, part: Part) -> tuple[bytes, bytes]:
        """The state of a leaf as (scalar, further); of no use where summaries are bulky."""
        algebra = self._layout.algebra
        if algebra.has_bulky:
            return bytes(algebra.scalar_width), b""
        return algebra.encode_scalar(algebra.lift(self._layout.unpack(part.data))), b""

    def of_directory(self, part: Part, data: bytes) -> tuple[bytes, bytes]:
        """The state of a directory all of whose parts are sealed."""
        algebra = self._layout.algebra
        summaries = [
            data[at + 1 + self._layout.digest_width : at + self._step]
            for at in range(0, len(data), self._step)
            if not algebra.has_bulky or data[at] & _DIRECTORY
        ]
        state = algebra.decode(Sealed(b"".join(summaries), self.further.pop(part.name, [])))
        if algebra.has_bulky:
            leaves = b"".join(leaf for _, leaf in sorted(self._leaves.pop(part.name, [])))
            state = algebra.merge([algebra.lift(self._layout.unpack(leaves)), state])
        return algebra.encode_scalar(state), algebra.encode_bulky(state)

    def sealed(self, part: Part) -> bytes:
        """The bytes of a directory as soon as its parts are sealed."""
        entries = []
        for at in range(0, len(part.data), self._step):
            entry = part.data[at : at + self._step]
            summary = self._summaries.pop((part.name, entry[:1]), None)
            entries.append(entry if summary is None else bytes([entry[0] | _SEALED]) + summary)
        return b"".join(entries)

    def seal(self, part: Part, data: bytes, scalar: bytes, further: bytes) -> Seal:
        """Seal a part that has these bytes."""
        digest = hashlib.sha1(data, usedforsecurity=False)
        summary = digest.digest()[: self._layout.digest_width] + scalar
        self._summaries[part.parent, part.entry] = summary
        if further:
            self.further[part.parent].append(further)
        return Seal(part.parent, part.entry, part.name, digest.hexdigest(), summary, further)

    @property
    def _step(self) -> int:
        """From one entry of a directory to the next."""
        return 1 + self._layout.summary_width
