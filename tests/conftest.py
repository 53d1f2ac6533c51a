"""What every folder of tests shares: the Spark session, which Redis there is, who tests what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from xdist.scheduler import Scheduling

SPARK = "tests/spark"
"""The folder whose tests share a session."""

# Machines are shared: how long an example takes says nothing about what is tested.
settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("shared machine"), max_examples=25)
settings.load_profile("shared machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Of two processes that test (`make test`) one has the Spark session and all who need it."""
    from xdist.scheduler import LoadScopeScheduling

    class OneSession(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return SPARK if nodeid.startswith(f"{SPARK}/") else nodeid

    config.option.loadscopereorder = False  # `_turn` has put them in order
    return OneSession(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes begin with what takes longest: one with Spark's tests, one with the demo."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.nodeid.startswith(f"{SPARK}/"):
        return 0
    if item.get_closest_marker("spark"):
        return 1
    return 2 if "e2e" in item.path.parts else 3


@pytest.fixture(scope="session", autouse=True)
def short_lived_jvms() -> None:
    """A JVM here lives for minutes: compile less, collect with one thread. A third less work."""
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


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

    session = get_session(os.environ, "1g")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    quiet(session)
    yield session
    session.stop()
