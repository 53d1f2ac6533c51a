"""
The summaries of a view whose size depends on its events, all together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tecton.packed import Kind
from tecton.windows.answers import has_answer
from tecton.windows.ends import Ends
from tecton.windows.events import Events
from tecton.windows.layout import LISTS, Feature, Layout
from tecton.windows.quantiles import Quantiles
from tecton.windows.registers import Registers
from tecton.windows.summaries import Summary, TextExtreme

_length = struct.Struct("<I")

Partials = tuple[bytes, ...]
"""A partial for each summary."""


class Bulky:
    """
    The summaries of one view.

    Args:
        layout: Of the view.
        has_key: Whether the view has an event key.

    Attributes:
        summaries: Each with the features that are made of it, those of short windows first.
    """

    def __init__(self, layout: Layout, has_key: bool) -> None:
        shared: dict[tuple[Any, ...], list[Feature]] = {}
        for feature in sorted(layout.features, key=lambda feature: feature.window):
            if not has_answer(layout, feature):
                shared.setdefault(_sharing(feature), []).append(feature)
        self.summaries: tuple[tuple[Summary, tuple[Feature, ...]], ...] = tuple(
            (_summary(layout.kinds[features[0].column], features, has_key), tuple(features))
            for features in shared.values()
        )

    def lift(self, events: Events) -> Partials:
        """The partials of some events."""
        return tuple(summary.lift(events) for summary, _ in self.summaries)

    def merge(self, given: Sequence[Partials]) -> Partials:
        """The partials of all their events."""
        return tuple(
            summary.merge([partials[i] for partials in given])
            for i, (summary, _) in enumerate(self.summaries)
        )

    def encode(self, partials: Partials) -> bytes:
        """The partials as bytes, each after its length; none if there are no summaries."""
        return b"".join(_length.pack(len(partial)) + partial for partial in partials)

    def decode(self, data: bytes) -> Partials:
        """The partials that were encoded."""
        partials = []
        start = 0
        for _ in self.summaries:
            end = start + 4 + _length.unpack_from(data, start)[0]
            partials.append(data[start + 4 : end])
            start = end
        return tuple(partials)

    def finalise(self, states: Sequence[Partials]) -> Iterator[tuple[Feature, Any]]:
        """Features with their values, from the partials of each window."""
        for i, (summary, features) in enumerate(self.summaries):
            for feature in features:
                yield feature, summary.value(states[feature.window][i], feature)

    def answer(
        self, loose: Sequence[Events], sealed: Mapping[int, Sequence[Partials]]
    ) -> Iterator[tuple[Feature, Any]]:
        """
        Features with their values.

        Args:
            loose: The events of each segment, the newest segment first.
            sealed: Partials of further events, by segment.
        """
        for i, (summary, features) in enumerate(self.summaries):
            merged, reached = b"", 0
            for feature in features:
                if reached <= feature.window:
                    segments = range(reached, feature.window + 1)
                    parts = [partials[i] for s in segments for partials in sealed.get(s, ())]
                    events = [loose[s] for s in segments if loose[s].size]
                    merged = summary.gather([merged, *parts], events)
                    reached = feature.window + 1
                yield feature, summary.value(merged, feature)


def _sharing(feature: Feature) -> tuple[Any, ...]:
    """What features have in common that are made of one summary."""
    function = feature.aggregation.function
    return (feature.column, function, None if function in LISTS else feature.aggregation.precision)


def _summary(kind: Kind, features: Sequence[Feature], has_key: bool) -> Summary:
    aggregation, column = features[0].aggregation, features[0].column
    function, precision = aggregation.function, aggregation.precision
    if function in LISTS:
        count = max(feature.aggregation.n or 1 for feature in features)
        end, _, distinct = function.partition("_")
        return Ends(column, kind, count, end == "last", bool(distinct), has_key)
    if function in ("min", "max"):
        return TextExtreme(column, function == "min")
    if precision is None:
        raise ValueError(f"{function} of feature {aggregation.name} needs a precision")
    if function == "approx_percentile":
        return Quantiles(column, precision)
    return Registers(column, kind, precision)
