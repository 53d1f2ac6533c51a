"""
What was announced before a job began, carried out by it: the scripts' `--owner`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from jobs.maintain import maintain_recorded
from jobs.run import wait_until
from tecton.applied import WorkspaceState
from tecton.spark.failures import attempt_all
from tecton.spark.frontfill import carry_out
from tecton.spark.tables import JobStores
from tecton.stores import MAINTENANCE


def carry_out_announced(stores: JobStores, state: WorkspaceState, at: datetime) -> Iterator[object]:
    """
    Do what this owner has announced, and nothing else.

    Args:
        stores: What the job works on.
        state: The workspace.
        at: Decides which periods have ended.

    Yields:
        Reports.
    """
    runs = stores.journal.adopt(state.folder)
    rows = carry_out(stores, state, runs, at, wait_until)
    care = [run for run in runs if run.kind == MAINTENANCE]
    # Neither keeps the other from being done; whichever fails, the job says so in the end.
    work: list[tuple[str, Iterator[object]]] = [
        ("", rows),
        *(("maintenance", maintain_recorded(stores, state, run)) for run in care),
    ]
    return attempt_all(work)
