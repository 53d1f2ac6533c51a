"""
What is applied in a workspace: definitions resolved, checked and given ids.

Everything that runs (service, jobs, notebooks) works from these values, never from a feature
repo. They are frozen, and their JSON is what the registry stores.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec

from tecton.names import key_of, path_of
from tecton.timestamps import MICROSECOND, micros_of
from tecton.types import Array, DataType, Field, Float64, Int64, from_description

FORMAT = 1
"""Version of the store's documents; a newer one is refused."""


def new_id() -> str:
    """A random id for one life of a workspace, source or view: 16 hexadecimal digits."""
    return secrets.token_hex(8)


class Column(msgspec.Struct, frozen=True):
    """A column of a schema; `type` is `DataType.describe()`."""

    name: str
    type: dict[str, Any]

    @property
    def dtype(self) -> DataType:
        """The column's data type."""
        return from_description(self.type)

    @classmethod
    def of(cls, field: Field) -> Column:
        """The column that a definition's `Field` declares."""
        return cls(field.name, field.dtype.describe())


class Described(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people read about an object; changing it changes nothing else."""

    name: str
    description: str | None = None
    owner: str | None = None
    tags: dict[str, str] = {}
    prevent_destroy: bool = False


class AppliedEntity(Described, frozen=True, kw_only=True, omit_defaults=True):
    """An entity and the columns that identify one."""

    join_keys: tuple[str, ...]


class AppliedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A function of a feature repo: text that stands alone, and the name of the function in it.

    `mode` is what goes in: "python" (a dict), "pandas" (a frame) or, for a post-processor,
    "pyspark" (a Spark DataFrame).
    """

    name: str
    mode: str
    source: str


class PartitionColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A folder level that holds a part of the event timestamp: "year" … "hour", or "date"."""

    name: str
    part: str
    format: str | None = None


class BatchRows(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where and how the rows of a batch source are read.

    `uri` and `schema_uri` are absolute: plan resolves relative ones against the feature repo's
    root. `schema_override` is the JSON of a Spark schema.
    """

    uri: str
    file_format: str
    timestamp_field: str
    timestamp_format: str | None = None
    post_processor: AppliedFunction | None = None
    schema_uri: str | None = None
    schema_override: str | None = None
    partitions: tuple[PartitionColumn, ...] = ()
    data_delay: timedelta = timedelta(0)


class AppliedSource(Described, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """A stream source; `id` is new when a deleted one is created again."""

    id: str
    columns: tuple[Column, ...]
    event_key: tuple[str, ...] = ()
    log_offline: bool = False
    batch: BatchRows | None = None

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The record's schema, in the order of its definition."""
        return tuple(Field(column.name, column.dtype) for column in self.columns)


class AppliedAggregation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A feature of an aggregating view: `function` over `time_window` of `column`.

    `name` is the feature's. The other fields are those of
    `aggregation_functions.AggregationFunction`.
    """

    name: str
    column: str
    function: str
    time_window: timedelta
    n: int | None = None
    precision: int | None = None
    percentile: float | None = None

    @property
    def window_micros(self) -> int:
        """The window in µs: at time t it covers t − window < timestamp ≤ t."""
        return self.time_window // MICROSECOND

    def dtype(self, column: DataType) -> DataType:
        """The feature's type, for the type of its column."""
        if self.function in ("count", "approx_count_distinct"):
            return Int64
        if self.function in _FLOAT_FUNCTIONS:
            return Float64
        return column if self.n is None else Array(column)


_FLOAT_FUNCTIONS = frozenset(
    {"mean", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "approx_percentile"}
)


class AppliedView(Described, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """A stream feature view.

    `id` is its generation: rows of one generation are never mixed with those of another. What the
    online store has of it goes by `online_id`: the same, unless the one was filled anew without
    the other (`online_life`). `since_version` is the registry version that gave it the newer of
    the two. `columns` are the values
    of a row: the source's columns, or those that the `function` returns, without join keys and
    timestamp, in schema order. They are the features too, unless there are `aggregations` of them,
    sorted by name. `event_key` names columns of a row; with a function these are the
    `event_columns`, which hold the source record's values and are no features.
    """

    id: str
    online_life: str = ""
    since_version: int
    applied_at: datetime
    source: str
    entities: tuple[str, ...]
    join_keys: tuple[Column, ...]
    timestamp_field: str
    columns: tuple[Column, ...]
    aggregations: tuple[AppliedAggregation, ...] = ()
    event_key: tuple[str, ...] = ()
    event_columns: tuple[Column, ...] = ()
    function: AppliedFunction | None = None
    online: bool = False
    offline: bool = False
    feature_start_time: datetime | None = None
    ttl: timedelta | None = None
    batch_schedule: timedelta = timedelta(days=1)
    batch_trigger: str = "SCHEDULED"
    manual_trigger_backfill_end_time: datetime | None = None
    max_backfill_interval: timedelta | None = None
    monitor_freshness: bool = False
    expected_feature_freshness: timedelta | None = None
    alert_email: str | None = None

    @property
    def online_id(self) -> str:
        """The id of its rows and markers in the online store."""
        return self.online_life or self.id

    @cached_property
    def key_fields(self) -> tuple[Field, ...]:
        """The join keys, in the order of the entities."""
        return tuple(Field(column.name, column.dtype) for column in self.join_keys)

    @cached_property
    def value_fields(self) -> tuple[Field, ...]:
        """The columns of a row, in schema order."""
        return tuple(Field(column.name, column.dtype) for column in self.columns)

    @cached_property
    def event_fields(self) -> tuple[Field, ...]:
        """The columns of a row beside key, timestamp and values, which tell events apart."""
        return tuple(Field(column.name, column.dtype) for column in self.event_columns)

    @cached_property
    def row_fields(self) -> tuple[Field, ...]:
        """All columns of a row but its timestamp."""
        return (*self.key_fields, *self.value_fields, *self.event_fields)

    @cached_property
    def features(self) -> tuple[Field, ...]:
        """The features, sorted by name: the order in which they are served (contract §4)."""
        fields = self.value_fields
        if self.aggregations:
            types = {field.name: field.dtype for field in fields}
            fields = tuple(Field(a.name, a.dtype(types[a.column])) for a in self.aggregations)
        return tuple(sorted(fields, key=lambda field: field.name))

    @cached_property
    def aggregated_fields(self) -> tuple[Field, ...]:
        """The columns that aggregations read, in schema order."""
        read = {aggregation.column for aggregation in self.aggregations}
        return tuple(field for field in self.value_fields if field.name in read)

    @cached_property
    def ttl_micros(self) -> int | None:
        """The ttl in microseconds."""
        return None if self.ttl is None else self.ttl // MICROSECOND

    @cached_property
    def window_micros(self) -> int | None:
        """The longest window in microseconds; None without aggregations."""
        return max((a.window_micros for a in self.aggregations), default=None)

    @cached_property
    def reach_micros(self) -> int | None:
        """How far back a read sees: the ttl or the longest window; None: to the beginning."""
        return self.window_micros if self.aggregations else self.ttl_micros

    def oldest_seen(self, now: int) -> int | None:
        """The oldest event timestamp that a read at *now* sees; None: any. Both in µs."""
        if self.reach_micros is None:
            return None
        # A ttl includes its old end, a window does not (contract §1, values).
        return now - self.reach_micros + bool(self.aggregations)

    @cached_property
    def start_micros(self) -> int:
        """`feature_start_time` in microseconds since the epoch; 0 without one."""
        return 0 if self.feature_start_time is None else micros_of(self.feature_start_time)


class ServiceFeatures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A view as a feature service takes it; `join_key_map` is `{view_key: service_key}`."""

    view: str
    namespace: str
    features: tuple[str, ...]
    join_key_map: dict[str, str] = {}

    def service_key(self, view_key: str) -> str:
        """The name under which a request gives this view's join key."""
        return self.join_key_map.get(view_key, view_key)


class AppliedService(Described, frozen=True, kw_only=True, omit_defaults=True):
    """A feature service; `views` are sorted by namespace, the order in which they are served."""

    views: tuple[ServiceFeatures, ...]
    online_serving_enabled: bool = True


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """What a view was before it was filled anew, and its source as it was then.

    It is served until the view itself is loaded (docs/decisions/0038).
    """

    view: AppliedView
    source: AppliedSource


class WorkspaceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """All that is applied in one workspace, at one version.

    Versions of a name count on over deletion; `id` is new for each life. A deleted workspace's
    last version says so. `replaced` are former generations of views, the newest first.
    """

    format: int = FORMAT
    name: str
    id: str
    live: bool
    version: int
    deleted: bool = False
    applied_at: datetime
    applied_by: str = ""
    comment: str = ""
    entities: tuple[AppliedEntity, ...] = ()
    sources: tuple[AppliedSource, ...] = ()
    views: tuple[AppliedView, ...] = ()
    services: tuple[AppliedService, ...] = ()
    replaced: tuple[Replaced, ...] = ()

    @property
    def folder(self) -> str:
        """The workspace's folder under `push/` and `offline/`, never shared by two lives."""
        return f"{self.name}.{self.id}"

    @cached_property
    def source_by_name(self) -> Mapping[str, AppliedSource]:
        """The stream sources."""
        return {source.name: source for source in self.sources}

    @cached_property
    def view_by_name(self) -> Mapping[str, AppliedView]:
        """The feature views."""
        return {view.name: view for view in self.views}

    @cached_property
    def service_by_name(self) -> Mapping[str, AppliedService]:
        """The feature services."""
        return {service.name: service for service in self.services}

    @cached_property
    def before(self) -> Sequence[WorkspaceState]:
        """For each replaced generation the workspace with nothing else in it."""
        return tuple(
            msgspec.structs.replace(
                self, sources=(one.source,), views=(one.view,), services=(), replaced=()
            )
            for one in self.replaced
        )

    def replaced_by(self, view: AppliedView) -> Iterator[AppliedView]:
        """The former generations of a view, the newest first."""
        return (one.view for one in self.replaced if one.view.name == view.name)

    @cached_property
    def views_by_source(self) -> Mapping[str, Sequence[AppliedView]]:
        """The views that subscribe to each source, sorted by name."""
        subscribed: dict[str, list[AppliedView]] = {source.name: [] for source in self.sources}
        for view in sorted(self.views, key=lambda view: view.name):
            subscribed[view.source].append(view)
        return subscribed

    def objects(self) -> Iterator[tuple[str, Described]]:
        """Every object with the name of its kind, in the order in which plans list them."""
        for entity in self.entities:
            yield "Entity", entity
        for source in self.sources:
            yield "StreamSource", source
        for view in self.views:
            yield "StreamFeatureView", view
        for service in self.services:
            yield "FeatureService", service


def offline_path(state: WorkspaceState, view: AppliedView) -> str:
    """The offline table of a view, relative to the store."""
    return path_of("offline", state.folder, view.name, view.id)


def push_path(state: WorkspaceState, writer: int | None = None) -> str:
    """The push table of one writer, or the folder of all, relative to the store."""
    folder = ("push", state.folder)
    return path_of(*folder) if writer is None else path_of(*folder, writer)


def push_log_name(state: WorkspaceState, writer: int | str) -> str:
    """What a writer's push table is called among all, in the online store for instance."""
    return key_of(state.id, str(writer))


def workspace_of_log(name: str) -> str:
    """The id of the workspace whose push table is called so."""
    return name.partition(":")[0]
