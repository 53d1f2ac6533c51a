"""Fixtures for every folder of tests: the one Spark session, and which Redis there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Machines are shared: how long an example takes says nothing about what is tested.
settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")


@pytest.fixture(scope="session", autouse=True)
def redis_binary(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The embedded Redis too is the server that `REDIS_SERVER` names."""
    if told := os.environ.get("REDIS_SERVER"):
        folder = tmp_path_factory.mktemp("redis-binary")
        (folder / "redis-server").symlink_to(Path(told).resolve())
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The Spark session of the whole run; starting a JVM takes seconds."""
    from tecton.spark.session import get_session, quiet

    # A JVM that lives for minutes: compile less, collect with one thread. A third less work here.
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    session = get_session(os.environ, "1g")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    quiet(session)
    yield session
    session.stop()
