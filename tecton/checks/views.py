"""
The rules of stream feature views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tecton.checks.aggregations import check_aggregations
from tecton.checks.entities import is_right_entity
from tecton.checks.findings import Finding, Findings, expected, is_a, is_positive_duration, is_text
from tecton.checks.schemas import (
    KEY_TYPES,
    check_timestamp,
    columns_of,
    listed,
    row_columns_of,
)
from tecton.checks.sources import is_event_key
from tecton.checks.transformations import check_transformation
from tecton.definitions import (
    BatchTriggerType,
    Entity,
    FileConfig,
    PushConfig,
    StreamFeatureView,
    StreamSource,
)
from tecton.resolve import join_keys_of, only_timestamp, sequence, timestamp_of, value_fields
from tecton.timestamps import EPOCH, micros_of
from tecton.types import DataType, Field

_SCHEMA_OF = "the schema of StreamSource {name}"
_LATEST = datetime.max.replace(tzinfo=timezone.utc)


def _later_processing(mode: object) -> bool:
    return mode is not None and str(getattr(mode, "name", mode)).upper() != "CONTINUOUS"


def _later_interval(interval: object) -> bool:
    return interval is not None and interval != timedelta(0)


_LATER_VIEW_ARGUMENTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "aggregation_interval": (
        _later_interval,
        "windows move with every event; moving them in steps would change their values",
    ),
    "stream_processing_mode": (_later_processing, "processing is continuous"),
}


def check_view(view: StreamFeatureView, root: Path, are_functions_on: bool) -> Findings:
    """
    The rules of one view.

    Args:
        view: The view.
        root: The feature repo.
        are_functions_on: May views have functions?
    """
    for argument, (is_later, reason) in _LATER_VIEW_ARGUMENTS.items():
        if is_later(getattr(view, argument)):
            yield Finding(argument, f"is not supported yet ({reason}); leave it out")
    for field in ("online", "offline", "monitor_freshness"):
        yield from is_a(view, field, bool, "True or False")
    yield from is_text(view, "alert_email")
    for field in (
        "ttl",
        "batch_schedule",
        "max_backfill_interval",
        "expected_feature_freshness",
    ):
        yield from is_positive_duration(view, field)
    yield from _feature_start_time(view)
    yield from _trigger(view)
    yield from _view_source(view)
    yield from check_entities(view)
    yield from check_transformation(view, root, are_functions_on)
    columns = row_columns_of(view)
    if columns and columns_of(view.source) and not list(check_entities(view)):
        yield from _view_columns(view, columns)
    yield from check_aggregations(view, value_types(view))


def value_types(view: StreamFeatureView) -> Mapping[str, DataType]:
    """The columns of a view's rows; none if its schema, entities or timestamp are wrong."""
    columns = row_columns_of(view) if columns_of(view.source) else {}
    if not columns or list(check_entities(view)):
        return {}
    if list(check_timestamp("timestamp_field", view.timestamp_field, columns, "")):
        return {}
    return {field.name: field.dtype for field in value_fields(view)}


def _feature_start_time(view: StreamFeatureView) -> Findings:
    start = view.feature_start_time
    if start is None:
        if view.online or view.offline:
            yield Finding(
                "feature_start_time",
                "is required with online=True or offline=True; say from when on the batch "
                "source is read",
            )
    elif not isinstance(start, datetime):
        yield expected("feature_start_time", "a datetime", start)
    elif not micros_of(EPOCH) <= micros_of(start) <= micros_of(_LATEST):
        yield expected("feature_start_time", "a time from 1970 to 9999 (UTC)", start.isoformat())


def _trigger(view: StreamFeatureView) -> Findings:
    trigger, end = view.batch_trigger, view.manual_trigger_backfill_end_time
    if not isinstance(trigger, BatchTriggerType):
        yield expected("batch_trigger", "a BatchTriggerType", trigger)
    elif end is None:
        return
    elif not isinstance(end, datetime):
        yield expected("manual_trigger_backfill_end_time", "a datetime", end)
    elif trigger is not BatchTriggerType.MANUAL:
        yield Finding(
            "manual_trigger_backfill_end_time",
            "has a meaning with batch_trigger=BatchTriggerType.MANUAL alone; leave it out",
        )
    elif isinstance(view.feature_start_time, datetime) and micros_of(end) < micros_of(
        view.feature_start_time
    ):
        yield Finding(
            "manual_trigger_backfill_end_time",
            f"{end.isoformat()} is before feature_start_time; the backfill ends there",
        )


def _view_source(view: StreamFeatureView) -> Findings:
    source = view.source
    if not isinstance(source, StreamSource):
        yield expected("source", "a StreamSource with a PushConfig", source)
    elif not isinstance(source.stream_config, PushConfig):
        yield Finding("source", f"StreamSource {source.name} has no PushConfig; give it one")


def check_entities(view: StreamFeatureView) -> Findings:
    """A view has entities, and their join keys can be trusted."""
    entities = sequence(view.entities)
    if not entities:
        yield expected("entities", "a list of at least one Entity", view.entities)
    for entity in entities:
        if not isinstance(entity, Entity):
            yield expected("entities", "an Entity", entity)
        elif not is_right_entity(entity):
            yield Finding("entities", f"the join keys of Entity {entity.name} are wrong; see there")


def _view_columns(view: StreamFeatureView, columns: Mapping[str, DataType]) -> Findings:
    """The rules that need a right schema and right entities."""
    has_function = view.transformation is not None
    schema = "the view's schema" if has_function else _SCHEMA_OF.format(name=view.source.name)
    yield from _join_keys(view, columns, schema)
    timestamp_findings = list(
        check_timestamp("timestamp_field", view.timestamp_field, columns, schema)
    )
    yield from timestamp_findings
    if timestamp_findings:
        return
    if not has_function:
        yield from _one_timestamp(view)
        yield from _event_key_apart(view)
    if not value_fields(view):
        yield Finding(
            "schema" if has_function else "source",
            f"{schema} has no column besides join keys and timestamp, so there is no feature; "
            "add one",
        )


def _join_keys(view: StreamFeatureView, columns: Mapping[str, DataType], schema: str) -> Findings:
    keys = join_keys_of(view)
    for key in dict.fromkeys(keys):
        if keys.count(key) > 1:
            yield Finding("entities", f"two entities have the join key `{key}`; rename one")
        if key not in columns:
            yield Finding(
                "entities",
                f"join key `{key}` is not in {schema} ({listed(columns)}); add it there or "
                "correct the entity",
            )
        elif columns[key] not in KEY_TYPES:
            yield Finding(
                "entities", f"join key `{key}` is {columns[key]}; expected String or Int64"
            )
    for entity in view.entities:
        for field in sequence(entity.join_keys):
            if isinstance(field, Field) and columns.get(field.name, field.dtype) != field.dtype:
                yield Finding(
                    "entities",
                    f"join key `{field.name}` is {field.dtype} in Entity {entity.name} and "
                    f"{columns[field.name]} in {schema}; correct one",
                )


def _one_timestamp(view: StreamFeatureView) -> Findings:
    """Periods are cut by the batch source's timestamp and stored under the view's."""
    config = view.source.batch_config
    if not isinstance(config, FileConfig):
        return
    of_batch = config.timestamp_field or only_timestamp(view.source.schema or ())
    if of_batch is not None and of_batch != timestamp_of(view):
        yield Finding(
            "timestamp_field",
            f"`{timestamp_of(view)}` differs from `{of_batch}` of the batch_config of "
            f"StreamSource {view.source.name}; name the same column in both",
        )


def _event_key_apart(view: StreamFeatureView) -> Findings:
    config = view.source.stream_config
    if not isinstance(config, PushConfig) or not is_event_key(config):
        return
    for name in config.event_key_names:
        if name in join_keys_of(view) or name == timestamp_of(view):
            yield Finding(
                "source",
                f"the event_key `{name}` of StreamSource {view.source.name} is a join key or the "
                "timestamp, which tell events apart anyway; leave it out of the event_key",
            )
