"""
Expressions that every module here needs, independent of the session's time zone.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.names import sql_name
from tecton.types import Field

DAY_MICROS = 86_400_000_000


def column(name: str) -> Column:
    """The column of exactly this name, whatever characters are in it."""
    return F.col(sql_name(name))


def ddl(fields: Iterable[Field]) -> str:
    """The schema of columns as Spark's SQL takes it."""
    return ",".join(f"{sql_name(field.name)} {field.dtype.spark}" for field in fields)


def utc_micros(value: Column, seen: T.DataType) -> Column:
    """Microseconds since the epoch of a timestamp column; one without a zone is taken as UTC."""
    if not isinstance(seen, T.TimestampNTZType):
        return F.unix_micros(value)
    # A cast would take the session's time zone; this names the zone.
    instant = F.make_timestamp(
        F.year(value),
        F.month(value),
        F.dayofmonth(value),
        F.hour(value),
        F.minute(value),
        F.extract(F.lit("SECOND"), value),
        F.lit("UTC"),
    )
    return F.unix_micros(instant)


def utc_date(micros: Column) -> Column:
    """The UTC date of microseconds since the epoch."""
    day = micros - F.pmod(micros, F.lit(DAY_MICROS))
    return F.date_from_unix_date(F.call_function("div", day, F.lit(DAY_MICROS)).cast("int"))


def only_row(aggregate: DataFrame) -> Row:
    """The row of an aggregate without groups, which always has one."""
    [row] = aggregate.collect()
    return row
