"""
Keep the tables of live workspaces small and fast, beside the services that write them:

    spark-submit jobs/maintain.py [--workspace W …]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from jobs.run import run
from tecton.applied import WorkspaceState
from tecton.bootstrap import Backend
from tecton.due import new_run
from tecton.errors import JobTaken, TectonError
from tecton.leftovers import Ledger
from tecton.settings import Settings
from tecton.spark.maintain import maintain
from tecton.spark.tables import JobStores
from tecton.stores import MAINTENANCE, Run

CLAIMS_KEPT = timedelta(days=30)


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Maintain the tables of live workspaces.")
    parser.add_argument(
        "--workspace", action="append", metavar="W", help="default: every live workspace"
    )
    arguments = parser.parse_args()
    try:
        names = arguments.workspace or [state.name for state in _states() if state.live]
    except TectonError as exc:
        sys.exit(f"error: {exc}")
    codes = [_run(name) for name in dict.fromkeys(names)]
    sys.exit(max(codes, default=0))


def maintain_workspace(stores: JobStores, state: WorkspaceState) -> Iterator[object]:
    """
    Maintain a workspace's tables; the work of this job, for others too.

    Args:
        stores: What the job works on.
        state: The workspace.

    Yields:
        Reports.
    """
    backend = _backend()
    return maintain(stores, backend.care, state, _states(), Ledger(backend.registry))


def maintenance(stores: JobStores, state: WorkspaceState) -> Iterator[object]:
    """
    Maintain a workspace's tables, as a job of its own.

    Args:
        stores: What the job works on.
        state: The workspace.

    Yields:
        Reports.

    Raises:
        JobTaken: Another job is at it.
    """
    wanted = new_run(state, None, MAINTENANCE, stores.clock())
    announced = stores.journal.announce(state.folder, lambda _: [wanted])
    if announced.refused:
        raise JobTaken("; ".join(announced.refused))
    [run] = announced.runs
    return maintain_recorded(stores, state, run)


def maintain_recorded(stores: JobStores, state: WorkspaceState, run: Run) -> Iterator[object]:
    """Maintain a workspace's tables, as the attempt that was announced."""
    with stores.journal.carry_out(run) as work:
        reports = []
        for report in maintain_workspace(stores, state):
            reports.append(str(report))
            yield report
        stores.claims.forget(state.folder, stores.clock() - CLAIMS_KEPT)
        work.done(run, "; ".join(reports))


def _run(name: str) -> int:
    try:
        run(name, maintenance)
    except SystemExit as exc:
        # The other workspaces get their turn.
        return int(exc.code or 0)
    return 0


def _states() -> list[WorkspaceState]:
    registry = _backend().registry
    states = [registry.latest(name) for name in registry.workspaces()]
    return [state for state in states if state is not None and not state.deleted]


def _backend() -> Backend:
    return Backend(Settings.from_env(os.environ, Path.cwd()))


if __name__ == "__main__":
    main()
