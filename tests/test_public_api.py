"""
The names that users import: all that the contract lists, and nothing by accident.
"""

from __future__ import annotations

import inspect

import pytest

import tecton
import tecton.types

PROMISED = {
    "Aggregation",
    "BatchSource",
    "BatchTriggerType",
    "DatetimePartitionColumn",
    "Entity",
    "FeatureService",
    "FileConfig",
    "PushConfig",
    "StreamFeatureView",
    "StreamProcessingMode",
    "StreamSource",
    "get_workspace",
    "stream_feature_view",
}
TYPES = {
    "Array",
    "Bool",
    "Field",
    "Float32",
    "Float64",
    "Int32",
    "Int64",
    "Map",
    "String",
    "Struct",
    "Timestamp",
}
VIEW_ARGUMENTS = {
    "aggregation_interval",
    "aggregations",
    "alert_email",
    "batch_schedule",
    "batch_trigger",
    "description",
    "entities",
    "expected_feature_freshness",
    "feature_start_time",
    "manual_trigger_backfill_end_time",
    "max_backfill_interval",
    "mode",
    "monitor_freshness",
    "name",
    "offline",
    "online",
    "owner",
    "prevent_destroy",
    "schema",
    "source",
    "stream_processing_mode",
    "tags",
    "timestamp_field",
    "ttl",
}


@pytest.mark.parametrize("module", [tecton, tecton.types])
def test_all_is_sorted(module: object) -> None:
    """A public namespace is written in one order, so that two changes to it meet."""
    names = module.__all__  # type: ignore[attr-defined]
    assert sorted(names) == names


@pytest.mark.parametrize("module", [tecton, tecton.types])
def test_every_public_name_exists(module: object) -> None:
    """`from tecton import *` works."""
    names = module.__all__  # type: ignore[attr-defined]
    assert [name for name in names if not hasattr(module, name)] == []


def test_the_promised_names_are_there() -> None:
    """What a feature repo or a notebook imports from `tecton` (contract §1 and §5)."""
    assert PROMISED <= set(tecton.__all__)


def test_the_promised_types_are_there() -> None:
    """What a feature repo imports from `tecton.types` (contract §1)."""
    assert TYPES <= set(tecton.types.__all__)


def test_a_view_takes_the_promised_arguments() -> None:
    """All of them by keyword, and only the name, source and entities are required."""
    parameters = inspect.signature(tecton.StreamFeatureView).parameters
    required = {n for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    assert set(parameters) >= VIEW_ARGUMENTS
    assert required == {"name", "source", "entities"}
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_every_public_object_says_what_it_is() -> None:
    """`help(tecton.X)` answers."""
    public = [name for name in tecton.__all__ if not name.startswith("_")]
    assert [name for name in public if not inspect.getdoc(getattr(tecton, name))] == []
