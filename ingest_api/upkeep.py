"""
What the service does beside its requests: keep definitions fresh, Redis filled, itself tidy.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from functools import partial

from ingest_api.periodic import Periodic
from ingest_api.tally import Tally
from tecton.applied import WorkspaceState
from tecton.audit import catch_up
from tecton.bootstrap import Backend
from tecton.catalog import Catalog
from tecton.committer import Clock
from tecton.errors import StoreUnavailable, TectonError
from tecton.ingest import Ingest
from tecton.lapse import mark_lapsed, told
from tecton.logged import rows_of
from tecton.reload import Reloaded, reload_lost
from tecton.rescue import Rescue
from tecton.rows import FeatureRow
from tecton.stores import LogEntry
from tecton.sweep import Sweep

AUDIT_SECONDS = 60.0
"""Between two entries; each is a small file that stays until the audit's maintenance."""

TIDY_SECONDS = 0.1
"""Until then reads go through events that have just come one by one."""

LAPSE_SECONDS = 10.0
"""Between two looks whether Redis has gone back behind what jobs and erasures did."""

TAIL_SECONDS = 2.0
"""A log that is ahead for so long has lost its writer, or one that will not mind."""

_log = logging.getLogger(__name__)


class Upkeep:
    """Threads, each with one duty.

    Args:
        backend: The stores.
        catalog: Is refreshed.
        ingest: Its push logs are replayed to the online store where that lacks something.
        tally: Is entered in the audit, as are changes that nobody has entered yet.
        clock: Now.
    """

    def __init__(
        self, backend: Backend, catalog: Catalog, ingest: Ingest, tally: Tally, clock: Clock
    ) -> None:
        self._backend = backend
        self._catalog = catalog
        self._ingest = ingest
        self._tally = tally
        self._clock = clock
        self._parent = os.getppid()
        self._sweep_up = Sweep(backend.online.forget, backend.online.unloaded)
        self._tails = Rescue(backend.push_tables, backend.online, self._rows)
        self._recovery = Periodic("replay of the push logs", self._recover)
        self._threads = (
            Periodic("definitions and roles", catalog.refresh),
            self._recovery,
            Periodic("reload of lost views", self._reload),
            Periodic("look for views as they once were", self._mark_lapsed, LAPSE_SECONDS),
            Periodic("replay of other writers' logs", self._rescue, TAIL_SECONDS),
            Periodic("removal of replaced rows", self._sweep),
            Periodic("sealing of windows", self._tidy, TIDY_SECONDS),
            Periodic("audit of changes", self._enter_changes, AUDIT_SECONDS),
            Periodic("audit of what is ingested", tally.flush, AUDIT_SECONDS),
        )

    @property
    def is_ready(self) -> bool:
        """Does the online store hold all that this process has logged?"""
        return self._recovery.is_well

    def start(self) -> None:
        """Read what is applied, then begin."""
        try:
            self._catalog.refresh()
        except TectonError as exc:
            # What could be read is in force; the rest is tried again every second.
            _log.warning("not all definitions and roles could be read: %s", exc)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after the steps that are under way."""
        for thread in self._threads:
            thread.stop()

    def finish(self) -> None:
        """Enter in the audit what was counted last."""
        try:
            self._tally.flush()
        except TectonError as exc:
            _log.warning("the audit lacks what was ingested last: %s", exc)

    def _enter_changes(self) -> None:
        backend = self._backend
        catch_up(backend.audit, backend.registry, backend.access)

    def _recover(self) -> None:
        if os.getppid() != self._parent:
            # The server that owns the port has died and cannot stop this worker any more.
            os.kill(os.getpid(), signal.SIGTERM)
        self._backend.start_redis()
        self._ingest.recover()

    def _rows(self, state: WorkspaceState, entries: Sequence[LogEntry]) -> Sequence[FeatureRow]:
        """The rows of logged records that may be served."""
        rows = rows_of(state, entries, self._backend.functions)
        return self._backend.erasures.served(state, rows)

    def _rescue(self) -> None:
        for rescued in self._tails.look(self._catalog.workspaces()):
            _log.warning(
                "writer %s of workspace %s had logged batches %d to %d without serving them; they "
                "are served",
                rescued.writer,
                rescued.workspace,
                rescued.first,
                rescued.last,
            )

    def _sweep(self) -> None:
        for view, count in self._sweep_up.look(self._catalog.obsolete, self._clock()):
            _log.info("%d keys of the replaced generation %s left Redis", count, view)

    def _tidy(self) -> None:
        while self._backend.online.tidy():
            pass

    def _mark_lapsed(self) -> None:
        backend = self._backend
        states, now = self._catalog.workspaces(), self._clock()
        for lapsed in mark_lapsed(backend.online, backend.ledger, backend.erasures, states, now):
            _log.warning(
                "Redis has gone back to an older state: %s of %s; all of it is loaded again",
                "erased rows" if lapsed.erased else "batch rows",
                lapsed.view,
            )

    def _reload(self) -> None:
        backend = self._backend
        states = self._catalog.workspaces()
        now = self._clock()
        should_have = partial(told, ledger=backend.ledger, erasures=backend.erasures, now=now)
        reports = reload_lost(
            backend.online, backend.history, backend.runs, states, now, should_have
        )
        unread = [report.view for report in reports if not self._is_reloaded(report)]
        if unread:
            raise StoreUnavailable(
                f"Redis has lost {', '.join(unread)}, whose batch rows are in no offline table; "
                "run `tecton materialize run-due`"
            )

    def _is_reloaded(self, report: Reloaded) -> bool:
        if report.rows is None:
            return False
        _log.warning("Redis had lost %s; it is reloaded: %d rows", report.view, report.rows)
        return True
