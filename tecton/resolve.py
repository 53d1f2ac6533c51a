"""
Definitions → applied values without ids: names instead of objects, defaults filled in.

Works on definitions that `tecton.checks` has found right. The id, the version and the time of a
view's generation are the plan's to give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tecton.aggregates import applied_aggregation
from tecton.applied import (
    AppliedAggregation,
    AppliedEntity,
    AppliedFunction,
    AppliedService,
    AppliedSource,
    AppliedView,
    Column,
    Described,
    ServiceFeatures,
    WorkspaceState,
)
from tecton.batch_config import batch_rows
from tecton.definitions import (
    Definition,
    Entity,
    FeatureReference,
    FeatureService,
    StreamFeatureView,
    StreamSource,
)
from tecton.functions.capture import Captured, capture
from tecton.names import EVENT_COLUMN
from tecton.timestamps import EPOCH, from_micros, micros_of
from tecton.types import Field, Timestamp

DEFAULT_SCHEDULE = timedelta(days=1)

_Kind = TypeVar("_Kind", bound=Definition)
_Described = TypeVar("_Described", bound=Described)


@dataclass(frozen=True)
class Desired:
    """What a workspace shall hold. Ids, versions and times in it mean nothing.

    Args:
        entities: Sorted by name, as all of these.
        sources: With an empty id.
        views: With an empty id.
        services: Feature services.
        places: Where each object is defined, by kind and name, for messages.
        warnings: Of what people should think twice, a sentence each.
    """

    entities: tuple[AppliedEntity, ...] = ()
    sources: tuple[AppliedSource, ...] = ()
    views: tuple[AppliedView, ...] = ()
    services: tuple[AppliedService, ...] = ()
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: WorkspaceState) -> Desired:
        """What was applied in one version, to be applied again."""
        return cls(
            entities=_by_name(state.entities),
            sources=_by_name([_anonymous_source(source) for source in state.sources]),
            views=_by_name([_anonymous_view(view) for view in state.views]),
            services=_by_name(state.services),
        )


def resolve(definitions: Sequence[Definition], root: Path) -> Desired:
    """
    Spell out what definitions say.

    Args:
        definitions: All objects, also those that are only referenced.
        root: The feature repo, where relative paths start.
    """
    views = _of_kind(definitions, StreamFeatureView)
    sources = _of_kind(definitions, StreamSource)
    captured = {
        id(view): capture(view.transformation, root)
        for view in views
        if view.transformation is not None
    }
    processors = {
        id(source): capture(source.batch_config.post_processor, root)
        for source in sources
        if source.batch_config is not None and source.batch_config.post_processor is not None
    }
    return Desired(
        entities=_by_name([_entity(entity) for entity in _of_kind(definitions, Entity)]),
        sources=_by_name([_source(s, processors.get(id(s)), root) for s in sources]),
        views=_by_name([_view(view, captured.get(id(view))) for view in views]),
        services=_by_name([_service(s) for s in _of_kind(definitions, FeatureService)]),
        places={
            (type(definition).__name__, definition.name): place_of(definition, root)
            for definition in definitions
        },
        warnings=tuple(
            dict.fromkeys(
                w for one in (*processors.values(), *captured.values()) for w in one.warnings
            )
        ),
    )


def with_referenced(definitions: Sequence[Definition]) -> tuple[Definition, ...]:
    """Definitions and, once each, the objects they refer to; whatever else is there is skipped."""
    found: dict[int, Definition] = {}
    waiting = list(definitions)
    while waiting:
        definition = waiting.pop(0)
        if id(definition) not in found:
            found[id(definition)] = definition
            waiting.extend(_referenced(definition))
    return tuple(found.values())


def _referenced(definition: Definition) -> Iterator[Definition]:
    candidates: list[Any] = []
    if isinstance(definition, StreamFeatureView):
        candidates += [definition.source, *sequence(definition.entities)]
    if isinstance(definition, FeatureService):
        for feature in sequence(definition.features):
            candidates.append(feature.view if isinstance(feature, FeatureReference) else feature)
    for candidate in candidates:
        if isinstance(candidate, Definition):
            yield candidate


def place_of(definition: Definition, root: Path) -> str:
    """`file:line` of a definition, relative to the repo if it is in there."""
    file, _, line = definition.defined_at.rpartition(":")
    path = Path(file)
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{line}"


def only_timestamp(fields: Sequence[Field]) -> str | None:
    """The name of the schema's Timestamp if it has exactly one."""
    names = [field.name for field in fields if field.dtype == Timestamp]
    return names[0] if len(names) == 1 else None


def row_schema(view: StreamFeatureView) -> Sequence[Field]:
    """The columns of a view's rows: those that its function returns, or else its source's."""
    return (view.source.schema if view.transformation is None else view.schema) or ()


def timestamp_of(view: StreamFeatureView) -> str:
    """The column with a view's event timestamp."""
    return view.timestamp_field or only_timestamp(row_schema(view)) or ""


def join_keys_of(view: StreamFeatureView) -> tuple[str, ...]:
    """The join keys of a view, in the order of its entities."""
    return tuple(key for entity in view.entities for key in entity.join_key_names)


def value_fields(view: StreamFeatureView) -> tuple[Field, ...]:
    """The columns that are neither a join key nor the timestamp: the values of a row."""
    apart = {*join_keys_of(view), timestamp_of(view)}
    return tuple(field for field in row_schema(view) if field.name not in apart)


def aggregations_of(view: StreamFeatureView) -> tuple[AppliedAggregation, ...]:
    """The aggregations of a view, with their names, sorted by these."""
    applied = (applied_aggregation(aggregation) for aggregation in view.aggregations or ())
    return tuple(sorted(applied, key=lambda aggregation: aggregation.name))


def feature_names(view: StreamFeatureView) -> tuple[str, ...]:
    """The features of a view: its aggregations, or else the values of a row (contract §1)."""
    return tuple(feature.name for feature in aggregations_of(view) or value_fields(view))


def reference_to(feature: StreamFeatureView | FeatureReference) -> FeatureReference:
    """A feature of a service as a reference."""
    return feature if isinstance(feature, FeatureReference) else FeatureReference(feature)


def sequence(value: object) -> Sequence[Any]:
    """*value* if it is a list or tuple, else nothing."""
    return value if isinstance(value, (list, tuple)) else ()


def _of_kind(definitions: Sequence[Definition], kind: type[_Kind]) -> list[_Kind]:
    return [definition for definition in definitions if isinstance(definition, kind)]


def _by_name(values: Sequence[_Described]) -> tuple[_Described, ...]:
    return tuple(sorted(values, key=lambda value: value.name))


def _described(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "description": definition.description,
        "owner": definition.owner,
        "tags": dict(sorted((definition.tags or {}).items())),
        "prevent_destroy": definition.prevent_destroy,
    }


def _entity(entity: Entity) -> AppliedEntity:
    return AppliedEntity(**_described(entity), join_keys=entity.join_key_names)


def _source(source: StreamSource, processor: Captured | None, root: Path) -> AppliedSource:
    fields = source.schema or ()
    batch = source.batch_config
    timestamp = (batch and batch.timestamp_field) or only_timestamp(fields) or ""
    return AppliedSource(
        **_described(source),
        id="",
        columns=tuple(Column.of(field) for field in fields),
        event_key=source.stream_config.event_key_names,
        log_offline=source.stream_config.log_offline,
        batch=None if batch is None else batch_rows(batch, timestamp, processor, root),
    )


def _view(view: StreamFeatureView, captured: Captured | None) -> AppliedView:
    by_name = {field.name: field for field in row_schema(view)}
    event_columns = _event_columns(view.source) if captured is not None else ()
    event_key = tuple(column.name for column in event_columns)
    return AppliedView(
        **_described(view),
        id="",
        since_version=0,
        applied_at=EPOCH,
        source=view.source.name,
        entities=tuple(entity.name for entity in view.entities),
        join_keys=tuple(Column.of(by_name[key]) for key in join_keys_of(view)),
        timestamp_field=timestamp_of(view),
        columns=tuple(Column.of(field) for field in value_fields(view)),
        aggregations=aggregations_of(view),
        event_key=event_key or view.source.stream_config.event_key_names,
        event_columns=event_columns,
        function=None if captured is None else _function(view, captured),
        online=view.online,
        offline=view.offline,
        feature_start_time=_utc(view.feature_start_time),
        ttl=view.ttl,
        batch_schedule=view.batch_schedule or DEFAULT_SCHEDULE,
        batch_trigger=view.batch_trigger.name,
        manual_trigger_backfill_end_time=_utc(view.manual_trigger_backfill_end_time),
        max_backfill_interval=view.max_backfill_interval,
        monitor_freshness=view.monitor_freshness,
        expected_feature_freshness=view.expected_feature_freshness,
        alert_email=view.alert_email,
    )


def _function(view: StreamFeatureView, captured: Captured) -> AppliedFunction:
    return AppliedFunction(name=captured.name, mode=view.mode or "", source=captured.source)


def _event_columns(source: StreamSource) -> tuple[Column, ...]:
    """Where a view with a function keeps what its source's event key says."""
    columns = {field.name: Column.of(field) for field in source.schema or ()}
    return tuple(
        Column(EVENT_COLUMN.format(name=name), columns[name].type)
        for name in source.stream_config.event_key_names
    )


def _utc(at: datetime | None) -> datetime | None:
    """A naive time means UTC (contract §1)."""
    return None if at is None else from_micros(micros_of(at))


def _service(service: FeatureService) -> AppliedService:
    references = [reference_to(feature) for feature in service.features]
    views = [
        ServiceFeatures(
            view=reference.view.name,
            namespace=reference.namespace or reference.view.name,
            features=_taken(reference),
            join_key_map=dict(sorted((reference.join_key_map or {}).items())),
        )
        for reference in references
    ]
    return AppliedService(
        **_described(service),
        views=tuple(sorted(views, key=lambda view: view.namespace)),
        online_serving_enabled=service.online_serving_enabled,
    )


def _taken(reference: FeatureReference) -> tuple[str, ...]:
    """The features of a reference, sorted: the order in which they are served."""
    selected = reference.features
    return tuple(sorted(feature_names(reference.view) if selected is None else selected))


def _anonymous_source(source: AppliedSource) -> AppliedSource:
    return msgspec.structs.replace(source, id="")


def _anonymous_view(view: AppliedView) -> AppliedView:
    return msgspec.structs.replace(view, id="", online_life="", since_version=0, applied_at=EPOCH)
