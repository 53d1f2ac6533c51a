"""
Compare what a feature view answers online now with what its offline rows say:

    spark-submit jobs/verify.py --workspace W --feature-view FV [--sample N] [--seed S]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

from jobs.run import chosen_views, run
from tecton.applied import WorkspaceState
from tecton.spark.tables import JobStores
from tecton.spark.verify import verify


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Compare online with offline answers.")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--feature-view", required=True, metavar="FV")
    parser.add_argument("--sample", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    arguments = parser.parse_args()
    work = partial(_work, name=arguments.feature_view, sample=arguments.sample, seed=arguments.seed)
    run(arguments.workspace, work)


def _work(
    stores: JobStores, state: WorkspaceState, name: str, sample: int, seed: int
) -> Iterator[object]:
    [view] = chosen_views(state, [name])
    return verify(stores, state, view, sample, seed)


if __name__ == "__main__":
    main()
