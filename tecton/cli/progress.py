"""
A job's lines as they come; on a terminal with the elapsed time below them.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from tecton.cli.render import printable

_CLEAR_LINE = "\r\033[K"


def show_job(title: str, lines: Iterable[str], is_terminal: bool) -> None:
    """
    Print each line that a job reports, until it ends.

    Args:
        title: What the job does, for the line with the time.
        lines: From `JobLauncher.run`; raises `JobFailed` through this.
        is_terminal: Show the elapsed time on stderr.
    """
    with _elapsed(title) if is_terminal else _silence():
        for line in lines:
            if is_terminal:
                click.echo(_CLEAR_LINE, nl=False, err=True)
            click.echo(printable(line))


@contextmanager
def _silence() -> Iterator[None]:
    yield


@contextmanager
def _elapsed(title: str) -> Iterator[None]:
    """Keep one line on stderr that counts the seconds."""
    is_over = threading.Event()
    started = time.monotonic()

    def tick() -> None:
        while not is_over.is_set():
            sys.stderr.write(f"{_CLEAR_LINE}⏳ {title}: {time.monotonic() - started:.0f} s")
            sys.stderr.flush()
            is_over.wait(1)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        is_over.set()
        ticker.join()
        sys.stderr.write(_CLEAR_LINE)
        sys.stderr.flush()
