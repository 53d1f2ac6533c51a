"""
Columns as they are read → columns of declared types, without loss or not at all (contract §1).

Timestamps of any unit are cut to microseconds, those without a zone are UTC. A text that is no
value of its type ends the job with the column, the text and the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.batch_text import (
    BOOLEAN,
    EPOCH_FORMATS,
    EXPECTED,
    INTEGER,
    NOT_FINITE,
    NUMBER,
    TIME,
    ZONE,
    expected_time,
    has_hours,
    is_epoch,
    names_zone,
    spark_pattern,
)
from tecton.spark.columns import DAY_MICROS, utc_micros
from tecton.types import (
    INT64_MAX,
    INT64_MIN,
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
)

_WIDER = {
    Bool: (T.BooleanType,),
    Int64: (T.ByteType, T.ShortType, T.IntegerType, T.LongType),
    Float64: (T.ByteType, T.ShortType, T.IntegerType, T.FloatType, T.DoubleType),
    String: (T.StringType,),
}
"""Which Spark types hold no value that the declared type does not."""

_SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class Spelling:
    """How the values of a column are spelled where they are read.

    Args:
        timestamp_format: How times are spelled that are none where they are read.
        is_nanos: Whole numbers that shall be times are nanoseconds, by the files' own types.
        is_text: Every value is a text: a cell of csv, a folder's name.
        place: What is read, for messages.
        name: The column's, for messages.
        file: Where a row comes from, if that is known.
    """

    timestamp_format: str | None = None
    is_nanos: bool = False
    is_text: bool = False
    place: str = ""
    name: str = ""
    file: Column | None = None


def faults(schema: T.StructType, field: Field, spelling: Spelling) -> Iterator[str]:
    """
    What keeps a column from being read as it is declared.

    Args:
        schema: What there is.
        field: The column.
        spelling: How its values are spelled.
    """
    found = [seen for seen in schema if seen.name == field.name]
    if not found:
        yield f"there is no column `{field.name}`, which must be {field.dtype}"
    elif len(found) > 1:
        yield f"there are {len(found)} columns `{field.name}`, there must be one"
    elif not _converts(found[0].dataType, field.dtype, spelling):
        seen_type = found[0].dataType.simpleString()
        yield f"column `{field.name}` is {seen_type}, which does not convert to {field.dtype}"


def _converts(seen: T.DataType, dtype: DataType, spelling: Spelling) -> bool:
    inside = replace(spelling, is_text=False)
    if isinstance(dtype, Array):
        return isinstance(seen, T.ArrayType) and _converts(
            seen.elementType, dtype.element_type, inside
        )
    if isinstance(dtype, Struct):
        return isinstance(seen, T.StructType) and not any(
            fault for field in dtype.fields for fault in faults(seen, field, inside)
        )
    if isinstance(dtype, Map):
        return (
            isinstance(seen, T.MapType)
            and _converts(seen.keyType, dtype.key_type, inside)
            and _converts(seen.valueType, dtype.value_type, inside)
        )
    if spelling.is_text and isinstance(seen, T.StringType):
        return True
    if dtype == Timestamp:
        return _is_time(seen, spelling)
    return isinstance(seen, _WIDER[dtype])


def _is_time(seen: T.DataType, spelling: Spelling) -> bool:
    if isinstance(seen, (T.TimestampType, T.TimestampNTZType, T.StringType)):
        return True
    if isinstance(seen, T.DateType):
        given = spelling.timestamp_format
        return given is not None and not is_epoch(given) and not has_hours(given)
    if isinstance(seen, T.LongType) and spelling.is_nanos:
        return True
    return isinstance(seen, _WIDER[Int64]) and is_epoch(spelling.timestamp_format)


def converted(value: Column, seen: T.DataType, dtype: DataType, spelling: Spelling) -> Column:
    """
    A column as it is declared; it has no `faults`.

    Args:
        value: What is read.
        seen: Its type.
        dtype: What it shall be.
        spelling: How it is spelled.
    """
    if isinstance(seen, T.ArrayType) and isinstance(dtype, Array):
        element_type, inner = seen.elementType, dtype.element_type
        return F.transform(value, lambda item: converted(item, element_type, inner, spelling))
    if isinstance(seen, T.MapType) and isinstance(dtype, Map):
        value_type, inner = seen.valueType, dtype.value_type
        return F.transform_values(
            value, lambda _, item: converted(item, value_type, inner, spelling)
        )
    if isinstance(seen, T.StructType) and isinstance(dtype, Struct):
        types = {field.name: field.dataType for field in seen}
        fields = [
            converted(value.getField(f.name), types[f.name], f.dtype, spelling).alias(f.name)
            for f in dtype.fields
        ]
        return F.when(value.isNotNull(), F.struct(*fields))
    if isinstance(seen, T.StringType) and dtype != String:
        return _parsed(value, dtype, spelling)
    return _time(value, seen, spelling) if dtype == Timestamp else value.cast(dtype.spark)


def _time(value: Column, seen: T.DataType, spelling: Spelling) -> Column:
    if isinstance(seen, T.DateType):
        return F.timestamp_micros(F.unix_date(value).cast("bigint") * F.lit(DAY_MICROS))
    if isinstance(seen, (T.TimestampType, T.TimestampNTZType)):
        return F.timestamp_micros(utc_micros(value, seen))
    nanos = 1 if spelling.is_nanos else EPOCH_FORMATS[spelling.timestamp_format or ""]
    return _since_1970(value.cast("bigint"), nanos)


def _since_1970(number: Column, nanos: int) -> Column:
    """The time of a whole number of units since 1970; null beyond what a timestamp holds."""
    if nanos < 1_000:
        # Not `/`, which is of doubles; floored, so that times before 1970 are cut as others are.
        whole = number - F.pmod(number, F.lit(1_000))
        return F.timestamp_micros(F.call_function("div", whole, F.lit(1_000)))
    factor = nanos // 1_000
    bound = INT64_MAX // factor
    within = number.between(F.lit(-bound), F.lit(bound))
    return F.timestamp_micros(F.when(within, number) * F.lit(factor))


def _parsed(value: Column, dtype: DataType, spelling: Spelling) -> Column:
    """The value that a text spells; a text that spells none ends the job."""
    if dtype == Timestamp:
        parsed, expected = _time_of(value, spelling), expected_time(spelling.timestamp_format)
    else:
        parsed, expected = _PARSERS[dtype](value), EXPECTED[dtype]
    # An empty cell is no value.
    is_absent = value.isNull() | (value == "") if spelling.is_text else value.isNull()
    fault = F.raise_error(F.concat(*_fault(value, expected, spelling))).cast(dtype.spark)
    return F.coalesce(parsed, F.when(~is_absent, fault))


def _fault(value: Column, expected: str, spelling: Spelling) -> list[Column]:
    shown = F.substring(F.regexp_replace(value, r"[\p{Cntrl}]", " "), 1, _SHOWN_CHARACTERS)
    # Under this name the reason is found among all that Spark says of a failure.
    head = f"tecton.errors.SourceError: {spelling.place}: column `{spelling.name}`: expected "
    parts = [F.lit(f'{head}{expected}, saw "'), shown, F.lit('"')]
    return parts if spelling.file is None else [*parts, F.lit(", in "), spelling.file]


def _bool_of(value: Column) -> Column:
    return F.when(_matches(value, BOOLEAN), F.lower(value) == "true")


def _int_of(value: Column) -> Column:
    number = F.when(_matches(value, INTEGER), value).cast("decimal(38,0)")
    return F.when(number.between(F.lit(INT64_MIN), F.lit(INT64_MAX)), number).cast("bigint")


def _float_of(value: Column) -> Column:
    number = F.when(_matches(value, NUMBER), value).cast("double")
    # A number beyond the greatest is none that the text spells.
    finite = F.when(F.abs(number) != float("inf"), number)
    return F.coalesce(finite, F.when(_matches(value, NOT_FINITE), value).cast("double"))


def _time_of(value: Column, spelling: Spelling) -> Column:
    given = spelling.timestamp_format
    # A cast wants seconds before a zone, and takes what names no zone for the session's.
    timed = F.regexp_replace(value, r"^(.{16})(?!:)", "$1:00")
    zoned = F.when(_matches(timed, f".{{19,}}{ZONE}"), timed).otherwise(F.concat(timed, F.lit("Z")))
    plain = F.try_to_timestamp(F.when(_matches(value, TIME), zoned))
    if given is None:
        return plain
    if is_epoch(given):
        return F.coalesce(_since_1970(_int_of(value), EPOCH_FORMATS[given]), plain)
    pattern = spark_pattern(given)
    if names_zone(given):
        by_format = F.try_to_timestamp(value, F.lit(pattern))
    else:
        text = F.concat(value, F.lit(" Z"))
        by_format = F.try_to_timestamp(text, F.lit(f"{pattern} XXX"))
    return F.coalesce(by_format, plain)


def _matches(value: Column, pattern: str) -> Column:
    return F.rlike(value, F.lit(rf"^(?:{pattern})\z"))


_PARSERS = {Bool: _bool_of, Int64: _int_of, Float64: _float_of}
