"""`tecton scheduler`, and the examples of other schedulers."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.cli_fixtures import Cli, cli

__all__ = ["cli"]

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import sys
from tecton.cli import scheduler
code = sys.argv.pop()
class Command(scheduler.Command):
    def __init__(self, arguments, environ):
        super().__init__(arguments, environ)
        print("would run", *arguments, flush=True)
        self._line = [sys.executable, "-c", code]
scheduler.Command = Command
from tecton.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def start(line: Cli, code: str, *arguments: str) -> subprocess.Popen[str]:
    """The scheduler as a process; it runs Python code in place of run-due."""
    environ = {key: text for key, text in os.environ.items() if not key.startswith("TECTON_")}
    return subprocess.Popen(
        [sys.executable, "-c", CODE, "scheduler", *arguments, code],
        cwd=line.folder,
        env={**environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """What the process and its commands print, as it comes."""
    assert process.stdout is not None
    return (text.rstrip("\n") for text in process.stdout)


def test_it_runs_what_is_due_again_and_again(cli: Cli) -> None:
    """At once, then each time that the interval has passed; SIGTERM ends it."""
    process = start(cli, "print('tick')", "--every", "1")
    lines = lines_of(process)
    assert next(lines) == "Running what is due every 1 s; Ctrl-C ends it."
    assert next(lines) == "would run materialize run-due --quiet"
    assert [next(lines) for _ in range(3)] == ["tick"] * 3
    process.send_signal(signal.SIGTERM)
    rest = list(lines)
    assert process.wait(60) == 0
    assert rest[-1] == "The scheduler has ended."


def test_what_takes_long_is_not_started_twice_and_ends_with_it(cli: Cli) -> None:
    """The next run comes after it; told to end, the scheduler ends what runs for it."""
    code = "import os, time; print('begun', os.getpid(), flush=True); time.sleep(600)"
    cli.ok("workspace", "create", "prod", "--live")
    process = start(cli, code, "--every", "1", "-w", "prod")
    lines = lines_of(process)
    next(lines)
    assert next(lines) == "would run materialize run-due --quiet --workspace prod"
    begun = next(lines)
    process.send_signal(signal.SIGINT)
    rest = list(lines)
    assert process.wait(60) == 0
    assert rest == ["The scheduler has ended."]
    assert not Path(f"/proc/{begun.split()[1]}").exists()


def test_wrong_workspace_ends_it_at_once(cli: Cli) -> None:
    """It does not fail every minute."""
    assert "there is no workspace nope" in cli.fails("scheduler", "-w", "nope")


def test_the_airflow_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The DAG is made, with one task that runs what is due and leaves retries to us."""
    made: dict[str, Any] = {}

    class Dag:
        def __init__(self, **arguments: Any) -> None:
            made["dag"] = arguments

        def __enter__(self) -> Dag:
            return self

        def __exit__(self, *_: object) -> None:
            made["is_closed"] = True

    def operator(**arguments: Any) -> None:
        assert "is_closed" not in made
        made["task"] = arguments

    path = "airflow.providers.standard.operators.bash"
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(parts[end - 1]))
    vars(sys.modules["airflow"])["DAG"] = Dag
    vars(sys.modules[path])["BashOperator"] = operator

    runpy.run_path(str(ROOT / "docs" / "examples" / "airflow_dag.py"))

    dag, task = made["dag"], made["task"]
    assert (timedelta(minutes=5), False, 1) == (
        dag["schedule"],
        dag["catchup"],
        dag["max_active_runs"],
    )
    assert ("tecton materialize run-due", 0) == (task["bash_command"], task["retries"])
