"""
Which folders of a batch source can hold the rows of a period.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from tecton.applied import PartitionColumn
from tecton.locations import for_files
from tecton.periods import Period
from tecton.spark.columns import column
from tecton.timestamps import micros_of

MOST_STEPS = 200_000
"""Of a period; a longer one is read without looking at folders."""
_FORMATS = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "date": "%Y-%m-%d"}
_DIGITS = {"%Y": "[0-9]{4}", "%m": "[0-9]{2}", "%d": "[0-9]{2}", "%H": "[0-9]{2}"}
_DIRECTIVE = re.compile(r"(%[YmdH])")
_SEPARATOR = "\x1f"


def partition_names(uri: str, files: Iterable[str]) -> set[str]:
    """
    The columns that folders `column=value` below a source's folder are named by.

    Args:
        uri: The source's folder.
        files: Its files as Spark names them.
    """
    top = for_files(uri) or urlsplit(uri).path
    file = urlsplit(next(iter(files), "")).path
    # What stands above the source's folder is none of its columns; of a pattern it is not known.
    below = unquote(file).removeprefix(top.rstrip("/"))
    folders = [unquote(folder) for folder in below.split("/")[:-1]]
    return {folder.partition("=")[0] for folder in folders if "=" in folder}


def within_partitions(
    frame: DataFrame, partitions: Sequence[PartitionColumn], period: Period
) -> DataFrame:
    """
    The rows of the folders that can hold a period's.

    A folder whose name is not spelled as was said is never passed over.

    Args:
        frame: As it was read.
        partitions: Columns of it that hold a part of the event timestamp, in UTC.
        period: Which rows are wanted.
    """
    there = {field.name: field.dataType for field in frame.schema}
    known = [one for one in partitions if one.name in there]
    moments = list(_moments(period, _step(known))) if known else []
    if not known or len(moments) > MOST_STEPS:
        return frame
    texts = [_text(one, there[one.name]) for one in known]
    wanted = {_SEPARATOR.join(_spelled(one, at) for one in known) for at in moments}
    is_wanted = F.concat_ws(_SEPARATOR, *texts).isin(sorted(wanted))
    for one, text in zip(known, texts, strict=True):
        is_wanted = is_wanted | text.isNull() | ~F.rlike(text, F.lit(f"^(?:{_pattern(one)})$"))
    return frame.where(is_wanted)


def within_times(frame: DataFrame, name: str, period: Period) -> DataFrame:
    """
    Pass over rows outside of a period where files can tell so before they are read.

    Args:
        frame: As it was read.
        name: Of the event timestamp.
        period: Which rows are wanted; those without a timestamp stay.
    """
    seen = next((field.dataType for field in frame.schema if field.name == name), None)
    start, end = (micros_of(at) for at in period)
    at = column(name)
    if isinstance(seen, T.TimestampType):
        bounds = [F.timestamp_micros(F.lit(micros)) for micros in (start, end)]
    elif isinstance(seen, T.TimestampNTZType):
        bounds = [F.expr(f"TIMESTAMP_NTZ'{_naive(moment)}'") for moment in period]
    else:
        return frame
    return frame.where(at.isNull() | ((at >= bounds[0]) & (at < bounds[1])))


def _naive(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


def _step(partitions: Sequence[PartitionColumn]) -> timedelta:
    is_by_hour = any(one.part == "hour" or "%H" in (one.format or "") for one in partitions)
    return timedelta(hours=1) if is_by_hour else timedelta(days=1)


def _moments(period: Period, step: timedelta) -> Iterable[datetime]:
    """A moment in every step that the period touches."""
    at = period.start.replace(minute=0, second=0, microsecond=0)
    at = at if step < timedelta(days=1) else at.replace(hour=0)
    # One more than what counts as too many is enough.
    for _ in range(MOST_STEPS + 1):
        if at >= period.end:
            return
        yield at
        at += step


def _text(partition: PartitionColumn, seen: T.DataType) -> Column:
    text = column(partition.name).cast("string")
    if partition.format is not None or partition.part == "date":
        return text
    # `month=1` and `month=01` are one.
    return F.regexp_replace(text, "^0+(?=[0-9])", "")


def _spelled(partition: PartitionColumn, at: datetime) -> str:
    text = at.strftime(partition.format or _FORMATS[partition.part])
    is_number = partition.format is None and partition.part != "date"
    return str(int(text)) if is_number else text


def _pattern(partition: PartitionColumn) -> str:
    if partition.format is None and partition.part != "date":
        return "[0-9]+"
    pieces = _DIRECTIVE.split(partition.format or _FORMATS["date"])
    return "".join(_DIGITS.get(piece, re.escape(piece)) for piece in pieces)
