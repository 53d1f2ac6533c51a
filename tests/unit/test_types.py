"""Data types: what is accepted, how it is stored and served (contract §3, §4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecton.types import (
    Array,
    Bool,
    DataType,
    Field,
    Float32,
    Float64,
    Int32,
    Int64,
    Map,
    String,
    Struct,
    Timestamp,
    ValueMismatch,
    bounded,
    from_description,
    show,
)

POINT = Struct([Field("x", Int64), Field("at", Timestamp)])


def natives(dtype: DataType) -> st.SearchStrategy[Any]:
    """Native values of a type, nulls inside included."""
    if isinstance(dtype, Array):
        return st.lists(st.none() | natives(dtype.element_type), max_size=3)
    if isinstance(dtype, Struct):
        return st.fixed_dictionaries(
            {field.name: st.none() | natives(field.dtype) for field in dtype.fields}
        )
    if isinstance(dtype, Map):
        return st.dictionaries(st.text(max_size=3), st.none() | natives(dtype.value_type))
    return SCALAR_NATIVES[dtype]


SCALAR_NATIVES: dict[DataType, st.SearchStrategy[Any]] = {
    Bool: st.booleans(),
    Int64: st.integers(-(2**63), 2**63 - 1),
    Float64: st.floats(),
    String: st.text(),
    Timestamp: st.datetimes(timezones=st.just(timezone.utc)),
}
DTYPES = [
    Bool,
    Int64,
    Float64,
    String,
    Timestamp,
    POINT,
    Array(Float64),
    Map(String, Array(Int64)),
    Struct([Field("inner", POINT), Field("m", Map(String, Timestamp))]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(st.data())
def test_stored_value_is_read_back(dtype: DataType, data: st.DataObject) -> None:
    """parse(encode(x)) = x for each type, through the JSON that is stored."""
    native = data.draw(natives(dtype))
    stored = msgspec.json.decode(msgspec.json.encode(dtype.from_native(native)))
    read = dtype.to_native(stored)
    assert repr(read) == repr(native) or read == native


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(st.data())
def test_accepted_value_is_canonical(dtype: DataType, data: st.DataObject) -> None:
    """A canonical value that a client could send is accepted as it is."""
    canonical = dtype.from_native(data.draw(natives(dtype)))
    if "NaN" not in repr(canonical) and "Infinity" not in repr(canonical):
        assert dtype.accept(canonical) == canonical


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_description_names_the_type(dtype: DataType) -> None:
    """The registry gives back the type that it was told."""
    assert from_description(msgspec.json.decode(msgspec.json.encode(dtype.describe()))) == dtype


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (Int64, 2**63),
        (Int64, -(2**63) - 1),
        (Int64, "1"),
        (Int64, 1.0),
        (Int64, True),
        (Float64, "1"),
        (Float64, True),
        pytest.param(Float64, 10**400, id="10^400"),
        (Bool, 0),
        (Bool, "false"),
        (String, 1),
        (String, "é" * 32_769),
        (Timestamp, 1_672_619_106),
        (Timestamp, "2023-01-02"),
        (Array(Int64), {"0": 1}),
        (Array(Int64), [1, "2"]),
        (POINT, {"x": 1}),
        (POINT, {"x": 1, "at": None, "z": 2}),
        (POINT, [1, None]),
        (Map(String, Int64), {"a": 1.5}),
    ],
)
def test_wrong_value_is_refused(dtype: DataType, value: Any) -> None:
    """Nothing is converted that was not said to be of the type."""
    with pytest.raises(ValueMismatch):
        dtype.accept(value)


def test_mismatch_inside_says_where() -> None:
    """The path leads to the wrong part of a nested value."""
    with pytest.raises(ValueMismatch, match="expected Int64") as info:
        Map(String, Array(POINT)).accept({"k": [None, {"x": "1", "at": None}]})
    assert info.value.path == '["k"][1].x'
    assert info.value.seen == '"1"'


def test_small_types_are_their_64_bit_kin() -> None:
    """Int32 and Float32 are accepted and stored as Int64 and Float64 (contract §1)."""
    assert Int32 == Int64
    assert Float32 == Float64


def test_extremes_of_int64_are_accepted() -> None:
    """Int64 is an integer in ±2^63."""
    assert Int64.accept(2**63 - 1) == 2**63 - 1
    assert Int64.accept(-(2**63)) == -(2**63)


def test_string_limit_counts_bytes() -> None:
    """A string has at most 64 KiB."""
    assert String.accept("é" * 32_768) == "é" * 32_768


@pytest.mark.parametrize(
    ("dtype", "canonical", "served"),
    [
        (Int64, 7, "7"),
        (Float64, 1.5, 1.5),
        (Float64, "NaN", "NaN"),
        (Bool, True, True),
        (Array(Int64), [1, None], ["1", None]),
        (POINT, {"x": 1, "at": None}, ["1", None]),
        (Map(String, Int64), {"a": 2}, {"a": "2"}),
        (Timestamp, "2023-01-02T00:25:06.000000Z", "2023-01-02T00:25:06.000000Z"),
    ],
)
def test_served_form(dtype: DataType, canonical: Any, served: Any) -> None:
    """Int64 as a string inside everything, Struct as an array in field order (contract §4)."""
    assert dtype.served(canonical) == served


def test_equal_maps_have_equal_encodings() -> None:
    """The order of a map's keys is that of their bytes."""
    one = Map(String, Int64).accept({"b": 1, "a": 2, "é": 3})
    other = Map(String, Int64).accept({"é": 3, "a": 2, "b": 1})
    assert list(one) == list(other) == ["a", "b", "é"]


def test_non_finite_floats_are_strings() -> None:
    """JSON has no NaN, so it is stored by name."""
    assert [Float64.from_native(x) for x in (math.nan, math.inf, -math.inf)] == [
        "NaN",
        "Infinity",
        "-Infinity",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        ("a", '"a"'),
        ([1, 2], "an array of 2"),
        ({"a": 1}, "an object of 1"),
        pytest.param(10**5000, "an integer of over 100 digits", id="5000 digits"),
        ("a\nb", '"a\\nb"'),
    ],
)
def test_values_in_messages(value: Any, shown: str) -> None:
    """Messages show what was seen, in one printable line."""
    assert show(value) == shown


@given(st.text() | st.integers() | st.floats() | st.binary() | st.datetimes())
def test_shown_value_is_short_and_printable(value: Any) -> None:
    """Cut to 100 characters, whatever was sent."""
    assert len(show(value)) <= 100
    assert show(value).isprintable()


def test_arrow_types_hold_native_values() -> None:
    """Each type's Arrow type takes its native values."""
    import pyarrow as pa

    at = datetime(2023, 1, 2, tzinfo=timezone.utc)
    value = {"inner": {"x": 1, "at": at}, "m": [("k", at)]}
    array = pa.array([value], DTYPES[-1].arrow())
    assert array.to_pylist() == [value]


def test_limit_of_strings_is_no_part_of_the_type() -> None:
    """A type with another limit is the same type, all the way down."""
    nested = Struct([Field("a", Array(Map(String, String)))])
    small = bounded(nested, 3)
    assert small == nested
    assert small.accept({"a": [{"abc": "déf"[:2]}]})
    with pytest.raises(ValueMismatch, match="String of at most 3 bytes"):
        small.accept({"a": [{"abc": "déf"}]})
    assert bounded(small, None).accept({"a": [{"k": "x" * 100_000}]})


@pytest.mark.parametrize("wrap", [lambda t: t, Array, lambda t: Map(String, t)])
def test_message_of_a_large_type_is_short(wrap: Callable[[DataType], DataType]) -> None:
    """A small request must not get a huge answer, whatever the schema is; both ends are there."""
    large = wrap(Struct([Field(f"field_number_{n}", Int64) for n in range(1000)]))
    with pytest.raises(ValueMismatch) as error:
        large.accept(1)
    assert len(str(error.value)) < 300
    assert str(error.value).startswith(f"expected {str(large)[:80]}")
    assert str(error.value).endswith("saw 1")


def test_name_of_a_large_type_is_whole_elsewhere() -> None:
    """A plan shows all of it."""
    inner = Struct([Field("a", Int64), Field("b", Array(Map(String, Bool)))])
    assert str(inner) == repr(inner) == "Struct(a: Int64, b: Array(Map(String, Bool)))"
