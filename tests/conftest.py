"""Fixtures for every folder of tests: the one Spark session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
