"""
A view's transformation as a value that stands alone, and what running it gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from tecton.applied import AppliedFunction, AppliedSource, AppliedView, Column, WorkspaceState
from tecton.errors import FunctionsUnavailable
from tecton.names import EVENT_COLUMN
from tecton.types import Field

OFF = "off"
"""The mode of a function that must not run here."""
TURNED_OFF = "functions are turned off (TECTON_FUNCTIONS=off)"

MAX_ROWS = 1_000
"""That one record may yield."""


class Transformation(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a worker needs to know of a view: its function, what goes in, what must come out.

    Args:
        view: Name of the view.
        function: The function.
        inputs: Columns of the source's records.
        keys: The view's join keys.
        timestamp: Its event timestamp's column.
        values: The other columns that a returned row has.
        event_key: Columns of the records that tell events apart.
    """

    view: str
    function: AppliedFunction
    inputs: tuple[Column, ...]
    keys: tuple[Column, ...]
    timestamp: str
    values: tuple[Column, ...]
    event_key: tuple[str, ...] = ()

    @cached_property
    def input_fields(self) -> tuple[Field, ...]:
        """The columns of a record."""
        return tuple(Field(column.name, column.dtype) for column in self.inputs)

    @cached_property
    def output_fields(self) -> tuple[Field, ...]:
        """The columns of a returned row without its timestamp, in the order of `Row.values`."""
        return tuple(Field(column.name, column.dtype) for column in (*self.keys, *self.values))


def transformation_of(view: AppliedView, source: AppliedSource) -> Transformation | None:
    """The transformation of a view; None if it has no function."""
    if view.function is None:
        return None
    return Transformation(
        view=view.name,
        function=view.function,
        inputs=source.columns,
        keys=view.join_keys,
        timestamp=view.timestamp_field,
        values=view.columns,
        event_key=source.event_key,
    )


def turned_off(state: WorkspaceState) -> WorkspaceState:
    """A workspace whose functions must not run here."""
    views = tuple(_without_text(view) for view in state.views)
    replaced = tuple(
        replace(one, view=_without_text(one.view), source=_without_processor(one.source))
        for one in state.replaced
    )
    sources = tuple(_without_processor(source) for source in state.sources)
    return replace(state, sources=sources, views=views, replaced=replaced)


def _without_text(view: AppliedView) -> AppliedView:
    if view.function is None:
        return view
    return replace(view, function=replace(view.function, mode=OFF, source=""))


def _without_processor(source: AppliedSource) -> AppliedSource:
    if source.batch is None or source.batch.post_processor is None:
        return source
    off = replace(source.batch.post_processor, mode=OFF, source="")
    return replace(source, batch=replace(source.batch, post_processor=off))


class Row(NamedTuple):
    """A row that a function returned, checked.

    Args:
        timestamp: Event timestamp, µs since the epoch.
        values: Canonical join keys, then the other columns.
    """

    timestamp: int
    values: list[Any]


class Failure(msgspec.Struct, frozen=True):
    """What is wrong with what a function did with one record.

    Args:
        message: For whoever sent the record.
        outline: The same without anything that is in the record.
    """

    message: str
    outline: str


Outcome = list[Row] | Failure
"""Of one record: its rows, no two of one key and timestamp, or why there are none."""


class FunctionRunner(Protocol):
    """Runs transformations; safe to use from many threads."""

    def run(
        self, transformation: Transformation, records: Sequence[Mapping[str, Any]], patience: float
    ) -> Sequence[Outcome]:
        """
        Run a function on records, each by itself.

        Args:
            transformation: What to run.
            records: Canonical values by column.
            patience: How many times the usual time a record may take.

        Returns:
            The outcome of each, in their order.

        Raises:
            FunctionStopped: It took too long, or its process died.
            FunctionsUnavailable: Functions are turned off, or this one does not load here.
            RateLimited: Too much is waiting for a process.
        """
        ...

    def close(self) -> None:
        """End what it has started."""


class NoFunctions:
    """`FunctionRunner` where functions are turned off."""

    def run(
        self, transformation: Transformation, records: Sequence[Mapping[str, Any]], patience: float
    ) -> Sequence[Outcome]:
        """Run nothing."""
        raise FunctionsUnavailable(transformation.view, TURNED_OFF)

    def close(self) -> None:
        """Nothing was started."""


def row_values(
    transformation: Transformation, record: Mapping[str, Any], row: Row
) -> dict[str, Any]:
    """
    The canonical values of a feature row by column, event columns included.

    Args:
        transformation: Whose row it is.
        record: The record that it came from.
        row: The row.
    """
    names = (field.name for field in transformation.output_fields)
    values = dict(zip(names, row.values, strict=True))
    for name in transformation.event_key:
        values[EVENT_COLUMN.format(name=name)] = record[name]
    return values
