"""
The ports: what the system needs from storage. Each docstring is the contract of its adapters,
held by `tests/contract/` on every implementation.

Timestamps are µs since the epoch, UTC. Any method may raise `StoreUnavailable`.
"""

from tecton.stores.audit import AuditEntry, AuditLog
from tecton.stores.claims import Claims, Lease
from tecton.stores.erasures import Erasures
from tecton.stores.history import BatchLedger, History
from tecton.stores.launchers import Job, JobLauncher
from tecton.stores.online import NOTHING_REACHED, Doubt, OnlineStore, Reached, Stored
from tecton.stores.push import LogEntry, PushLog, PushTables, StagedBatch
from tecton.stores.requests import Bucket, Claim, RequestStore
from tecton.stores.runs import (
    BACKFILL,
    CANCELLED,
    CANCELLING,
    ENDED,
    FAILURE,
    MAINTENANCE,
    PERIOD,
    PUSHED,
    REFILL,
    RUNNING,
    SUCCESS,
    Run,
    RunLog,
    is_backfilled,
)
from tecton.stores.tables import DeltaLogs, Kept, TableCare, Tidied
from tecton.stores.versions import AccessStore, Registry
from tecton.stores.windows import WINDOWED_MICROS, Aggregated, WindowStore

__all__ = [
    "BACKFILL",
    "CANCELLED",
    "CANCELLING",
    "ENDED",
    "FAILURE",
    "MAINTENANCE",
    "NOTHING_REACHED",
    "PERIOD",
    "PUSHED",
    "REFILL",
    "RUNNING",
    "SUCCESS",
    "WINDOWED_MICROS",
    "AccessStore",
    "Aggregated",
    "AuditEntry",
    "AuditLog",
    "BatchLedger",
    "Bucket",
    "Claim",
    "Claims",
    "DeltaLogs",
    "Doubt",
    "Erasures",
    "History",
    "Job",
    "JobLauncher",
    "Kept",
    "Lease",
    "LogEntry",
    "OnlineStore",
    "PushLog",
    "PushTables",
    "Reached",
    "Registry",
    "RequestStore",
    "Run",
    "RunLog",
    "StagedBatch",
    "Stored",
    "TableCare",
    "Tidied",
    "WindowStore",
    "is_backfilled",
]
