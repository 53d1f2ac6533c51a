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
from tecton.lapse import told
from tecton.locations import BatchRules
from tecton.spark.offline_table import OfflineTable
from tecton.spark.passes import SourcePasses
from tecton.stores import (
    NOTHING_REACHED,
    BatchLedger,
    Claims,
    DeltaLogs,
    Erasures,
    OnlineStore,
    Reached,
    RunLog,
)
from tecton.timestamps import micros_of
from tecton.tombstones import Tombstones


class Fill(NamedTuple):
    """Rows that a job brings to the online store.

    Args:
        load: As the online store calls it.
        number: The job's in the ledger.
        erased: Up to which erasure a view is right that is filled with all of its rows.
    """

    load: str
    number: int
    erased: int


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
        online, view_id = self.open_online(), view.online_id
        should = self._told(state, view)
        # Clocks differ and go back, a view's numbers never do.
        number = max(micros_of(self.clock()), should.batch + 1)
        if view_id in online.unloaded([view_id]):
            load = online.begin_load(view_id, should.erased)
            return Fill(load, number, should.erased)
        load = online.begin_load(view_id)
        # From here on the load tells whether the online store goes back.
        [has] = online.reached([view_id])
        if has.batch < should.batch and has.erased >= should.erased:
            # It has gone back and nobody has seen it yet; after this job nobody would.
            online.unmark([view_id])
        # Erased rows that may be back are told by the old number.
        return Fill(load, number, 0)

    def _told(self, state: WorkspaceState, view: AppliedView) -> Reached:
        """How far a view in the online store should have come."""
        if self.ledger is None or self.erasures is None:
            return NOTHING_REACHED
        return told(state, view, self.ledger, self.erasures, self.clock())

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
        online = self.open_online()
        if is_whole:
            reached = Reached(fill.number, fill.erased)
            online.mark_loaded([view.online_id], fill.load, reached)
        else:
            online.advance(view.online_id, Reached(fill.number), fill.load)
        if self.ledger is not None:
            self.ledger.enter(state, view, fill.number)

    @cached_property
    def passes(self) -> SourcePasses:
        """The passes over batch sources."""
        return SourcePasses(self.spark, self.rules, self.clock)

    @cached_property
    def journal(self) -> Journal:
        """Where attempts are claimed and recorded."""
        return Journal(self.runs, self.claims, self.clock, self.owner, self.who, self.log)
