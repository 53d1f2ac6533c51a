"""
Records → the rows that a function returns for them, checked; in the process that calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tecton.errors import FunctionsUnavailable
from tecton.functions.loading import CannotLoad, load, what_failed, where_failed
from tecton.functions.returned import canonical, kind_of
from tecton.functions.transformation import MAX_ROWS, Failure, Outcome, Row, Transformation
from tecton.timestamps import parse_rfc3339
from tecton.types import Field, Timestamp, ValueMismatch, cut

MESSAGE_CHARACTERS = 500
"""Of what is told about one record."""
CANNOT_LOAD = "its text, which ran when it was planned, does not run here"


class WrongRow(Exception):
    """A function returned what is not a row of the schema.

    Args:
        message: What was expected and what was seen.
        outline: The same without values.
    """

    def __init__(self, message: str, outline: str | None = None) -> None:
        super().__init__(message)
        self.outline = message if outline is None else outline


class Caller:
    """Calls one transformation's function.

    Args:
        transformation: Its text is run at once.

    Raises:
        CannotLoad: It does not run here.
    """

    def __init__(self, transformation: Transformation) -> None:
        self._transformation = transformation
        self._function = load(transformation.function.name, transformation.function.source)
        self._names = frozenset(
            [transformation.timestamp, *(f.name for f in transformation.output_fields)]
        )
        self._keys = frozenset(column.name for column in transformation.keys)

    def one(self, record: Mapping[str, Any]) -> Outcome:
        """
        Call the function with one record.

        Args:
            record: Canonical values by column.
        """
        try:
            if self._transformation.function.mode == "pandas":
                return self._of_frame(record)
            returned = self._function(self.natives(record))
            return self.rows(list(_listed(returned)), is_frame=False)
        except BaseException as exc:  # noqa: BLE001  # users' code may raise, or exit
            return self.failure(exc)

    def frame(self, records: Sequence[Mapping[str, Any]]) -> Any:
        """
        Call a function of pandas with a frame of records.

        Args:
            records: Canonical values by column; the frame's index numbers them from 0.

        Returns:
            What it returned, which is a frame with the columns of the schema.

        Raises:
            WrongRow: It is none.
        """
        from tecton.functions.frames import frame_of, is_frame

        given = [self.natives(record) for record in records]
        returned = self._function(frame_of(self._transformation.input_fields, given))
        if not is_frame(returned):
            raise WrongRow(f"expected a pandas DataFrame, saw {kind_of(returned)}")
        self._check_columns(list(returned.columns))
        return returned

    def natives(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record as the function takes it: fresh, of Python's types."""
        given = {}
        for field in self._transformation.input_fields:
            value = record[field.name]
            given[field.name] = None if value is None else field.dtype.to_native(value)
        return given

    def rows(self, returned: Sequence[Any], is_frame: bool) -> list[Row]:
        """
        Check the rows of one record; of several with one key and timestamp the last stays.

        Args:
            returned: Mappings of values by column.
            is_frame: They come from a frame.

        Raises:
            WrongRow: One of them is not as the schema says, or they are too many.
        """
        if len(returned) > MAX_ROWS:
            raise WrongRow(f"expected at most {MAX_ROWS:,} rows of a record, saw {len(returned):,}")
        kept: dict[Any, Row] = {}
        keys = len(self._transformation.keys)
        for given in returned:
            row = self._row(given, is_frame)
            kept[(row.timestamp, *row.values[:keys])] = row
        return list(kept.values())

    def failure(self, exc: BaseException) -> Failure:
        """What to tell of an exception that calling the function has raised."""
        if isinstance(exc, (KeyboardInterrupt, MemoryError)):
            raise exc
        function = self._transformation.function
        if isinstance(exc, WrongRow):
            start = f"function {function.name} returned a wrong row: "
            return Failure((start + str(exc))[:MESSAGE_CHARACTERS], start + exc.outline)
        place = where_failed(exc, function.source)
        start = f"function {function.name} failed" + (f" in {place}" if place else "")
        outline = f"{start}: {type(exc).__name__}"
        return Failure(f"{start}: {what_failed(exc)}"[:MESSAGE_CHARACTERS], outline)

    def _of_frame(self, record: Mapping[str, Any]) -> list[Row]:
        from tecton.functions.frames import rows_of

        return self.rows([row for _, row in rows_of(self.frame([record]))], is_frame=True)

    def _row(self, given: Any, is_frame: bool) -> Row:
        if not isinstance(given, Mapping):
            raise WrongRow(f"expected a dict, a list of dicts or None, saw {kind_of(given)}")
        if given.keys() != self._names:
            self._check_columns(list(given))
        at = _value(self._timestamp, given, is_frame, is_key=True)
        values = [
            _value(field, given, is_frame, is_key=field.name in self._keys)
            for field in self._transformation.output_fields
        ]
        micros = parse_rfc3339(at)
        assert micros is not None, "canonical timestamps parse"  # noqa: S101  # `_value` made it
        return Row(micros, values)

    @property
    def _timestamp(self) -> Field:
        return Field(self._transformation.timestamp, Timestamp)

    def _check_columns(self, names: Sequence[Any]) -> None:
        missing = sorted(self._names.difference(names))
        if missing:
            raise WrongRow(f"column `{missing[0]}` of the schema is missing")
        unknown = [name for name in names if name not in self._names]
        if unknown:
            raise WrongRow(f"column `{cut(str(unknown[0]))}` is not in the schema")
        if len(set(names)) < len(names):
            raise WrongRow("a column is there twice")


def _listed(returned: Any) -> Iterator[Any]:
    if isinstance(returned, (list, tuple)):
        yield from returned
    elif returned is not None:
        yield returned


def _value(field: Field, given: Mapping[str, Any], is_frame: bool, is_key: bool) -> Any:
    value = given[field.name]
    try:
        found = canonical(field.dtype, value, is_frame)
    except ValueMismatch as exc:
        name = f"column `{field.name}{exc.path}`"
        outline = f"{name}: expected {exc.expected}"
        if not exc.path:
            outline += f", saw a value of type {kind_of(value)}"
        raise WrongRow(f"{name}: {exc} (of type {kind_of(value)})", outline) from None
    if found is None and is_key:
        raise WrongRow(f"column `{field.name}` must not be null")
    return found


class InProcess:
    """`FunctionRunner` in the caller's own process: for jobs and tests, without a time limit."""

    def __init__(self) -> None:
        self._callers: dict[bytes, Caller] = {}

    def run(
        self, transformation: Transformation, records: Sequence[Mapping[str, Any]], patience: float
    ) -> Sequence[Outcome]:
        """Run a function on records."""
        key = msgspec.msgpack.encode(transformation)
        caller = self._callers.get(key)
        if caller is None:
            try:
                caller = self._callers[key] = Caller(transformation)
            except CannotLoad as exc:
                raise FunctionsUnavailable(transformation.view, f"{CANNOT_LOAD}: {exc}") from exc
        return [caller.one(record) for record in records]

    def close(self) -> None:
        """Nothing was started."""
