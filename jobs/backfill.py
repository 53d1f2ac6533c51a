"""
Load feature views from their batch sources and from what was pushed:

    spark-submit jobs/backfill.py --workspace W [--feature-view FV …] [--start TIME --end TIME]

Without `--feature-view`: every view whose backfill has not ended. With `--start` and `--end` only
the batch rows of that period are replaced.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

from jobs.run import chosen_views, moment, run, wait_until
from tecton.applied import WorkspaceState
from tecton.periods import Period
from tecton.spark.backfill import backfill, needs_backfill, rerun
from tecton.spark.failures import attempt_all
from tecton.spark.tables import JobStores


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Load feature views from their history.")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--feature-view", action="append", metavar="FV")
    parser.add_argument("--start", type=moment, metavar="TIME")
    parser.add_argument("--end", type=moment, metavar="TIME", help="exclusive")
    arguments = parser.parse_args()
    period = None
    if (arguments.start is None) != (arguments.end is None):
        parser.error("--start and --end go together")
    if arguments.start is not None:
        if arguments.end <= arguments.start:
            parser.error("--end must be after --start")
        period = Period(arguments.start, arguments.end)
    run(arguments.workspace, partial(_work, names=arguments.feature_view, period=period))


def _work(
    stores: JobStores, state: WorkspaceState, names: list[str] | None, period: Period | None
) -> Iterator[object]:
    views = chosen_views(state, names)
    if period is not None:
        return attempt_all([(view.name, rerun(stores, state, view, period)) for view in views])
    if not names:
        views = needs_backfill(stores, state, views)
    return attempt_all([(view.name, backfill(stores, state, view, wait_until)) for view in views])


if __name__ == "__main__":
    main()
