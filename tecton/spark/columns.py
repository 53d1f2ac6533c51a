"""
Column expressions that every module here needs, independent of the session's time zone.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

DAY_MICROS = 86_400_000_000


def column(name: str) -> Column:
    """The column of exactly this name, whatever characters are in it."""
    escaped = name.replace("`", "``")
    return F.col(f"`{escaped}`")


def utc_micros(value: Column, seen: T.DataType) -> Column:
    """Microseconds since the epoch of a timestamp column; one without a zone is taken as UTC."""
    if not isinstance(seen, T.TimestampNTZType):
        return F.unix_micros(value)
    # A cast would take the session's time zone; this names the zone.
    parts = (F.year, F.month, F.dayofmonth, F.hour, F.minute)
    second = F.extract(F.lit("SECOND"), value)
    return F.unix_micros(F.make_timestamp(*(part(value) for part in parts), second, F.lit("UTC")))


def utc_date(micros: Column) -> Column:
    """The UTC date of microseconds since the epoch."""
    day = micros - F.pmod(micros, F.lit(DAY_MICROS))
    return F.date_from_unix_date(F.call_function("div", day, F.lit(DAY_MICROS)).cast("int"))
