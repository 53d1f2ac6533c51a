"""
What a feature repo is made of: inert values that say what shall be, without doing anything.

Constructors accept any value; `tecton plan` checks all of them together and reports every
problem with its file (contract §1). Arguments of version 0.8 that only place work are taken
with one warning.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from tecton.types import DataType, Field

PLACEMENT_ARGUMENTS = frozenset(
    {
        "batch_cluster_config",
        "batch_compute",
        "batch_materialization",
        "monitoring",
        "offline_config",
        "offline_store",
        "online_config",
        "online_store",
        "options",
        "output_stream",
        "stream_cluster_config",
        "stream_compute",
        "tecton_materialization_runtime",
    }
)
"""Arguments of 0.8 that say where work runs, not what comes out."""

_Definition = TypeVar("_Definition", bound="Definition")


class BatchTriggerType(Enum):
    """Who starts the jobs of a view."""

    SCHEDULED = "SCHEDULED"
    MANUAL = "MANUAL"
    NO_BATCH_MATERIALIZATION = "NO_BATCH_MATERIALIZATION"


class StreamProcessingMode(Enum):
    """When aggregates move; only continuous processing exists here."""

    CONTINUOUS = "CONTINUOUS"
    TIME_INTERVAL = "TIME_INTERVAL"


@dataclass(frozen=True, kw_only=True, eq=False)
class Definition:
    """What every named object of a feature repo has.

    Args:
        name: Unique among the objects of its kind in a workspace.
        description: For people.
        owner: For people; usually an address.
        tags: Free key-value pairs.
        prevent_destroy: Refuse plans that delete or recreate this object.
    """

    name: str
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None
    prevent_destroy: bool = False

    defined_at: str = dataclasses.field(default="", init=False, repr=False)
    """`file:line` of the constructor call, for messages."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "defined_at", _call_site())


def _call_site() -> str:
    """File and line of the nearest caller outside this module and generated code."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in (__file__, "<string>"):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename)}:{frame.f_lineno}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Entity(Definition):
    """What features are about: a user, an aircraft.

    Args:
        join_keys: Column name or names that identify one; default: the entity's name.
    """

    join_keys: str | Sequence[str] | Sequence[Field] | None = None

    @property
    def join_key_names(self) -> tuple[str, ...]:
        """The names of the join keys, in order."""
        keys = self.join_keys
        if keys is None:
            return (self.name,)
        if isinstance(keys, (str, Field)):
            keys = (keys,)
        return tuple(key.name if isinstance(key, Field) else key for key in keys)


@dataclass(frozen=True)
class DatetimePartitionColumn:
    """A folder level `column=value` whose value is a part of the event timestamp, in UTC.

    Runs then read only the folders of their period.

    Args:
        column_name: The column that the folders are named by.
        datepart: "year", "month", "day", "hour" or "date".
        zero_padded: Accepted; numbers are read with and without leading zeros.
        format_string: How the folders spell the part, as `%Y-%m` of `strftime`.
    """

    column_name: str
    datepart: str
    zero_padded: bool = False
    format_string: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileConfig:
    """Where the rows of a batch source are.

    Args:
        uri: A file or folder; a relative path starts at the feature repo's root.
        file_format: "parquet", "csv", "json" or "delta".
        timestamp_field: The column with the event timestamp; may be left out if the schema has
            one Timestamp.
        timestamp_format: How times are spelled where they are texts, in Spark's pattern letters,
            or `epoch_seconds`, `epoch_millis`, `epoch_micros`, `epoch_nanos`. What does not fit it
            is read as RFC 3339.
        post_processor: A function of the Spark DataFrame that was read, which returns another.
        schema_uri: A file or folder below `uri` whose schema is that of all.
        schema_override: A `pyspark.sql.types.StructType` to read with.
        datetime_partition_columns: Which folder levels tell the time of the rows in them.
        data_delay: How long after a period's end its rows are complete.
    """

    uri: str
    file_format: str
    timestamp_field: str | None = None
    timestamp_format: str | None = None
    post_processor: Callable[..., Any] | None = None
    schema_uri: str | None = None
    schema_override: Any = None
    datetime_partition_columns: Sequence[DatetimePartitionColumn] | None = None
    data_delay: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class PushConfig:
    """Records come through the Stream Ingest API.

    Args:
        log_offline: Keep pushed records for ever instead of for the longest ttl.
        event_key: Columns that, with join keys and timestamp, tell events apart.
    """

    log_offline: bool = False
    event_key: str | Sequence[str] = ()

    @property
    def event_key_names(self) -> tuple[str, ...]:
        """The event key's columns, in order."""
        return (self.event_key,) if isinstance(self.event_key, str) else tuple(self.event_key)


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSource(Definition):
    """Rows at rest."""

    batch_config: FileConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamSource(Definition):
    """Records as they happen, and where their history is.

    Args:
        schema: Columns of a pushed record, all of them.
        stream_config: A `PushConfig`.
        batch_config: The history: at least the columns of `schema`.
        options: Accepted and ignored, with a warning.
    """

    schema: Sequence[Field] | None = None
    stream_config: PushConfig
    batch_config: FileConfig | None = None
    options: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.options:
            _warn_of_placement("StreamSource", self.name, ["options"])


@dataclass(frozen=True)
class Aggregation:
    """A function over a time window of one column.

    Args:
        column: The column that is aggregated.
        function: Its name, or a value of `tecton.aggregation_functions`.
        time_window: How far back, exclusive at the old end; 1 minute to 365 days.
        name: Of the feature; default `{column}_{function}_{window}_continuous`.
    """

    column: str
    function: Any
    time_window: timedelta
    name: str | None = None


class _Selectable:
    """The ways in which a feature service can take a view."""

    def __getitem__(self, features: Sequence[str]) -> FeatureReference:
        return self._reference(features=tuple(features))

    def with_name(self, namespace: str) -> FeatureReference:
        """The view under another name in the service's answers."""
        return self._reference(namespace=namespace)

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> FeatureReference:
        """The view with join keys renamed, `{view_key: service_key}`."""
        return self._reference(join_key_map=dict(join_key_map))

    def _reference(self, **changes: Any) -> FeatureReference:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class FeatureReference(_Selectable):
    """A feature view as a feature service takes it.

    Args:
        view: The view.
        namespace: Its name in the service; default: the view's name.
        features: The features that are taken; None: all.
        join_key_map: `{view_key: service_key}` for the renamed ones.
    """

    view: StreamFeatureView
    namespace: str | None = None
    features: tuple[str, ...] | None = None
    join_key_map: Mapping[str, str] | None = None

    def _reference(self, **changes: Any) -> FeatureReference:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamFeatureView(_Selectable, Definition):
    """Features of the records of one stream source.

    Args:
        source: Where the records come from.
        entities: Whose features these are; their join keys are columns of the source.
        online: Keep the newest row of each key in the online store.
        offline: Keep all rows in the offline table.
        feature_start_time: From when on the batch source is read; naive means UTC.
        ttl: How old a served event may be, inclusive; None: any age.
        batch_schedule: The length of a materialisation period; default one day.
        aggregations: Time-window aggregations, which then are the features; without a `ttl`.
        aggregation_interval: None or 0: windows move with every event.
        stream_processing_mode: None or `StreamProcessingMode.CONTINUOUS`.
        mode: "python" or "pandas" with a transformation; None without.
        schema: Columns after the transformation.
        timestamp_field: The event timestamp; may be left out if the schema has one Timestamp.
        batch_trigger: Who starts the jobs.
        manual_trigger_backfill_end_time: With a manual trigger, until when apply backfills.
        max_backfill_interval: The longest period of one backfill run.
        monitor_freshness: Report stale features.
        expected_feature_freshness: How old is stale.
        alert_email: Who is told.
        transformation: The decorated function; set by `stream_feature_view`.
    """

    source: StreamSource
    entities: Sequence[Entity]
    online: bool = False
    offline: bool = False
    feature_start_time: datetime | None = None
    ttl: timedelta | None = None
    batch_schedule: timedelta | None = None
    aggregations: Sequence[Aggregation] | None = None
    aggregation_interval: timedelta | None = None
    stream_processing_mode: Any = None
    mode: str | None = None
    schema: Sequence[Field] | None = None
    timestamp_field: str | None = None
    batch_trigger: BatchTriggerType = BatchTriggerType.SCHEDULED
    manual_trigger_backfill_end_time: datetime | None = None
    max_backfill_interval: timedelta | None = None
    monitor_freshness: bool = False
    expected_feature_freshness: timedelta | None = None
    alert_email: str | None = None
    transformation: Callable[..., Any] | None = None

    def _reference(self, **changes: Any) -> FeatureReference:
        return dataclasses.replace(FeatureReference(self), **changes)


def stream_feature_view(
    *, name: str | None = None, **arguments: Any
) -> Callable[[Callable[..., Any]], StreamFeatureView]:
    """Make a `StreamFeatureView` of a function that transforms records.

    Args:
        name: Of the view; default: the function's.
        arguments: Those of `StreamFeatureView`.
    """

    def decorate(function: Callable[..., Any]) -> StreamFeatureView:
        called = name or function.__name__
        return StreamFeatureView(name=called, transformation=function, **arguments)

    return decorate


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureService(Definition):
    """The features that one model reads together.

    Args:
        features: Views, or views with `[[…]]`, `with_name`, `with_join_key_map`.
        online_serving_enabled: Answer `get-features` for this service.
    """

    features: Sequence[StreamFeatureView | FeatureReference]
    online_serving_enabled: bool = True


def _warn_of_placement(kind: str, name: object, arguments: Sequence[str]) -> None:
    listed = ", ".join(f"`{argument}`" for argument in sorted(arguments))
    file, _, line = _call_site().rpartition(":")
    text = f"{kind} {name}: {listed} only places work and is ignored here"
    warnings.warn_explicit(text, UserWarning, file, int(line))


def _takes_placement(cls: type[_Definition]) -> type[_Definition]:
    """Let a constructor take and drop the arguments of 0.8 that only place work."""
    construct = cls.__init__

    def __init__(self: Any, **arguments: Any) -> None:
        placed = PLACEMENT_ARGUMENTS.intersection(arguments) - own
        if placed:
            _warn_of_placement(cls.__name__, arguments.get("name"), sorted(placed))
        construct(self, **{k: v for k, v in arguments.items() if k not in placed})

    own = {field.name for field in dataclasses.fields(cls)}
    __init__.__wrapped__ = construct  # type: ignore[attr-defined]  # keeps `inspect.signature` true
    cls.__init__ = __init__  # type: ignore[method-assign]  # that is what is meant
    return cls


for _kind in (StreamSource, StreamFeatureView, FeatureService, BatchSource):
    _takes_placement(_kind)

DEFINITION_KINDS: tuple[type[Definition], ...] = (
    Entity,
    BatchSource,
    StreamSource,
    StreamFeatureView,
    FeatureService,
)

__all__ = [
    "DEFINITION_KINDS",
    "Aggregation",
    "BatchSource",
    "BatchTriggerType",
    "DataType",
    "DatetimePartitionColumn",
    "Definition",
    "Entity",
    "FeatureReference",
    "FeatureService",
    "FileConfig",
    "PushConfig",
    "StreamFeatureView",
    "StreamProcessingMode",
    "StreamSource",
    "stream_feature_view",
]
