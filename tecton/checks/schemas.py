"""
The rules of columns and their types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tecton.checks.findings import Finding, Findings, expected
from tecton.definitions import StreamFeatureView, StreamSource
from tecton.names import COLUMN_NAME_RULE, RESERVED_COLUMNS, is_column_name
from tecton.resolve import row_schema, sequence
from tecton.types import (
    Array,
    Bool,
    DataType,
    Field,
    Float64,
    Int64,
    Map,
    String,
    Struct,
    Timestamp,
    show,
)

KEY_TYPES: tuple[DataType, ...] = (String, Int64)
"""Types of join keys."""

SCALARS: tuple[DataType, ...] = (Bool, Int64, Float64, String, Timestamp)
"""Types without a type inside."""


def column_name(field: str, name: object) -> Findings:
    """A name can be a column in every store."""
    if not is_column_name(name):
        yield expected(field, f"a column name ({COLUMN_NAME_RULE})", name)
    elif str(name).lower() in RESERVED_COLUMNS:
        yield Finding(field, f"`{name}` is a column of the system; choose another name")


def check_schema(source: StreamSource) -> Findings:
    """The rules of the columns of a stream source."""
    fields = sequence(source.schema)
    if not fields:
        yield expected("schema", "a list of Field (a PushConfig needs it)", source.schema)
    yield from check_fields(fields, "schema")


def check_fields(fields: Sequence[object], place: str) -> Findings:
    """The rules of columns, and of the fields of a Struct."""
    names: set[str] = set()
    for field in fields:
        if not isinstance(field, Field):
            yield expected(place, "Field(name, dtype)", field)
            continue
        here = f"{place}.{field.name}"
        yield from column_name(here, field.name)
        folded = str(field.name).lower()
        if folded in names:
            yield Finding(here, "is there twice (case does not count); rename one of the two")
        names.add(folded)
        yield from _type(field.dtype, here)


def _type(dtype: object, place: str) -> Findings:
    if isinstance(dtype, Array):
        yield from _type(dtype.element_type, place)
    elif isinstance(dtype, Map):
        if dtype.key_type != String:
            yield expected(place, "String for the keys of a Map", dtype.key_type)
        yield from _type(dtype.value_type, place)
    elif isinstance(dtype, Struct):
        if not dtype.fields:
            yield Finding(place, "a Struct without fields holds nothing; give it fields")
        yield from check_fields(dtype.fields, place)
    elif not isinstance(dtype, DataType) or dtype not in SCALARS:
        yield expected(place, "a type of `tecton.types`", dtype)


def columns_of(source: StreamSource) -> Mapping[str, DataType]:
    """The columns of a source's schema, none if the schema itself is wrong."""
    if not isinstance(source, StreamSource) or list(check_schema(source)):
        return {}
    return {field.name: field.dtype for field in source.schema or ()}


def row_columns_of(view: StreamFeatureView) -> Mapping[str, DataType]:
    """The columns of a view's rows, none if their schema is wrong."""
    if view.transformation is None:
        return columns_of(view.source)
    if not sequence(view.schema) or list(check_fields(sequence(view.schema), "schema")):
        return {}
    return {field.name: field.dtype for field in row_schema(view)}


def listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    """Names as messages list them."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def check_timestamp(
    field: str, given: object, columns: Mapping[str, DataType], schema: str
) -> Findings:
    """The rule for every argument that names the event timestamp."""
    if given is None:
        candidates = [name for name, dtype in columns.items() if dtype == Timestamp]
        if not candidates:
            yield Finding(field, f"{schema} has no Timestamp; add the column with the event's time")
        elif len(candidates) > 1:
            yield Finding(
                field,
                f"{schema} has several Timestamps ({listed(candidates)}); say which is the "
                "event's time",
            )
    elif not isinstance(given, str) or given not in columns:
        yield Finding(
            field, f"{show(given)} is not in {schema} ({listed(columns)}); add or correct it"
        )
    elif columns[given] != Timestamp:
        yield Finding(field, f"`{given}` is {columns[given]}, not Timestamp; correct one")
