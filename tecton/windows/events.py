"""
The events of one key (or of many, one after another) as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tecton.packed import Kind
from tecton.windows.layout import Layout, Matrix

_WIDTH = 8


class Values(NamedTuple):
    """One aggregated column.

    Args:
        values: int64, float64 or objects (str), by its kind; what a null has there is 0 or "".
            Of a column whose values do not matter (`Kind.PRESENCE`) they are zeros.
        valid: Where it is not null.
    """

    values: Matrix
    valid: Matrix


class Events(NamedTuple):
    """
    Events in ascending order of (timestamp, sequence, tie, identity), each identity once.

    Args:
        timestamps: int64, µs since the epoch.
        columns: One for each of the view's `aggregated_fields`.
        sequences: int64. Like the two below only looked at for functions of a view with an event
            key that depend on order; None stands for zeros.
        ties: int64.
        identities: uint64, the 8 bytes of `packed.identity_of` read big-endian.
    """

    timestamps: Matrix
    columns: tuple[Values, ...]
    sequences: Matrix | None = None
    ties: Matrix | None = None
    identities: Matrix | None = None

    @property
    def size(self) -> int:
        """How many events there are; `len` of a tuple is something else."""
        return self.timestamps.size

    def take(self, at: Matrix | slice) -> Events:
        """Those at some positions, or in a slice."""
        return Events(
            self.timestamps[at],
            tuple(Values(column.values[at], column.valid[at]) for column in self.columns),
            *(None if part is None else part[at] for part in self[2:]),
        )

    def ordered(self) -> Events:
        """The same events in the order that this class asks for."""
        keys = [part for part in (self.identities, self.ties, self.sequences) if part is not None]
        return self.take(np.lexsort([*keys, self.timestamps]))


def no_events(layout: Layout) -> Events:
    """No events of a view."""
    dtypes = {Kind.FLOAT: np.dtype(np.float64), Kind.TEXT: np.dtype(object)}
    nothing = (np.empty(0, dtypes.get(kind, np.dtype(np.int64))) for kind in layout.kinds)
    columns = tuple(Values(values, np.empty(0, np.bool_)) for values in nothing)
    return Events(np.empty(0, np.int64), columns)


def unpack(
    layout: Layout,
    timestamps: Matrix,
    bodies: Matrix | Sequence[bytes],
    sequences: Matrix | None = None,
    ties: Matrix | None = None,
    identities: Matrix | None = None,
) -> Events:
    """
    Events from the packed values of each (`packed.pack_values`).

    Args:
        layout: Of the view.
        timestamps: int64, µs since the epoch.
        bodies: A uint8 matrix with a row for each event, which can be a view of a larger one, if
            the view has no strings; or the bytes of each.
        sequences: See `Events`; so the other two.
        ties: See `Events`.
        identities: See `Events`.
    """
    if Kind.TEXT in layout.kinds:
        columns = _unpack_loose(layout, [bytes(body) for body in bodies])
    else:
        columns = _unpack_fixed(layout, bodies)
    return Events(timestamps, columns, sequences, ties, identities)


def _unpack_fixed(layout: Layout, bodies: Matrix | Sequence[bytes]) -> tuple[Values, ...]:
    nulls = -(-len(layout.kinds) // 8)
    if not isinstance(bodies, np.ndarray):
        width = nulls + _WIDTH * len(layout.kinds)
        bodies = np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, width)
    words = np.ascontiguousarray(np.ascontiguousarray(bodies[:, nulls:]).view("<i8").T)
    columns = []
    for column, kind in enumerate(layout.kinds):
        valid = bodies[:, column // 8] & (1 << column % 8) == 0
        columns.append(_values(kind, words[column], valid))
    return tuple(columns)


def _unpack_loose(layout: Layout, bodies: Sequence[bytes]) -> tuple[Values, ...]:
    nulls = -(-len(layout.kinds) // 8)
    starts = [nulls] * len(bodies)
    columns = []
    for column, kind in enumerate(layout.kinds):
        byte, bit = column // 8, 1 << column % 8
        valid = np.array([not body[byte] & bit for body in bodies], np.bool_)
        if kind is Kind.TEXT:
            texts = np.empty(len(bodies), object)
            for i, body in enumerate(bodies):
                start = starts[i] + 4
                starts[i] = start + int.from_bytes(body[start - 4 : start], "little")
                texts[i] = body[start : starts[i]].decode()
            columns.append(Values(texts, valid))
        else:
            cut = [body[start : start + _WIDTH] for body, start in zip(bodies, starts, strict=True)]
            starts = [start + _WIDTH for start in starts]
            columns.append(_values(kind, np.frombuffer(b"".join(cut), "<i8"), valid))
    return tuple(columns)


def _values(kind: Kind, raw: Matrix, valid: Matrix) -> Values:
    if kind is Kind.FLOAT:
        # Adding 0 makes a negative zero a zero: they are one value (decision 0026).
        return Values(raw.view("<f8") + 0.0, valid)
    return Values(raw, valid)
