"""
`tecton scheduler`: runs what is due, again and again (docs/decisions/0036).

It keeps nothing itself: what is due is derived each time, so it may be killed at any time, and two
of them start nothing twice.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import click

from tecton.cli.session import Session, workspace_option

STOP_SECONDS = 30.0
"""How long the commands that run may take to end when the scheduler is told to."""


@click.command()
@workspace_option
@click.option(
    "--every", type=click.IntRange(1, 86_400), default=60, help="Seconds; default 60.", metavar="N"
)
@click.pass_obj
def scheduler(session: Session, workspace: str | None, every: int) -> None:
    """Run `tecton materialize run-due` every minute until it is told to end."""
    # Wrong settings or names shall end it now, not fail every minute.
    _ = session.backend
    if workspace is not None:
        session.workspace(workspace)
    arguments = ["materialize", "run-due", "--quiet"]
    arguments += [] if workspace is None else ["--workspace", workspace]
    click.echo(f"Running what is due every {every} s; Ctrl-C ends it.")
    repeat(Command(arguments, session.environ), timedelta(seconds=every))
    click.echo("The scheduler has ended.")


class Command:
    """A `tecton` command that is run as a process of its own, one at a time.

    Args:
        arguments: What comes after `tecton`.
        environ: The process's environment.
    """

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self._line = [sys.executable, "-m", "tecton.cli.main", *arguments]
        self._environ = dict(environ)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def __call__(self) -> None:
        """Run it to its end; what it says goes where ours does."""
        with self._lock:
            if self._is_over:
                return
            process = self._process = subprocess.Popen(
                self._line,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                # An interrupt on the terminal reaches us alone, and we end it.
                start_new_session=True,
            )
        process.wait()

    def stop(self) -> None:
        """End it if it runs, with the job that runs for it; it is not run again."""
        with self._lock:
            self._is_over = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def repeat(command: Command, every: timedelta) -> None:
    """
    Run a command now and then again and again, until an interrupt.

    Args:
        command: What is run; if it takes longer, the next time comes after it.
        every: From start to start.
    """
    blocking = _blocking_scheduler()
    blocking.add_job(command, "interval", seconds=every.total_seconds(), next_run_time=_now())
    try:
        blocking.start()
    except (KeyboardInterrupt, SystemExit):
        command.stop()
        blocking.shutdown()


def _blocking_scheduler() -> Any:
    try:
        from apscheduler.executors.pool import (  # type: ignore[import-untyped]  # it has no types
            ThreadPoolExecutor,
        )
        from apscheduler.schedulers.blocking import (  # type: ignore[import-untyped]  # as above
            BlockingScheduler,
        )
    except ImportError as exc:
        raise click.ClickException(
            f"{exc.name} is not installed for {sys.executable}; install the extra [scheduler]"
        ) from exc
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    executors = {"default": ThreadPoolExecutor(1)}
    return BlockingScheduler(executors=executors, job_defaults=defaults, timezone=timezone.utc)


def _now() -> datetime:
    return datetime.now(timezone.utc)
