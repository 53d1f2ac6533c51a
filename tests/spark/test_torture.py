"""A short round of a fault in a backfill (`make torture` has more)."""

from __future__ import annotations

from pyspark.sql import SparkSession

from tests.torture.rounds import plan_of, play

SEED = 41


def test_backfill_that_died_is_run_again(spark: SparkSession) -> None:
    """And gives what one clean run gives (I9)."""
    plan = plan_of(SEED, "backfill: batch rows written", is_short=True)
    result = play(plan, lambda: spark)
    assert [] == result.violations
    assert result.has_happened
