"""A real service with a view that has a function: its workers come with it and go with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tecton.testing import build_function_view, build_source, build_state
from tecton.types import Field, Int64, String, Timestamp
from tests.running import Running, wait_for

FUNCTION = """
import time

def fv(record):
    if record["user_id"] == "slow":
        time.sleep(60)
    return {**record, "clicked": record["clicked"] + 41}
"""
FIELDS = (Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    source = build_source()
    view = build_function_view(source, FUNCTION, FIELDS)
    running = Running(tmp_path, build_state([source], [view], name="ingestapi-live"))
    yield running
    running.close()


def workers(running: Running) -> list[psutil.Process]:
    assert running.process is not None
    return [
        child
        for child in psutil.Process(running.process.pid).children(recursive=True)
        if "tecton.functions.worker" in child.cmdline()
    ]


def test_function_runs_beside_the_service(running: Running) -> None:
    """Records are served as it returns them; a slow one is a 500 and its process is replaced."""
    running.start()
    assert workers(running) == []
    assert running.push("u") == 200
    assert running.value("u") == "42"
    assert running.push("slow") == 500
    assert running.push("v") == 200
    assert running.value("v") == "42"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_service(running: Running, number: signal.Signals) -> None:
    """However it ends."""
    running.start()
    assert running.push("u") == 200
    left = workers(running)
    assert left
    running.kill(number)
    wait_for(lambda: not any(one.is_running() for one in left), "the workers to end")


def test_restarted_service_runs_the_function_on_what_redis_lost(running: Running) -> None:
    """The log is replayed through the same function."""
    running.start()
    assert running.push("u") == 200
    running.kill(signal.SIGKILL)
    running.online.client.flushall()
    running.online.mark_loaded([running.state.views[0].id])
    running.start()
    wait_for(lambda: running.value("u") == "42", "the replay")
