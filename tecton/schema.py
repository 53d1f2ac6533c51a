"""
Raw record → checked record, or every reason why not (contract §3, schema and time).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from tecton.applied import AppliedSource, AppliedView
from tecton.errors import RecordProblem
from tecton.functions.transformation import Row, Transformation, row_values, transformation_of
from tecton.rows import JOIN_KEY_MAX_BYTES, FeatureRow, Record, row_of
from tecton.timestamps import MICROSECOND, format_micros, parse_rfc3339
from tecton.types import STRING_MAX_BYTES, Timestamp, ValueMismatch, bounded, show

MAX_MESSAGES = 20
"""About one record; a bound on what a bad request costs."""

OUTSIDE_TTL = "timestamp value is outside of the serving TTL defined for Feature View {view}"


class RecordLimits(NamedTuple):
    """How much one record may hold.

    Args:
        key_bytes: Of a join key, in UTF-8.
        string_bytes: Of any string, in UTF-8.
    """

    key_bytes: int = JOIN_KEY_MAX_BYTES
    string_bytes: int = STRING_MAX_BYTES


class RecordChecker:
    """The rules of one stream source and the views that subscribe to it.

    A view without a function reads the record itself, so join keys and timestamp are rules of the
    record; those of a view with one are rules of the rows that the function returns.

    Args:
        source: The source.
        views: Its views; a record must satisfy every one.
        future_tolerance: How far ahead of the clock an event timestamp may be.
        limits: How much a record may hold.
    """

    def __init__(
        self,
        source: AppliedSource,
        views: Sequence[AppliedView],
        future_tolerance: timedelta,
        limits: RecordLimits = RecordLimits(),  # noqa: B008  # immutable
    ) -> None:
        self._source = source
        self._views = tuple(view for view in views if view.function is None)
        self.transformed = tuple(
            (view, transformation)
            for view in views
            if (transformation := transformation_of(view, source)) is not None
        )
        """The views with a function, which a record has to satisfy too."""
        self._tolerance = future_tolerance
        self._key_bytes = limits.key_bytes
        self._fields = [
            (field.name, bounded(field.dtype, limits.string_bytes).accept)
            for field in source.fields
        ]
        self._names = frozenset(field.name for field in source.fields)
        self._keys = sorted({field.name for view in self._views for field in view.key_fields})
        times = {view.timestamp_field for view in self._views}
        self._times = sorted(times or _event_times(source, is_read=bool(views)))
        self._never_null = frozenset([*self._keys, *self._times])

    def check(
        self, raw: Any, index: int, now: int, most: int = MAX_MESSAGES
    ) -> Record | list[RecordProblem]:
        """
        Check one record against the schema, then against the bounds of time.

        Args:
            raw: The decoded JSON value of the element's `record`.
            index: Its position in the request, for messages.
            now: The clock, µs since the epoch.
            most: How many faults of the schema are looked for.

        Returns:
            The record with one row for each view without a function that is online, or what is
            wrong with it.
        """
        if type(raw) is not dict:
            return [self._problem(index, f"record must be an object, saw {show(raw)}")]
        values, messages = self._values(raw, most)
        if messages:
            return [self._problem(index, message) for message in messages]
        times = {name: _micros(values[name]) for name in self._times}
        problems = [*self._absolute_bounds(index, times, values, now)]
        problems += self._view_bounds(index, times, now)
        if problems:
            return problems
        rows = tuple(
            row_of(view, values, times[view.timestamp_field]) for view in self._views if view.online
        )
        return Record(self._source, values, rows)

    def check_returned(
        self,
        view: AppliedView,
        transformation: Transformation,
        record: Record,
        rows: Sequence[Row],
        index: int,
        now: int,
    ) -> tuple[Sequence[FeatureRow], Sequence[RecordProblem]]:
        """
        Check the rows that a view's function returned for a record.

        Args:
            view: The view.
            transformation: Its transformation.
            record: The record.
            rows: The rows.
            index: The record's position in the request, for messages.
            now: The clock, µs since the epoch.

        Returns:
            The feature rows, none of a view that is not online, and what is wrong with them.
        """
        problems = []
        keys = transformation.output_fields[: len(transformation.keys)]
        for row in rows:
            times = {view.timestamp_field: row.timestamp}
            texts = {view.timestamp_field: format_micros(row.timestamp)}
            problems += self._absolute_bounds(index, times, texts, now, view.name)
            problems += self._bounds(view, index, row.timestamp, now)
            for field, value in zip(keys, row.values, strict=False):
                rules = _key_rules(field.name, value, self._key_bytes)
                problems += [self._problem(index, broken, view.name) for broken in rules]
        if problems or not view.online:
            return (), problems[:MAX_MESSAGES]
        values = ((row_values(transformation, record.values, row), row) for row in rows)
        return [row_of(view, of_row, row.timestamp) for of_row, row in values], ()

    def _values(self, raw: Mapping[str, Any], most: int) -> tuple[dict[str, Any], list[str]]:
        """Canonical values in schema order, and what is wrong with them, up to a bound."""
        values: dict[str, Any] = {}
        messages: list[str] = []
        for name, accept in self._fields:
            if len(messages) == most:
                break
            value = raw.get(name)
            if value is None:
                messages += self._absent(name, raw)
                values[name] = None
                continue
            try:
                values[name] = accept(value)
            except ValueMismatch as exc:
                messages.append(f"field `{name}{exc.path}`: {exc}")
        if len(raw) > len(self._names) or messages:
            messages += self._unknown(raw, most - len(messages))
        if not messages:
            rules = (_key_rules(name, values[name], self._key_bytes) for name in self._keys)
            messages = [message for broken in rules for message in broken]
        return values, messages

    def _absent(self, name: str, raw: Mapping[str, Any]) -> Sequence[str]:
        if name not in raw:
            return [f"Required field `{name}` is missing in the record"]
        return [f"field `{name}` must not be null"] if name in self._never_null else ()

    def _unknown(self, raw: Mapping[str, Any], most: int) -> list[str]:
        unknown = (name for name in raw if name not in self._names)
        return [
            f"unknown field {show(name)}: the schema of {self._source.name} has no such field"
            for name in islice(unknown, most)
        ]

    def _absolute_bounds(
        self,
        index: int,
        times: Mapping[str, int],
        values: Mapping[str, Any],
        now: int,
        view: str | None = None,
    ) -> list[RecordProblem]:
        latest = now + self._tolerance // MICROSECOND
        problems = []
        for name, at in times.items():
            if at > latest:
                minutes = self._tolerance / timedelta(minutes=1)
                message = f"is more than {minutes:g} minutes ahead of the clock"
            elif at < 0:
                message = "is before 1970"
            else:
                continue
            problems.append(self._problem(index, f"field `{name}`: {values[name]} {message}", view))
        return problems

    def _view_bounds(self, index: int, times: Mapping[str, int], now: int) -> list[RecordProblem]:
        return [
            problem
            for view in self._views
            for problem in self._bounds(view, index, times[view.timestamp_field], now)
        ]

    def _bounds(self, view: AppliedView, index: int, at: int, now: int) -> list[RecordProblem]:
        oldest = view.oldest_seen(now) if view.online else None
        if oldest is None or not 0 <= at < oldest:
            return []
        return [self._problem(index, OUTSIDE_TTL.format(view=view.name), view.name)]

    def _problem(self, index: int, message: str, view: str | None = None) -> RecordProblem:
        return RecordProblem(self._source.name, index, message, view)


def _event_times(source: AppliedSource, is_read: bool) -> set[str]:
    """The event timestamp of a source that no view reads as it is, where it is clear which."""
    if source.batch is not None:
        return {source.batch.timestamp_field}
    if is_read:
        # A view's function says which time is the event's.
        return set()
    found = {field.name for field in source.fields if field.dtype == Timestamp}
    return found if len(found) == 1 else set()


def _key_rules(name: str, value: Any, longest: int) -> list[str]:
    if not isinstance(value, str):
        return []
    if "\x00" in value:
        return [f"join key `{name}` must not contain NUL, saw {show(value)}"]
    if len(value.encode()) > longest:
        return [f"join key `{name}` must be at most {longest} bytes, saw {show(value)}"]
    return []


def _micros(canonical: str) -> int:
    micros = parse_rfc3339(canonical)
    assert micros is not None, "canonical timestamps parse"  # noqa: S101  # `accept` made it
    return micros
