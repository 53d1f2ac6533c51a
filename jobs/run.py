"""
What all jobs share: from the environment to the stores, from a failure to one line.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from tecton.applied import AppliedView, WorkspaceState, new_id
from tecton.bootstrap import Backend, open_online, whoami
from tecton.errors import JobFailed, NotFound
from tecton.functions.transformation import turned_off
from tecton.locations import BatchRules, for_spark
from tecton.settings import Settings
from tecton.spark.failures import FAILURES, one_line
from tecton.spark.session import cancel_work, get_session, mark_work, quiet
from tecton.spark.tables import JobStores
from tecton.timestamps import from_micros, parse_rfc3339

Work = Callable[[JobStores, WorkspaceState], Iterator[object]]


def run(workspace: str, work: Work, owner: str | None = None) -> None:
    """
    Do a job's work in a workspace and print a line for each report; ends the process.

    Args:
        workspace: Its name.
        work: Yields reports.
        owner: Who has announced the attempts that the work carries out; None: it announces them.
    """
    # Told to end, it says so in the records.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        backend = Backend(Settings.from_env(os.environ, Path.cwd()))
        state = _state(backend, workspace)
        stores = _stores(backend, state, owner or new_id())
        with stores.journal.alive(state.folder, partial(cancel_work, stores.spark, stores.owner)):
            for report in work(stores, state):
                say(report)
        stores.journal.give_up(state.folder, "the job ended before it came to this")
    except KeyboardInterrupt:
        sys.exit("error: the job was interrupted")
    except FAILURES as exc:
        sys.stdout.flush()
        print(f"error: {one_line(exc)}", file=sys.stderr, flush=True)
        sys.exit(1)


def say(report: object) -> None:
    """Print a line at once: whoever started the job shows its progress."""
    try:
        print(report, flush=True)
    except BrokenPipeError:
        # Who started the job was killed. The work goes on; what it did is in the records.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def chosen_views(state: WorkspaceState, names: list[str] | None) -> list[AppliedView]:
    """
    The views that a job is about.

    Args:
        state: The workspace.
        names: Those that were named; None: all that are materialised.

    Raises:
        NotFound: There is no view of one of the names.
        JobFailed: One of them is not materialised.
    """
    if not names:
        return [view for view in state.views if view.online or view.offline]
    views = []
    for name in dict.fromkeys(names):
        view = state.view_by_name.get(name)
        if view is None:
            raise NotFound(f"workspace {state.name} has no feature view {name}")
        if not (view.online or view.offline):
            raise JobFailed(f"feature view {name} has neither online=True nor offline=True")
        views.append(view)
    return views


def add_owner(parser: argparse.ArgumentParser) -> None:
    """Let whoever starts the job say under which name it has announced what shall be done."""
    parser.add_argument(
        "--owner", metavar="ID", help="carry out what was announced under this id, nothing else"
    )


def moment(text: str) -> datetime:
    """An argument that is a time, RFC 3339 with an offset."""
    micros = parse_rfc3339(text)
    if micros is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time as 2023-01-02T00:00:00Z")
    return from_micros(micros)


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(timezone.utc)


def wait_until(at: datetime) -> None:
    """Return when the clock shows at least *at*."""
    while (remaining := (at - utc_now()).total_seconds()) > 0:
        time.sleep(remaining)


def _state(backend: Backend, workspace: str) -> WorkspaceState:
    state = backend.registry.latest(workspace)
    if state is None or state.deleted:
        raise NotFound(f"there is no workspace {workspace} in the store {backend.settings.store}")
    if not state.live:
        raise JobFailed(f"{workspace} is a development workspace, which does not materialise")
    return state if backend.settings.functions else turned_off(state)


def _stores(backend: Backend, state: WorkspaceState, owner: str) -> JobStores:
    settings = backend.settings
    spark = get_session(os.environ, settings.spark_memory)
    quiet(spark)
    mark_work(spark, owner)
    # A job without online views must not need Redis.
    url = backend.redis_url if any(view.online for view in state.views) else ""
    opens = partial(open_online, url)
    rules = BatchRules(settings.batch_roots, settings.max_key_bytes)
    logs, runs = backend.delta_logs, backend.runs
    return JobStores(
        spark,
        for_spark(settings.store),
        logs,
        runs,
        opens,
        utc_now,
        rules=rules,
        erasures=backend.erasures,
        ledger=backend.ledger,
        claims=backend.claims,
        owner=owner,
        who=whoami(os.environ),
        log=settings.job_log or spark.conf.get("spark.app.id", "") or "",
    )
