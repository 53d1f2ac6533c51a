"""
About how many different values there are, by HyperLogLog: a function of the set of values.

Flajolet, Fusy, Gandouet and Meunier (2007) with a hash of 64 bits, and Ertl's estimate (2017,
algorithm 6), which needs no table, has no bias and holds from 0 to 2⁶⁴. Its standard error is
1.04 / √(2 ** precision).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from tecton.packed import Kind
from tecton.types import INT64_MAX
from tecton.windows.events import Events
from tecton.windows.layout import Feature, Matrix
from tecton.windows.summaries import Summary

_BITS = 64
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = tuple(
    (np.uint64(shift), np.uint64(factor))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
)
_LAST_SHIFT = np.uint64(31)
_SPARSE = np.dtype([("register", "<u2"), ("rank", "u1")])


def hash_of(value: str | int | float) -> int:
    """The 64 bits that stand for a value: of a number the finaliser of splitmix64 of its bits."""
    if isinstance(value, str):
        return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little")
    bits = np.array([value], np.float64 if isinstance(value, float) else np.int64)
    return int(_mixed(bits.view(np.uint64))[0])


def hashes(kind: Kind, values: Matrix) -> Matrix:
    """`hash_of` of each value, as uint64."""
    if kind is Kind.TEXT:
        return np.fromiter(map(hash_of, values.tolist()), np.uint64, len(values))
    return _mixed(np.ascontiguousarray(values).view(np.uint64))


def _mixed(bits: Matrix) -> Matrix:
    mixed = bits + _STEP
    for shift, factor in _MIX:
        mixed = (mixed ^ (mixed >> shift)) * factor
    last: Matrix = mixed ^ (mixed >> _LAST_SHIFT)
    return last


def placed(precision: int, hashed: Matrix) -> tuple[Matrix, Matrix]:
    """For each hash the register it belongs to and the rank it has there, from 1."""
    width = _BITS - precision
    registers = (hashed >> np.uint64(width)).astype(np.int64)
    rest = hashed & np.uint64((1 << width) - 1)
    # The exponent of a double is the number of bits, once no row of ones can be rounded up.
    bits = np.frexp((rest & ~(rest >> np.uint64(1))).astype(np.float64))[1]
    return registers, (width + 1 - bits).astype(np.uint8)


def estimate(precision: int, ranks: Iterable[int]) -> int:
    """How many different values have left these ranks in the registers that are not 0."""
    width = _BITS - precision
    counts = Counter(ranks)
    full = counts.pop(width + 1, 0)
    zeros = (1 << precision) - full - sum(counts.values())
    return estimate_of(
        precision, sum(n << (width - rank) for rank, n in counts.items()), zeros, full
    )


def estimate_of(precision: int, scaled: int, zeros: int, full: int) -> int:
    """
    How many different values there are.

    Args:
        precision: Base-2 logarithm of the number of registers.
        scaled: The sum of 2 ** (64 − precision − rank) over registers neither at 0 nor full.
        zeros: Registers at 0.
        full: Registers at the highest rank, 65 − precision.
    """
    size = 1 << precision
    if zeros == size:
        return 0
    total = (scaled + size * _tau(1 - full / size)) / 2.0 ** (_BITS - precision)
    total += size * _sigma(zeros / size)
    # Registers that only a chosen input can fill stand for more than an Int64 holds.
    return min(round(size * size / (2 * math.log(2) * total)), INT64_MAX) if total else INT64_MAX


def _sigma(x: float) -> float:
    weight, total, before = 1.0, x, -1.0
    while total != before:
        x *= x
        before = total
        total += x * weight
        weight += weight
    return total


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0.0
    weight, total, before = 1.0, 1 - x, -1.0
    while total != before:
        x = math.sqrt(x)
        before = total
        weight /= 2
        total -= (1 - x) ** 2 * weight
    return total / 3


class Registers(Summary):
    """
    The registers of a column: a byte each, or while few are set only these, 3 bytes each.

    Args:
        column: Position of the column.
        kind: How it is packed.
        precision: Base-2 logarithm of the number of registers.
    """

    def __init__(self, column: int, kind: Kind, precision: int) -> None:
        self._column = column
        self._kind = kind
        self._precision = precision
        self._size = 1 << precision

    def lift(self, events: Events) -> bytes:
        """The registers of some events."""
        values, valid = events.columns[self._column]
        if not valid.any():
            return b""
        registers = np.zeros(self._size, np.uint8)
        np.maximum.at(registers, *placed(self._precision, hashes(self._kind, values[valid])))
        return self._packed(registers)

    def merge(self, partials: Sequence[bytes]) -> bytes:
        """The greatest rank of each register."""
        given = [partial for partial in partials if partial]
        if len(given) < 2:
            return given[0] if given else b""
        dense = b"".join(partial for partial in given if len(partial) == self._size)
        sparse = b"".join(partial for partial in given if len(partial) != self._size)
        registers = np.zeros(self._size, np.uint8)
        if dense:
            registers = np.frombuffer(dense, np.uint8).reshape(-1, self._size).max(axis=0)
        if sparse:
            entries = np.frombuffer(sparse, _SPARSE)
            np.maximum.at(registers, entries["register"], entries["rank"])
        return self._packed(registers)

    def value(self, partial: bytes, feature: Feature) -> int:
        """The estimate; 0 where all values are null."""
        if len(partial) == self._size:
            return estimate(self._precision, partial.replace(b"\0", b""))
        return estimate(self._precision, partial[2::3])

    def _packed(self, registers: Matrix) -> bytes:
        used = np.flatnonzero(registers)
        if _SPARSE.itemsize * used.size >= self._size:
            return registers.tobytes()
        entries = np.empty(used.size, _SPARSE)
        entries["register"] = used
        entries["rank"] = registers[used]
        return entries.tobytes()
