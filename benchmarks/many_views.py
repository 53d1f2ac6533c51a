"""
plan, apply and run-due with many feature views, none of which needs Spark:

    python -m benchmarks.many_views [--views 200] [--days 365]

Each command is a process of its own, as a person or cron starts it. The jobs of apply are only
written down, and then said to be done; *days* of daily runs of each view are recorded besides.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.applied import WorkspaceState
from tecton.bootstrap import Backend
from tecton.due import new_run
from tecton.settings import Settings
from tecton.stores import MAINTENANCE, PERIOD, PUSHED, RUNNING, SUCCESS, Run

HEAD = """
from datetime import datetime, timedelta
from tecton import Entity, PushConfig, StreamFeatureView, StreamSource
from tecton.types import Field, Int64, String, Timestamp
user = Entity(name="user", join_keys=["user_id"])
impressions = StreamSource(
    name="impressions",
    schema=[Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)],
    stream_config=PushConfig(),
)
"""
VIEW = """
view_{number} = StreamFeatureView(
    name="view_{number}", source=impressions, entities=[user], online=True, offline=True,
    feature_start_time=datetime(2022, 1, 1), ttl=timedelta(days=7), description="{about}",
)
"""
# The command with jobs that are only remembered.
UNDONE = """
import sys
from tecton.bootstrap import Backend
from tecton.testing import RecordingLauncher
launcher = RecordingLauncher()
Backend.launcher = property(lambda self: launcher)
from tecton.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
DAY = timedelta(days=1)


def main() -> None:
    """Print what each command took."""
    parser = argparse.ArgumentParser(description="Time commands with many feature views.")
    parser.add_argument("--views", type=int, default=200)
    parser.add_argument("--days", type=int, default=365)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-views-") as name:
        folder = Path(name)
        try:
            _play(folder, arguments.views, arguments.days)
        finally:
            EmbeddedRedis(str(folder / ".tecton_store")).stop()


def _play(folder: Path, views: int, days: int) -> None:
    _write(folder, views, "first")
    _tecton(folder, "init")
    _tecton(folder, "workspace", "create", "prod", "--live")
    print(f"{views} feature views, seconds:")
    _show("plan, all new", _tecton(folder, "plan"), views)
    _show("apply --no-wait, all new", _tecton(folder, "apply", "-y", "--no-wait"), views)
    backend = Backend(Settings(store=str(folder / ".tecton_store")))
    state = backend.registry.latest("prod")
    assert state is not None, "it has just been applied"  # noqa: S101
    _end(backend, state)
    _show("plan, nothing changed", _tecton(folder, "plan"), views)
    _write(folder, views, "second")
    _show("apply, all descriptions changed", _tecton(folder, "apply", "-y"), views)
    _show("run-due, nothing due", _tecton(folder, "materialize", "run-due"), views)
    backend.runs.record(*_history(state, days))
    _show(f"run-due, after {days} days of runs", _tecton(folder, "materialize", "run-due"), views)
    status = _tecton(folder, "materialization-status", "view_0", "--limit", "10")
    _show("materialization-status", status, views)
    _show("freshness", _tecton(folder, "freshness"), views)


def _write(folder: Path, views: int, about: str) -> None:
    text = [VIEW.format(number=number, about=about) for number in range(views)]
    (folder / "definitions.py").write_text(HEAD + "".join(text))


def _tecton(folder: Path, *arguments: str) -> tuple[float, float]:
    """How long a command takes as a process, in seconds, and of the CPU."""
    environ = {key: text for key, text in os.environ.items() if not key.startswith("TECTON_")}
    began, used = time.perf_counter(), _cpu()
    subprocess.run(
        [sys.executable, "-c", UNDONE, *arguments],
        cwd=folder,
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began, _cpu() - used


def _cpu() -> float:
    """CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end(backend: Backend, state: WorkspaceState) -> None:
    """Say that all that was started has ended well."""
    now = datetime.now(timezone.utc)
    attempts = backend.runs.attempts(state.folder)
    done = [run._replace(state=SUCCESS, ended=now) for run in attempts if run.state == RUNNING]
    care = new_run(state, None, MAINTENANCE, now)._replace(state=SUCCESS)
    backend.runs.record(*done, care)
    backend.online.mark_loaded([view.online_id for view in state.views])
    for name in {run.view_id for run in done}:
        backend.claims.release(state.folder, name, done[0].owner)


def _history(state: WorkspaceState, days: int) -> Iterator[Run]:
    """Two runs a day of each view, with their beginnings and ends."""
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    for view in state.views:
        for day in range(days):
            end = today - day * DAY
            for kind in (PERIOD, PUSHED):
                run = new_run(state, view, kind, end)._replace(start=end - DAY, end=end)
                yield run
                yield run._replace(state=SUCCESS, ended=end + timedelta(minutes=1))


def _show(what: str, times: tuple[float, float], views: int) -> None:
    seconds, used = times
    each = 1000 * seconds / views
    print(f"  {what:36} {seconds:6.2f} ({used:5.2f} of CPU) {each:6.1f} ms a view", flush=True)


if __name__ == "__main__":
    main()
