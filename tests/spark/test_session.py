"""What a session is told for a while."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from tecton.spark.session import PARTITION_ROWS, enough_partitions

NAME = "spark.sql.shuffle.partitions"


def test_many_rows_are_shuffled_in_more_parts(spark: SparkSession) -> None:
    """What a task holds does not grow with the rows; the session is left as it was."""
    before = spark.conf.get(NAME)
    with enough_partitions(spark, 100 * PARTITION_ROWS + 1):
        assert "101" == spark.conf.get(NAME)
    assert before == spark.conf.get(NAME)
    with pytest.raises(KeyError), enough_partitions(spark, 100 * PARTITION_ROWS):
        raise KeyError
    assert before == spark.conf.get(NAME)


def test_few_rows_are_left_to_the_session(spark: SparkSession) -> None:
    """Its own number is then the better one."""
    before = spark.conf.get(NAME)
    with enough_partitions(spark, PARTITION_ROWS):
        assert before == spark.conf.get(NAME)
