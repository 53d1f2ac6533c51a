"""
Bring feature views up to date: due periods of batch sources, and what was pushed meanwhile:

    spark-submit jobs/frontfill.py --workspace W [--feature-view FV …] [--at TIME]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from jobs.run import chosen_views, moment, run, utc_now, wait_until
from tecton.applied import WorkspaceState
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
    arguments = parser.parse_args()
    at = arguments.at or utc_now()
    run(arguments.workspace, partial(_work, names=arguments.feature_view, at=at))


def _work(
    stores: JobStores, state: WorkspaceState, names: list[str] | None, at: datetime
) -> Iterator[object]:
    return frontfill(stores, state, chosen_views(state, names), at, wait_until)


if __name__ == "__main__":
    main()
