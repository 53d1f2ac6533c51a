"""
Load feature views from their batch sources and from what was pushed:

    spark-submit jobs/backfill.py --workspace W [--feature-view FV …] [--start TIME --end TIME]
                                  [--missing]

Without `--feature-view`: every view whose backfill has not ended. With `--start` and `--end` only
the batch rows of that period are replaced. With `--missing` only what a view lacks is brought.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial

from jobs.announced import carry_out_announced
from jobs.run import Work, add_owner, chosen_views, moment, run, utc_now, wait_until
from tecton.applied import WorkspaceState
from tecton.periods import Period
from tecton.spark.backfill import backfill, expected, needs_backfill, rerun
from tecton.spark.failures import attempt_all
from tecton.spark.frontfill import fill
from tecton.spark.passes import Want
from tecton.spark.tables import JobStores


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Load feature views from their history.")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--feature-view", action="append", metavar="FV")
    parser.add_argument("--start", type=moment, metavar="TIME")
    parser.add_argument("--end", type=moment, metavar="TIME", help="exclusive")
    parser.add_argument(
        "--missing", action="store_true", help="only what no run has brought, or is lost online"
    )
    add_owner(parser)
    arguments = parser.parse_args()
    period = None
    if (arguments.start is None) != (arguments.end is None):
        parser.error("--start and --end go together")
    if arguments.start is not None:
        if arguments.end <= arguments.start:
            parser.error("--end must be after --start")
        period = Period(arguments.start, arguments.end)
    names, is_partial = arguments.feature_view, arguments.missing
    work: Work = partial(_work, names=names, period=period, is_partial=is_partial)
    if arguments.owner is not None:
        work = partial(carry_out_announced, at=utc_now())
    run(arguments.workspace, work, arguments.owner)


def _work(
    stores: JobStores,
    state: WorkspaceState,
    names: list[str] | None,
    period: Period | None,
    is_partial: bool,
) -> Iterator[object]:
    views, at = chosen_views(state, names), utc_now()
    if period is not None:
        wants = expected(stores, state, (), at, [(view, [period]) for view in views])
        reruns = [(view.name, rerun(stores, state, view, [period])) for view in views]
        return _together(stores, wants, reruns)
    if not names:
        views = needs_backfill(stores, state, views)
    if is_partial:
        return fill(stores, state, views, at, wait_until)
    wants = expected(stores, state, views, at)
    backfills = [(view.name, backfill(stores, state, view, wait_until, at=at)) for view in views]
    return _together(stores, wants, backfills)


def _together(
    stores: JobStores, wants: Sequence[Want], work: Sequence[tuple[str, Iterator[object]]]
) -> Iterator[object]:
    with stores.passes.expect(wants):
        yield from attempt_all(work)


if __name__ == "__main__":
    main()
