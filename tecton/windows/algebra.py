"""
The algebra of a view's windows: events are lifted to states, states merged, and then finalised.

A state summarises a set of events and nothing else: not the order in which they came, nor how
they were split. So the Redis reader, the Spark jobs and the tests get the same answers from it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tecton.applied import AppliedView
from tecton.timestamps import format_micros
from tecton.types import Array, Bool, DataType, Float64, Timestamp
from tecton.windows.answers import answer, has_answer
from tecton.windows.events import Events, no_events
from tecton.windows.layout import Layout, Matrix
from tecton.windows.scalars import (
    Scalars,
    decoded,
    encoded,
    joined,
    merged,
    singles,
    stored_dtype,
)
from tecton.windows.summaries import Summary

_length = struct.Struct("<I")


class State(NamedTuple):
    """
    What is known of a set of events.

    Args:
        scalars: One state.
        bulky: A partial for each of `Algebra.summaries`.
    """

    scalars: Scalars
    bulky: tuple[Any, ...] = ()


class Sealed(NamedTuple):
    """Encoded states of one segment of time, in any order.

    Args:
        scalars: What `encode_scalar` has given of each, one after another.
        bulky: What `encode_bulky` has given of each; nothing unless `has_bulky`.
    """

    scalars: bytes = b""
    bulky: Sequence[bytes] = ()


class Algebra:
    """
    The states of one view.

    Args:
        view: An aggregating view.

    Attributes:
        layout: Which summaries there are.
        windows: The distinct windows in µs, ascending.
        scalar_width: Bytes of the scalar part of an encoded state.
        has_bulky: Whether states have a part of variable length.
        is_ordered: Whether a feature depends on the order of events with one timestamp.
    """

    def __init__(self, view: AppliedView) -> None:
        self.layout = Layout(view)
        self.windows = self.layout.windows
        self._dtype = stored_dtype(self.layout)
        self.scalar_width = self._dtype.itemsize
        self.summaries: tuple[Summary, ...] = ()
        self.has_bulky = bool(self.summaries)
        self.is_ordered = self.layout.is_ordered and bool(view.event_key)
        self._backwards = -np.array(self.windows, np.int64)[::-1]
        count = len(self.windows)
        # Window i is made of segments 0 to i.
        self._nested = np.concatenate([np.arange(i + 1) for i in range(count)])
        self._nested_sizes = np.arange(1, count + 1)

    def lift(self, events: Events) -> State:
        """The state of some events; they may be none."""
        scalars = merged(self.layout, singles(self.layout, events), np.array([events.size]))
        return State(scalars, tuple(summary.lift(events) for summary in self.summaries))

    def merge(self, states: Sequence[State]) -> State:
        """The state of all events of *states*, which share none; they may be none."""
        if not states:
            return self.lift(no_events(self.layout))
        scalars = joined([state.scalars for state in states])
        parts = zip(self.summaries, zip(*(state.bulky for state in states), strict=True))  # noqa: B905
        return State(
            merged(self.layout, scalars, np.array([scalars.size])),
            tuple(summary.merge(partials) for summary, partials in parts),
        )

    def encode_scalar(self, state: State) -> bytes:
        """The scalar part, always `scalar_width` bytes."""
        return encoded(self._dtype, state.scalars)

    def encode_bulky(self, state: State) -> bytes:
        """The part of variable length; no bytes unless `has_bulky`."""
        parts = zip(self.summaries, state.bulky, strict=True)
        texts = [summary.encode(partial) for summary, partial in parts]
        return b"".join(_length.pack(len(text)) + text for text in texts)

    def decode(self, sealed: Sealed) -> State:
        """The state of all events of some encoded states."""
        scalars = decoded(self.layout, self._dtype, sealed.scalars)
        return State(
            merged(self.layout, scalars, np.array([scalars.size])),
            self._merge_bulky([self._decode_bulky(data) for data in sealed.bulky]),
        )

    def finalise(self, states: Sequence[State]) -> dict[str, Any]:
        """
        The features' canonical values.

        Args:
            states: For each of `windows` the state of its events.
        """
        scalars = joined([state.scalars for state in states])
        return self._finalise(scalars, [state.bulky for state in states])

    def answer(
        self, at: int, loose: Events, sealed: Sequence[Sealed] = ()
    ) -> dict[str, Any] | None:
        """
        The features' canonical values at a time; None if no event is within the longest window.

        Args:
            at: Windows end there, inclusive; µs since the epoch.
            loose: Events by themselves. Those outside the longest window are left out.
            sealed: States of other events: of those with `at` − `windows[0]` < timestamp, then of
                those with `at` − `windows[1]` < timestamp ≤ `at` − `windows[0]`, and so on.
        """
        edges = np.searchsorted(loose.timestamps, at + self._backwards, side="right")
        end = np.searchsorted(loose.timestamps, at, side="right")
        scalars = self._segments(loose, np.append(edges, end), sealed)
        if len(self.windows) > 1:
            scalars = merged(self.layout, scalars.take(self._nested), self._nested_sizes)
        if not scalars.counts[0, -1]:
            return None
        return self._finalise(scalars, [])

    def _segments(self, loose: Events, edges: Matrix, sealed: Sequence[Sealed]) -> Scalars:
        """The states of the segments, the newest first."""
        states = singles(self.layout, loose.take(slice(edges[0], edges[-1])))
        per_segment = merged(self.layout, states, np.diff(edges))
        per_segment = per_segment.take(slice(None, None, -1))
        if not any(part.scalars for part in sealed):
            return per_segment
        stored = decoded(self.layout, self._dtype, b"".join(part.scalars for part in sealed))
        count = len(self.windows)
        owners = [len(part.scalars) // self.scalar_width for part in sealed]
        labels = np.concatenate([np.arange(count), np.repeat(np.arange(len(owners)), owners)])
        everything = joined([per_segment, stored]).take(np.argsort(labels, kind="stable"))
        return merged(self.layout, everything, np.bincount(labels, minlength=count))

    def _finalise(self, scalars: Scalars, bulky: Sequence[Sequence[Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for feature in self.layout.features:
            if has_answer(self.layout, feature):
                answered = answer(self.layout, scalars, feature)
                window = feature.window
                value = answered.values[window].item() if answered.valid[window] else None
                values[feature.name] = canonical(feature.dtype, value)
        return values

    def _decode_bulky(self, data: bytes) -> list[Any]:
        partials = []
        start = 0
        for summary in self.summaries:
            end = start + 4 + _length.unpack_from(data, start)[0]
            partials.append(summary.decode(data[start + 4 : end]))
            start = end
        return partials

    def _merge_bulky(self, partials: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
        return tuple(
            summary.merge([partial[i] for partial in partials])
            for i, summary in enumerate(self.summaries)
        )


def canonical(dtype: DataType, value: Any) -> Any:
    """A value as it is kept in numpy → its canonical form, for instance µs → RFC 3339."""
    if value is None:
        return None
    if isinstance(dtype, Array):
        return [canonical(dtype.element_type, item) for item in value]
    if dtype == Timestamp:
        return format_micros(value)
    if dtype == Bool:
        return bool(value)
    return dtype.from_native(value) if dtype == Float64 else value


def algebra_of(view: AppliedView) -> Algebra:
    """The algebra of an aggregating view, made once for each object of it."""
    made: Algebra | None = view.__dict__.get("_algebra")
    if made is None:
        made = view.__dict__["_algebra"] = Algebra(view)
    return made
