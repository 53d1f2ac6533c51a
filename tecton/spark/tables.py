"""
What reads and jobs work on: the session, the store, and what the store's logs say.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import NamedTuple

from pyspark.sql import SparkSession

from tecton.applied import AppliedView, WorkspaceState, offline_path
from tecton.journal import Journal, LocalClaims
from tecton.locations import BatchRules
from tecton.spark.offline_table import OfflineTable
from tecton.stores import BatchLedger, Claims, DeltaLogs, Erasures, OnlineStore, Reached, RunLog
from tecton.timestamps import micros_of
from tecton.tombstones import Tombstones


class Fill(NamedTuple):
    """Rows that a job brings to the online store: the load, and the job's number in the ledger."""

    load: str
    number: int


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
        ledger: Where it is written down what was brought to the online store; None: nowhere.
        claims: Who does what; default: this process is alone.
        owner: Whose attempts these are; whoever starts a job gives it its own.
        who: User, host and process, for people.
        log: Where the job's log is, in words.
    """

    open_online: Callable[[], OnlineStore]
    clock: Callable[[], datetime]
    ledger: BatchLedger | None = field(default=None, kw_only=True)
    claims: Claims = field(default_factory=LocalClaims, kw_only=True)
    owner: str = field(default_factory=partial(secrets.token_hex, 8), kw_only=True)
    who: str = field(default="this process", kw_only=True)
    log: str = field(default="", kw_only=True)

    def begin_fill(self, state: WorkspaceState, view: AppliedView) -> Fill:
        """Say that rows of a view with `online` are going to be offered."""
        # Clocks differ and go back, a view's numbers never do.
        last = 0 if self.ledger is None else self.ledger.of(state).get(view.online_id, 0)
        number = max(micros_of(self.clock()), last + 1)
        return Fill(self.open_online().begin_load(view.online_id), number)

    def end_fill(
        self, state: WorkspaceState, view: AppliedView, fill: Fill, is_whole: bool
    ) -> None:
        """
        Say that the rows were offered, so that a later loss of them is noticed.

        Args:
            state: The workspace.
            view: The view.
            fill: From `begin_fill`.
            is_whole: Were they all that there are, so that the view can be served?

        Raises:
            StoreUnavailable: The online store has lost data meanwhile.
        """
        reached = Reached(batch=fill.number)
        if is_whole:
            self.open_online().mark_loaded([view.online_id], fill.load, reached)
        else:
            self.open_online().advance(view.online_id, reached, fill.load)
        if self.ledger is not None:
            self.ledger.enter(state, view, fill.number)

    @cached_property
    def journal(self) -> Journal:
        """Where attempts are claimed and recorded."""
        return Journal(self.runs, self.claims, self.clock, self.owner, self.who, self.log)
