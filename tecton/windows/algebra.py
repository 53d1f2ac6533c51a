"""
The algebra of a view's windows: events are lifted to states, states merged, and then finalised.

A state summarises a set of events and nothing else: not the order in which they came, nor how
they were split. So the Redis reader, the Spark jobs and the tests get the same answers from it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tecton.applied import AppliedView
from tecton.timestamps import format_micros
from tecton.types import Array, Bool, DataType, Float64, Timestamp
from tecton.windows.answers import answer, has_answer
from tecton.windows.bulky import Bulky, Partials
from tecton.windows.events import Events, no_events
from tecton.windows.layout import Feature, Layout, Matrix
from tecton.windows.scalars import (
    Scalars,
    decoded,
    encoded,
    joined,
    merged,
    singles,
    stored_dtype,
)


class State(NamedTuple):
    """
    What is known of a set of events.

    Args:
        scalars: One state.
        bulky: The partials of what has no fixed width.
    """

    scalars: Scalars
    bulky: Partials = ()


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
        self._bulky = Bulky(self.layout, bool(view.event_key))
        self._canonical = {f.name: _canonical_of(f.dtype) for f in self.layout.features}
        shared: dict[tuple[int, str], list[Feature]] = {}
        for feature in self.layout.features:
            if has_answer(self.layout, feature):
                same = (feature.column, feature.aggregation.function)
                shared.setdefault(same, []).append(feature)
        self._scalar_features = tuple(shared.values())
        self.has_bulky = bool(self._bulky.summaries)
        self.is_ordered = self.layout.is_ordered and bool(view.event_key)
        self._backwards = -np.array(self.windows, np.int64)[::-1]
        count = len(self.windows)
        # Window i is made of segments 0 to i.
        self._nested = np.concatenate([np.arange(i + 1) for i in range(count)])
        self._nested_sizes = np.arange(1, count + 1)

    def lift(self, events: Events) -> State:
        """The state of some events; they may be none."""
        scalars = merged(self.layout, singles(self.layout, events), np.array([events.size]))
        return State(scalars, self._bulky.lift(events))

    def merge(self, states: Sequence[State]) -> State:
        """The state of all events of *states*, which share none; they may be none."""
        if not states:
            return self.lift(no_events(self.layout))
        scalars = joined([state.scalars for state in states])
        return State(
            merged(self.layout, scalars, np.array([scalars.size])),
            self._bulky.merge([state.bulky for state in states]),
        )

    def encode_scalar(self, state: State) -> bytes:
        """The scalar part, always `scalar_width` bytes."""
        return encoded(self._dtype, state.scalars)

    def encode_bulky(self, state: State) -> bytes:
        """The part of variable length; no bytes unless `has_bulky`."""
        return self._bulky.encode(state.bulky)

    def decode(self, sealed: Sealed) -> State:
        """The state of all events of some encoded states."""
        scalars = decoded(self.layout, self._dtype, sealed.scalars)
        return State(
            merged(self.layout, scalars, np.array([scalars.size])),
            self._bulky.merge([self._bulky.decode(data) for data in sealed.bulky]),
        )

    def finalise(self, states: Sequence[State]) -> dict[str, Any]:
        """
        The features' canonical values.

        Args:
            states: For each of `windows` the state of its events.
        """
        scalars = joined([state.scalars for state in states])
        return self._finalised(scalars, self._bulky.finalise([state.bulky for state in states]))

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
        edges = np.append(edges, end)
        scalars = self._segments(loose, edges, sealed)
        if len(self.windows) > 1:
            scalars = merged(self.layout, scalars.take(self._nested), self._nested_sizes)
        if not scalars.counts[0, -1]:
            return None
        return self._finalised(scalars, self._answer_bulky(loose, edges, sealed))

    def _segments(self, loose: Events, edges: Matrix, sealed: Sequence[Sealed]) -> Scalars:
        """The states of the segments, the newest first."""
        states = singles(self.layout, loose.take(slice(edges[0], edges[-1])))
        sizes = np.diff(edges)
        if not any(part.scalars for part in sealed):
            return merged(self.layout, states, sizes).take(slice(None, None, -1))
        stored = decoded(self.layout, self._dtype, b"".join(part.scalars for part in sealed))
        segments = np.arange(len(self.windows))
        nodes = [len(part.scalars) // self.scalar_width for part in sealed]
        owners = np.concatenate(
            [segments[::-1].repeat(sizes), segments[: len(nodes)].repeat(nodes)]
        )
        grouped = joined([states, stored]).take(owners.argsort(kind="stable"))
        return merged(self.layout, grouped, np.bincount(owners, minlength=segments.size))

    def _answer_bulky(
        self, loose: Events, edges: Matrix, sealed: Sequence[Sealed]
    ) -> Iterator[tuple[Feature, Any]]:
        if not self.has_bulky:
            return iter(())
        bounds = edges[::-1].tolist()
        segments = [loose.take(slice(start, end)) for end, start in itertools.pairwise(bounds)]
        stored = {
            segment: [self._bulky.decode(data) for data in part.bulky]
            for segment, part in enumerate(sealed)
        }
        return self._bulky.answer(segments, stored)

    def _finalised(self, scalars: Scalars, bulky: Iterable[tuple[Feature, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        with np.errstate(all="ignore"):
            for features in self._scalar_features:
                # The same function of the same column is worked out for all windows at once.
                answered = answer(self.layout, scalars, features[0])
                given, valid = answered.values.tolist(), answered.valid.tolist()
                for feature in features:
                    value = given[feature.window] if valid[feature.window] else None
                    values[feature.name] = self._canonical[feature.name](value)
        present = scalars.counts[0].tolist()
        for feature, value in bulky:
            # No events give null also where a summary of none gives 0.
            value = value if present[feature.window] else None
            values[feature.name] = self._canonical[feature.name](value)
        return values


def _as_it_is(value: Any) -> Any:
    return value


def _canonical_number(value: float | None) -> Any:
    return value if value is None or math.isfinite(value) else Float64.from_native(value)


def _canonical_time(micros: int | None) -> str | None:
    return None if micros is None else format_micros(micros)


def _canonical_bool(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _canonical_of(dtype: DataType) -> Callable[[Any], Any]:
    """What turns a value as numpy keeps it into its canonical form."""
    if isinstance(dtype, Array):
        each = _canonical_of(dtype.element_type)
        return lambda values: None if values is None else [each(value) for value in values]
    found = [convert for plain, convert in _CANONICAL if plain == dtype]
    return found[0] if found else _as_it_is


_CANONICAL: Sequence[tuple[DataType, Callable[[Any], Any]]] = (
    (Float64, _canonical_number),
    (Timestamp, _canonical_time),
    (Bool, _canonical_bool),
)


def algebra_of(view: AppliedView) -> Algebra:
    """The algebra of an aggregating view, made once for each object of it."""
    made: Algebra | None = view.__dict__.get("_algebra")
    if made is None:
        made = view.__dict__["_algebra"] = Algebra(view)
    return made
