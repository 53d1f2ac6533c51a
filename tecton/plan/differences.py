"""
How two applied values differ, in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tecton.applied import AppliedAggregation, AppliedSource, Column
from tecton.plan.functions import function_difference
from tecton.timestamps import MICROSECOND, format_micros, micros_of

SOURCE_VALUES = ("columns", "event_key")
"""What of a source, besides its batch rows, its views' values come from."""


def differences(old: msgspec.Struct, new: msgspec.Struct, without: frozenset[str]) -> Iterator[str]:
    """What differs, one text for each attribute; attributes in *without* do not count."""
    for name in old.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if name in without or before == after:
            continue
        if name == "aggregations":
            yield f"{name}: {', '.join(_aggregations(before, after))}"
        elif name == "function":
            yield function_difference(before, after)
        else:
            yield _difference(name, before, after)


def _aggregations(
    old: Sequence[AppliedAggregation], new: Sequence[AppliedAggregation]
) -> Iterator[str]:
    """Which aggregations go, come and change."""
    before, after = ({one.name: one for one in some} for some in (old, new))
    yield from (f"- {name}" for name in before if name not in after)
    yield from (f"+ {name}" for name in after if name not in before)
    for name, is_now in after.items():
        was = before.get(name, is_now)
        if was != is_now:
            yield f"~ {name} ({_spelled(was)} → {_spelled(is_now)})"


def _spelled(aggregation: AppliedAggregation) -> str:
    given = [getattr(aggregation, name) for name in ("n", "percentile", "precision")]
    parameters = ", ".join(str(value) for value in given if value is not None)
    function = aggregation.function + (f"({parameters})" if parameters else "")
    return f"{function} of {aggregation.column} over {spell_duration(aggregation.time_window)}"


def _difference(name: str, before: object, after: object) -> str:
    return f"{name}: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    """A value as plans print it."""
    if value is None or value == () or value == {}:
        return "none"
    if isinstance(value, timedelta):
        return spell_duration(value)
    if isinstance(value, datetime):
        return format_micros(micros_of(value))
    if isinstance(value, tuple):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, Column):
        return f"{value.name} {value.dtype}"
    return str(value) if not isinstance(value, msgspec.Struct) else _shown_struct(value)


def _shown_struct(value: msgspec.Struct) -> str:
    given = ((name, getattr(value, name)) for name in value.__struct_fields__)
    return " ".join(f"{name}={_shown(item)}" for name, item in given if item)


def spell_duration(duration: timedelta) -> str:
    """A duration in its largest whole unit: `1 day`, `90 minutes`."""
    for unit, length in (
        ("day", timedelta(days=1)),
        ("hour", timedelta(hours=1)),
        ("minute", timedelta(minutes=1)),
        ("second", timedelta(seconds=1)),
        ("microsecond", MICROSECOND),
    ):
        if duration % length == timedelta(0):
            count = duration // length
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("a timedelta is a whole number of microseconds")


def source_differences(old: AppliedSource, new: AppliedSource) -> Iterator[str]:
    """What differs between sources and changes the values of their views."""
    for name in SOURCE_VALUES:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield _difference(f"{name} of StreamSource {new.name}", before, after)
    if _rows_key(old) != _rows_key(new):
        yield _difference(f"batch rows of StreamSource {new.name}", _uri(old), _uri(new))


def _rows_key(source: AppliedSource) -> object:
    """Which batch rows there are, and what they are; not when they are complete."""
    if source.batch is None:
        return None
    return msgspec.structs.replace(source.batch, data_delay=timedelta(0))


def _uri(source: AppliedSource) -> str | None:
    if source.batch is None:
        return None
    return f"{source.batch.uri} ({source.batch.file_format} by {source.batch.timestamp_field})"
