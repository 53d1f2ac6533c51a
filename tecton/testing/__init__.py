"""
What tests need of a feature store: stores in memory, builders of applied values, a fixed clock.

Public, for the tests of users too. The stores keep the contracts of `tecton.stores`.
"""

from tecton.testing.audit import InMemoryAudit
from tecton.testing.builders import (
    AD_FIELDS,
    build_function_view,
    build_service,
    build_source,
    build_state,
    build_view,
    next_version,
)
from tecton.testing.clock import NOW, FixedClock
from tecton.testing.launchers import RecordingLauncher
from tecton.testing.online import InMemoryOnlineStore
from tecton.testing.push import InMemoryPushLog
from tecton.testing.runs import InMemoryRuns
from tecton.testing.versions import InMemoryAccess, InMemoryRegistry
from tecton.testing.windows import InMemoryWindows

__all__ = [
    "AD_FIELDS",
    "NOW",
    "FixedClock",
    "InMemoryAccess",
    "InMemoryAudit",
    "InMemoryOnlineStore",
    "InMemoryPushLog",
    "InMemoryRegistry",
    "InMemoryRuns",
    "InMemoryWindows",
    "RecordingLauncher",
    "build_function_view",
    "build_service",
    "build_source",
    "build_state",
    "build_view",
    "next_version",
]
