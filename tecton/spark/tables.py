"""
What reads and jobs work on: the session, the store, and what the store's logs say.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial

from pyspark.sql import SparkSession

from tecton.applied import AppliedView, WorkspaceState, offline_path
from tecton.journal import Journal, LocalClaims
from tecton.locations import BatchRules
from tecton.spark.offline_table import OfflineTable
from tecton.stores import Claims, DeltaLogs, Erasures, OnlineStore, RunLog
from tecton.tombstones import Tombstones


@dataclass(frozen=True)
class StoreTables:
    """What offline reads work on.

    Args:
        spark: The session.
        store: The store's path or URI.
        logs: Where the store's Delta tables stand.
        runs: Which runs have ended.
        rules: What batch data has to keep to.
        erasures: Which join keys were erased; None: none were.
    """

    spark: SparkSession
    store: str
    logs: DeltaLogs
    runs: RunLog
    rules: BatchRules = field(default=BatchRules(), kw_only=True)
    erasures: Erasures | None = field(default=None, kw_only=True)

    def tombstones(self, state: WorkspaceState, view: AppliedView) -> Tombstones:
        """The erased join keys of a view."""
        return Tombstones() if self.erasures is None else self.erasures.of(state, view)

    def offline_table(self, state: WorkspaceState, view: AppliedView) -> OfflineTable:
        """The offline table of a view, whether it exists or not."""
        path = offline_path(state, view)
        return OfflineTable(self.spark, self.store, path, view, self.logs)


@dataclass(frozen=True)
class JobStores(StoreTables):
    """What jobs work on.

    Args:
        open_online: Connects to the online store; pickled and called on the executors.
        clock: The time, UTC.
        claims: Who does what; default: this process is alone.
        owner: Whose attempts these are; whoever starts a job gives it its own.
        who: User, host and process, for people.
        log: Where the job's log is, in words.
    """

    open_online: Callable[[], OnlineStore]
    clock: Callable[[], datetime]
    claims: Claims = field(default_factory=LocalClaims, kw_only=True)
    owner: str = field(default_factory=partial(secrets.token_hex, 8), kw_only=True)
    who: str = field(default="this process", kw_only=True)
    log: str = field(default="", kw_only=True)

    @cached_property
    def journal(self) -> Journal:
        """Where attempts are claimed and recorded."""
        return Journal(self.runs, self.claims, self.clock, self.owner, self.who, self.log)
