"""
The point-in-time join: for each event the newest feature row at its timestamp.

Events and feature rows are united and sorted by key and time; a running maximum by recency walks
over them (docs: one shuffle for each view, and every event once, whatever the frame's size). The
whole row is carried, never column by column, so a null does not bring an older value back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from tecton.applied import AppliedView
from tecton.spark.columns import column
from tecton.spark.window_join import add_windows

AT = "#at"
"""The events' timestamps, µs since the epoch."""


class ViewPart(NamedTuple):
    """What a read takes of one view.

    Args:
        view: The view.
        namespace: The first part of the output columns' names.
        features: The features, in the order of the output columns.
        event_keys: By join key of the view: the events' column.
    """

    view: AppliedView
    namespace: str
    features: Sequence[str]
    event_keys: Mapping[str, str]

    @property
    def columns(self) -> Sequence[str]:
        """The names of the output columns."""
        return [f"{self.namespace}__{feature}" for feature in self.features]


def join(
    events: DataFrame, parts: Sequence[tuple[ViewPart, DataFrame]], as_known: bool
) -> DataFrame:
    """
    Add the features of some views to events.

    Args:
        events: Any columns, and the timestamp as `#at`.
        parts: What is taken of each view, and its rows (`row_fields`, `_sequence`, `_tie`).
        as_known: Leave out records that were accepted only after an event's timestamp.

    Returns:
        All rows of *events* once: their columns without `#at`, then the features'.
    """
    kept = [name for name in events.columns if name != AT]
    carried = events.select(F.struct(*(column(name) for name in kept)).alias("#event"), column(AT))
    results = []
    for number, (part, rows) in enumerate(parts):
        results.append(f"#part{number}")
        carried = _add_part(carried, part, rows, as_known, results[-1])
    features = [
        column(result).getField(feature).alias(name)
        for result, (part, _) in zip(results, parts, strict=True)
        for feature, name in zip(part.features, part.columns, strict=True)
    ]
    event = column("#event")
    return carried.select(*(event.getField(name).alias(name) for name in kept), *features)


def _add_part(
    carried: DataFrame, part: ViewPart, rows: DataFrame, as_known: bool, result: str
) -> DataFrame:
    view = part.view
    event = column("#event")
    if view.aggregations:
        event_keys = {key: event.getField(name) for key, name in part.event_keys.items()}
        return add_windows(carried, view, part.features, event_keys, rows, as_known, result)
    keys = [f"#key{number}" for number, _ in enumerate(view.key_fields)]
    questions = carried.select(
        *(
            event.getField(part.event_keys[field.name]).cast(field.dtype.spark).alias(key)
            for key, field in zip(keys, view.key_fields, strict=True)
        ),
        column(AT).alias("#from"),
        F.lit(1).alias("#kind"),
        F.struct(*(column(name) for name in carried.columns)).alias("#carried"),
    )
    micros = F.unix_micros(column(view.timestamp_field))
    answers = rows.select(
        *(column(field.name).alias(key) for key, field in zip(keys, view.key_fields, strict=True)),
        (_known_from(micros) if as_known else micros).alias("#from"),
        F.lit(0).alias("#kind"),
        F.struct(micros.alias("#micros"), F.col("_sequence"), F.col("_tie")).alias("#recency"),
        F.struct(micros.alias("#micros"), *(column(name) for name in part.features)).alias("#row"),
    )
    united = answers.unionByName(questions, allowMissingColumns=True)
    # A feature row of the same time comes before the event: it is known then.
    until_now = (
        Window.partitionBy(*(column(key) for key in keys))
        .orderBy(column("#from"), column("#kind"))
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    newest = F.max_by(column("#row"), column("#recency")).over(until_now)
    answered = united.withColumn("#newest", newest).where(column("#kind") == 1)
    row = column("#newest")
    if view.ttl_micros is not None:
        age = column("#from") - row.getField("#micros")
        row = F.when(age <= view.ttl_micros, row)
    return answered.select(
        *(column("#carried").getField(name).alias(name) for name in carried.columns),
        row.alias(result),
    )


def _known_from(micros: Column) -> Column:
    """When a row could first be known: a pushed one when it was accepted, its sequence."""
    return F.greatest(micros, F.col("_sequence"))
