"""
From the crash of a job to its next attempt, with the schedule and the waits as they are:

    python -m benchmarks.crash [--every 60]

A job that `tecton apply --no-wait` has started is killed (SIGKILL) without a word. `tecton
scheduler` runs beside it. The job claims, gives signs of life and records as any other, and has no
Spark: a JVM's start comes on top. It takes seven minutes.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.many_views import _write
from tecton.adapters.embedded_redis import EmbeddedRedis
from tecton.attempts import FIRST_WAIT
from tecton.journal import BEAT, LEASE

JOB = """
import os, sys, time
from datetime import datetime, timezone
from tecton.bootstrap import Backend
from tecton.journal import Journal
from tecton.settings import Settings
store, owner = sys.argv[1:]
backend = Backend(Settings(store=store))
state = backend.registry.latest("prod")
clock = lambda: datetime.now(timezone.utc)
journal = Journal(backend.runs, backend.claims, clock, owner, "a job")
with journal.alive(state.folder, lambda: None):
    [run] = journal.adopt(state.folder)
    with journal.carry_out(run):
        with open("begun", "w") as file:
            file.write(f"{run.attempt} {os.getpid()}")
        time.sleep(3600)  # it is killed long before
"""

# The commands, with jobs that are the script above.
COMMAND = f"""
import subprocess, sys
JOB = {JOB!r}
class Launcher:
    def start(self, job, environ):
        line = [sys.executable, "-c", JOB, environ["TECTON_STORE"], job.arguments[3]]
        self.process = subprocess.Popen(line, start_new_session=True)
        return "nowhere"
    def run(self, job, environ):
        self.start(job, environ)
        yield "begun"
        self.process.wait()
from tecton.bootstrap import Backend
Backend.launcher = property(lambda self: Launcher())
from tecton.cli import scheduler
class Command(scheduler.Command):
    def __init__(self, arguments, environ):
        super().__init__(arguments, environ)
        self._line = [sys.executable, "-c", CODE, *arguments]
scheduler.Command = Command
from tecton.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def main() -> None:
    """Print how long it took."""
    parser = argparse.ArgumentParser(description="Time the retry of a job that was killed.")
    parser.add_argument("--every", type=int, default=60, help="seconds between calls")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as name:
        folder = Path(name)
        try:
            _play(folder, arguments.every)
        finally:
            EmbeddedRedis(str(folder / ".tecton_store")).stop()


def _play(folder: Path, every: int) -> None:
    _write(folder, 1, "a view")
    for arguments in (["init"], ["workspace", "create", "prod", "--live"]):
        _start(folder, *arguments).wait()
    _start(folder, "apply", "-y", "--no-wait").wait()
    scheduler = _start(folder, "scheduler", "--every", str(every))
    process = _begun(folder, 1)
    try:
        os.kill(process, signal.SIGKILL)
        crashed = time.monotonic()
        process = _begun(folder, 2)
        took = timedelta(seconds=round(time.monotonic() - crashed))
    finally:
        scheduler.terminate()
        scheduler.wait()
        os.kill(process, signal.SIGKILL)
    first, last = LEASE - BEAT + FIRST_WAIT, LEASE + FIRST_WAIT + timedelta(seconds=every)
    print(f"From the crash to the next attempt: {took}; derived: {first} to {last}.")


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environ = {key: text for key, text in os.environ.items() if not key.startswith("TECTON_")}
    code = f"CODE = {COMMAND!r}\n{COMMAND}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _begun(folder: Path, attempt: int) -> int:
    """The process of an attempt, once it is at work."""
    while True:
        text = (folder / "begun").read_text().split() if (folder / "begun").exists() else []
        if text[:1] == [str(attempt)]:
            return int(text[1])
        time.sleep(0.1)  # between two looks; minutes are measured


if __name__ == "__main__":
    main()
