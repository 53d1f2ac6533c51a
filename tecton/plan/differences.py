"""
How two applied values differ, in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tecton.applied import AppliedAggregation, AppliedFunction, AppliedSource, BatchRows, Column
from tecton.plan.functions import function_difference, is_same_code
from tecton.timestamps import MICROSECOND, format_micros, micros_of

SOURCE_VALUES = ("columns", "event_key")
"""What of a source, besides its batch rows, its views' values come from."""

BATCH_NOT_VALUES = frozenset({"data_delay", "partitions"})
"""What of batch rows says when they are complete, and which files a run can pass over."""


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
        elif isinstance(before, BatchRows) and isinstance(after, BatchRows):
            yield from _batch_differences(before, after)
        else:
            yield _difference(name, before, after)


def _batch_differences(old: BatchRows, new: BatchRows) -> Iterator[str]:
    """What differs in where batch rows are and how they are read."""
    if old.post_processor != new.post_processor:
        difference = function_difference(old.post_processor, new.post_processor)
        yield f"post_processor {difference.removeprefix('function').lstrip(': ')}"
    for detail in differences(old, new, frozenset({"post_processor"})):
        yield f"batch {detail}"


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
    if isinstance(value, AppliedFunction):
        return value.name
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
    name = f"of StreamSource {new.name}"
    if old.batch is None or new.batch is None or _place(old.batch) != _place(new.batch):
        if old.batch != new.batch:
            yield _difference(f"batch rows {name}", _uri(old), _uri(new))
        return
    # A function that is only laid out in another way gives the same rows.
    is_same = is_same_code(old.batch.post_processor, new.batch.post_processor)
    same = BATCH_NOT_VALUES | ({"post_processor"} if is_same else set())
    if any(True for _ in differences(old.batch, new.batch, same)):
        shown = [d for d in _batch_differences(old.batch, new.batch) if not _is_no_value(d)]
        yield f"batch rows {name}: {'; '.join(shown)}"


def _place(batch: BatchRows) -> tuple[str, str, str]:
    return batch.uri, batch.file_format, batch.timestamp_field


def _is_no_value(detail: str) -> bool:
    return any(detail.startswith(f"batch {name}:") for name in BATCH_NOT_VALUES)


def _uri(source: AppliedSource) -> str | None:
    if source.batch is None:
        return None
    return f"{source.batch.uri} ({source.batch.file_format} by {source.batch.timestamp_field})"
