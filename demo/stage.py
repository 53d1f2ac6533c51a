"""
Where the demo plays: a copy of the feature repo and a store, both gone afterwards, with Redis, the
command line and the service.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Event

from demo.console import Console
from demo.data import FEATURE_REPO

ROOT = FEATURE_REPO.parent
START_SECONDS = 30.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Stage:
    """A fresh store and the processes that work on it.

    Args:
        repo: The copy of `feature_repo` in which they run.
        environ: Their environment.
        console: Where their output goes.
    """

    repo: Path
    environ: Mapping[str, str]
    console: Console

    def tecton(self, *arguments: str) -> str:
        """Run one command of the real command line; returns what it printed."""
        self.console.say(f"$ tecton {shlex.join(arguments)}")
        return self.run([*tecton_command(), *arguments])

    def run(self, command: list[str]) -> str:
        """Run a command, pass on what it prints, and end the demo if it fails."""
        process = subprocess.Popen(
            command,
            cwd=self.repo,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = []
        with process:
            for line in process.stdout or ():
                self.console.say("   " + line.rstrip())
                lines.append(line)
        if process.returncode != 0:
            raise SystemExit(f"{Path(command[0]).name} failed with code {process.returncode}")
        return "".join(lines)

    @contextmanager
    def quiet(self, log: str) -> Iterator[None]:
        """Keep what this process and its JVM write to stderr in a file; show it if all fails."""
        path = self.repo.parent / log
        kept = os.dup(2)
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                self.console.say(path.read_text("utf-8", "replace"))

    @contextmanager
    def service(self) -> Iterator[str]:
        """The ingest service on a free port; gives its URL and stops it afterwards."""
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        self.console.say(f"$ python -m ingest_api --port {port}")
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest_api", "--port", str(port)],
            cwd=self.repo,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            _await_readiness(port, process)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def fresh_stage(console: Console) -> Iterator[Stage]:
    """
    A stage in a new folder under the temp folder.

    The variables are set in this process too, as in a shell that has exported them. In the end the
    embedded Redis is stopped and the folder removed.
    """
    folder = Path(tempfile.mkdtemp(prefix="emberstore-demo-"))
    repo = folder / FEATURE_REPO.name
    shutil.copytree(FEATURE_REPO, repo, ignore=shutil.ignore_patterns("data", ".tecton_*"))
    before = dict(os.environ)
    inherited = {k: v for k, v in before.items() if not k.startswith("TECTON_")}
    paths = [str(ROOT), *filter(None, [before.get("PYTHONPATH")])]
    environ = {
        **inherited,
        "TECTON_STORE": str(folder / "store"),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }
    _become(environ)
    try:
        yield Stage(repo, environ, console)
    finally:
        stop = [*tecton_command(), "redis", "stop"]
        subprocess.run(stop, cwd=repo, env=environ, stdout=subprocess.DEVNULL)
        _become(before)
        shutil.rmtree(folder, ignore_errors=True)


def tecton_command() -> list[str]:
    """The command of this interpreter's environment."""
    installed = Path(sys.executable).with_name("tecton")
    if installed.is_file():
        return [str(installed)]
    return [sys.executable, "-m", "tecton.cli.main"]


def _become(environ: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    os.environ.update(environ)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_readiness(port: int, process: subprocess.Popen[bytes]) -> None:
    pause = Event()
    for _ in range(int(START_SECONDS / POLL_SECONDS)):
        if process.poll() is not None:
            raise SystemExit(f"the service ended with code {process.returncode}")
        if _is_ready(port):
            return
        pause.wait(POLL_SECONDS)
    raise SystemExit(f"the service was not ready within {START_SECONDS:g} s")


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
