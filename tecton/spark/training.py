"""
Training frames: events with the features that an online read would have answered (contract §5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame

from tecton.applied import WorkspaceState
from tecton.errors import InvalidEvents
from tecton.spark.columns import column
from tecton.spark.events import ROW, pandas_events, spark_events
from tecton.spark.frames import from_pandas, to_arrow, to_pandas, to_series
from tecton.spark.point_in_time import ViewPart, join
from tecton.spark.tables import StoreTables
from tecton.spark.view_rows import Span, view_rows


class TectonDataFrame:
    """The answer of an offline read: the events with one more column for each feature.

    Args:
        frame: The answer in Spark; for pandas events their position and the features only.
        events: The pandas events, if it was these.
    """

    def __init__(self, frame: DataFrame, events: pd.DataFrame | None = None) -> None:
        self._frame = frame
        self._events = events

    def to_pandas(self) -> pd.DataFrame:
        """
        The answer as a pandas frame; pandas events keep their order, index and columns.

        Returns:
            Features of Int64 as `Int64`, Bool as `boolean`, Timestamp as `datetime64[us, UTC]`,
            Array as list, Struct and Map as dict.
        """
        if self._events is None:
            return to_pandas(self._frame)
        table = to_arrow(self._frame).sort_by(ROW)
        features = {
            name: to_series(table.column(name)).array for name in table.column_names if name != ROW
        }
        added = pd.DataFrame(features, index=self._events.index)
        return pd.concat([self._events, added], axis=1)

    def to_spark(self) -> DataFrame:
        """The answer as a Spark frame."""
        if self._events is None:
            return self._frame
        spark = self._frame.sparkSession
        numbered = self._events.reset_index(drop=True)
        numbered.insert(0, ROW, range(len(numbered)))
        joined = from_pandas(spark, numbered).join(self._frame, on=ROW)
        return joined.drop(column(ROW))


def features_for_events(
    tables: StoreTables,
    state: WorkspaceState,
    parts: Sequence[ViewPart],
    events: Any,
    timestamp_key: str | None = None,
    from_source: bool | None = None,
    as_known: bool = False,
) -> TectonDataFrame:
    """
    Add features to events, as an online read at each event's timestamp would have answered.

    Args:
        tables: Where the rows are.
        state: The workspace.
        parts: What is read of which view.
        events: A pandas or Spark frame with join keys and timestamps.
        timestamp_key: The timestamps' column; may be left out if there is only one.
        from_source: Where rows are taken from; see `view_rows`.
        as_known: Leave out records that were accepted only after an event's timestamp.

    Raises:
        InvalidEvents: A column is missing, of a wrong type, or in the way.
    """
    span = Span()
    if isinstance(events, pd.DataFrame):
        asked, at = pandas_events(tables.spark, events, parts, timestamp_key)
        span = _span(at, parts)
    elif hasattr(events, "sparkSession"):
        asked = spark_events(events, parts, timestamp_key)
    else:
        raise InvalidEvents(
            f"the events must be a pandas or Spark DataFrame, they are a {type(events).__name__}"
        )
    rows = [(part, view_rows(tables, state, part.view, from_source, span)) for part in parts]
    joined = join(asked, rows, as_known)
    if not isinstance(events, pd.DataFrame):
        return TectonDataFrame(joined)
    names = [ROW, *(name for part in parts for name in part.columns)]
    return TectonDataFrame(joined.select(*(column(name) for name in names)), events)


def _span(at: pd.Series, parts: Sequence[ViewPart]) -> Span:
    """Which rows the events could see at all."""
    present = at.dropna()
    if present.empty:
        return Span()
    first = None
    oldest = [part.view.oldest_seen(int(present.min())) for part in parts]
    if None not in oldest:
        first = min(at for at in oldest if at is not None)
    return Span(first, int(present.max()))
