"""
Bring feature views up to date: due periods of batch sources, and what was pushed meanwhile:

    spark-submit jobs/frontfill.py --workspace W [--feature-view FV …] [--at TIME] [--maintain]
                                   [--retry-now]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from jobs.announced import carry_out_announced
from jobs.maintain import maintenance
from jobs.run import Work, add_owner, chosen_views, moment, run, utc_now, wait_until
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
    parser.add_argument(
        "--retry-now", action="store_true", help="do not wait between attempts at what fails"
    )
    add_owner(parser)
    arguments = parser.parse_args()
    at = arguments.at or utc_now()
    names, is_patient = arguments.feature_view, not arguments.retry_now
    work: Work = partial(
        _work, names=names, at=at, is_maintained=arguments.maintain, is_patient=is_patient
    )
    if arguments.owner is not None:
        work = partial(carry_out_announced, at=at)
    run(arguments.workspace, work, arguments.owner)


def _work(
    stores: JobStores,
    state: WorkspaceState,
    names: list[str] | None,
    at: datetime,
    is_maintained: bool,
    is_patient: bool,
) -> Iterator[object]:
    views = chosen_views(state, names)
    reports = frontfill(stores, state, views, at, wait_until, is_patient)
    if not is_maintained:
        return reports
    # Neither keeps the other from being done; whichever fails, the job says so in the end.
    return attempt_all([("", reports), ("", maintenance(stores, state))])


if __name__ == "__main__":
    main()
