"""
Bring feature views up to date: due periods of batch sources, and what was pushed meanwhile:

    spark-submit jobs/frontfill.py --workspace W [--feature-view FV …] [--at TIME] [--maintain]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from jobs.maintain import maintain_workspace
from jobs.run import chosen_views, moment, run, utc_now, wait_until
from tecton.applied import WorkspaceState
from tecton.spark.failures import attempt_all
from tecton.spark.frontfill import frontfill
from tecton.spark.tables import JobStores


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Run what is due for feature views.")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--feature-view", action="append", metavar="FV")
    parser.add_argument(
        "--at", type=moment, metavar="TIME", help="which periods have ended; default: now"
    )
    parser.add_argument(
        "--maintain", action="store_true", help="maintain the workspace's tables afterwards"
    )
    arguments = parser.parse_args()
    at = arguments.at or utc_now()
    work = partial(_work, names=arguments.feature_view, at=at, is_maintained=arguments.maintain)
    run(arguments.workspace, work)


def _work(
    stores: JobStores,
    state: WorkspaceState,
    names: list[str] | None,
    at: datetime,
    is_maintained: bool,
) -> Iterator[object]:
    reports = frontfill(stores, state, chosen_views(state, names), at, wait_until)
    if not is_maintained:
        return reports
    # Neither keeps the other from being done; whichever fails, the job says so in the end.
    return attempt_all([("", reports), ("maintenance", maintain_workspace(stores, state))])


if __name__ == "__main__":
    main()
