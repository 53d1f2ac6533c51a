"""Fixtures of the Spark tests: a store with nothing in it, and a real Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tecton.adapters.redis_online import RedisOnlineStore
from tests.fixtures import redis_online, redis_url
from tests.spark.scene import Scene

__all__ = ["redis_online", "redis_url"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs a JVM."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.spark)


@pytest.fixture
def scene(
    spark: SparkSession, tmp_path: Path, redis_url: str, redis_online: RedisOnlineStore
) -> Scene:
    """An empty store, an empty Redis."""
    return Scene(spark, tmp_path, redis_url, redis_online)
