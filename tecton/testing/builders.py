"""
Builders of applied values, by default the documentation's example.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from tecton.applied import (
    AppliedEntity,
    AppliedFunction,
    AppliedService,
    AppliedSource,
    AppliedView,
    Column,
    ServiceFeatures,
    WorkspaceState,
    new_id,
)
from tecton.names import EVENT_COLUMN
from tecton.testing.clock import NOW
from tecton.types import Field, Int64, String, Timestamp

AD_FIELDS = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("clicked", Int64),
)
"""The schema of the documentation's example."""


def build_source(
    name: str = "impressions_event_source", fields: Sequence[Field] = AD_FIELDS, **changes: Any
) -> AppliedSource:
    """An applied stream source, by default the documentation's.

    Args:
        name: Its name.
        fields: The schema.
        changes: Other attributes of `AppliedSource`.
    """
    columns = tuple(Column.of(field) for field in fields)
    return AppliedSource(**{"name": name, "id": new_id(), "columns": columns, **changes})


def build_view(
    source: AppliedSource | None = None,
    name: str = "click_events_fv",
    join_keys: Sequence[str] = ("user_id",),
    timestamp_field: str = "timestamp",
    **changes: Any,
) -> AppliedView:
    """An applied view, by default the documentation's: online and offline, a ttl of 7 days.

    Args:
        source: Where its records come from; default: `build_source()`.
        name: Its name.
        join_keys: Columns of the source.
        timestamp_field: A column of the source.
        changes: Other attributes of `AppliedView`; `columns` are all others of the source.
    """
    source = source or build_source()
    by_name = {column.name: column for column in source.columns}
    apart = {*join_keys, timestamp_field}
    attributes = {
        "name": name,
        "id": new_id(),
        "since_version": 1,
        "applied_at": NOW - timedelta(days=1),
        "source": source.name,
        "entities": ("user",),
        "join_keys": tuple(by_name[key] for key in join_keys),
        "timestamp_field": timestamp_field,
        "columns": tuple(column for column in source.columns if column.name not in apart),
        "event_key": source.event_key,
        "online": True,
        "offline": True,
        "feature_start_time": datetime(2022, 1, 1, tzinfo=timezone.utc),
        "ttl": timedelta(days=7),
    }
    return AppliedView(**{**attributes, **changes})


def build_function_view(
    source: AppliedSource,
    function: str,
    fields: Sequence[Field],
    mode: str = "python",
    join_keys: Sequence[str] = ("user_id",),
    timestamp_field: str = "timestamp",
    **changes: Any,
) -> AppliedView:
    """An applied view with a transformation.

    Args:
        source: Where its records come from.
        function: Its text, with a function `fv` in it.
        fields: The schema of the rows that it returns.
        mode: "python" or "pandas".
        join_keys: Columns of *fields*.
        timestamp_field: A column of *fields*.
        changes: Other attributes of `AppliedView`.
    """
    by_name = {field.name: field for field in fields}
    types = {column.name: column.type for column in source.columns}
    apart = {*join_keys, timestamp_field}
    names = {name: EVENT_COLUMN.format(name=name) for name in source.event_key}
    attributes = {
        "join_keys": (),
        "columns": tuple(Column.of(field) for field in fields if field.name not in apart),
        "event_key": tuple(names.values()),
        "event_columns": tuple(Column(column, types[name]) for name, column in names.items()),
        "function": AppliedFunction(name="fv", mode=mode, source=function),
    }
    keys = tuple(Column.of(by_name[key]) for key in join_keys)
    view = build_view(source, **{**attributes, "timestamp_field": timestamp_field, **changes})
    return msgspec.structs.replace(view, join_keys=keys)


def build_service(*views: AppliedView, name: str = "ad_ctr_feature_service") -> AppliedService:
    """An applied feature service of all features of *views*."""
    return AppliedService(
        name=name,
        views=tuple(
            ServiceFeatures(
                view=view.name,
                namespace=view.name,
                features=tuple(feature.name for feature in view.features),
            )
            for view in sorted(views, key=lambda view: view.name)
        ),
    )


def build_state(
    sources: Sequence[AppliedSource] | None = None,
    views: Sequence[AppliedView] | None = None,
    services: Sequence[AppliedService] | None = None,
    **changes: Any,
) -> WorkspaceState:
    """A live workspace `prod` at version 1, by default with the documentation's example.

    Args:
        sources: Default: `build_source()`.
        views: Default: one view of each source.
        services: Default: one service of all views.
        changes: Other attributes of `WorkspaceState`.
    """
    if sources is None:
        sources = [build_source()]
    if views is None:
        views = [build_view(source) for source in sources]
    if services is None:
        services = [build_service(*views)]
    attributes = {
        "name": "prod",
        "id": new_id(),
        "live": True,
        "version": 1,
        "applied_at": NOW - timedelta(days=1),
        "entities": (AppliedEntity(name="user", join_keys=("user_id",)),),
        "sources": tuple(sources),
        "views": tuple(views),
        "services": tuple(services),
    }
    return WorkspaceState(**{**attributes, **changes})


def next_version(state: WorkspaceState, **changes: Any) -> WorkspaceState:
    """*state* as the version after it, with changes."""
    return msgspec.structs.replace(state, version=state.version + 1, **changes)
