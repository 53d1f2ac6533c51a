"""
An open streaming feature store, written for the Stream Ingest API of version 0.8.

Importing this package loads definitions only; stores, Spark and the service load when used.
"""

from tecton.definitions import (
    Aggregation,
    BatchSource,
    BatchTriggerType,
    DatetimePartitionColumn,
    Entity,
    FeatureService,
    FileConfig,
    PushConfig,
    StreamFeatureView,
    StreamProcessingMode,
    StreamSource,
    stream_feature_view,
)
from tecton.version import __version__
from tecton.workspace import get_workspace

__all__ = [
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
    "__version__",
    "get_workspace",
    "stream_feature_view",
]
