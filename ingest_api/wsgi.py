"""
What the WSGI server loads in its worker: stores, threads and the application, wired once.
"""

from __future__ import annotations

import atexit
import logging
import os
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, Thread

from flask import Flask

from ingest_api.app import create_app
from ingest_api.log import log_to_stdout
from ingest_api.service import Service
from tecton.applied import WorkspaceState
from tecton.bootstrap import Backend
from tecton.catalog import Catalog, Refresher
from tecton.errors import Unavailable
from tecton.ingest import Ingest
from tecton.serving import Serving
from tecton.settings import Settings
from tecton.stores import PushLog

RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


def create() -> Flask:
    """The application on the stores that the environment names."""
    log_to_stdout()
    return serve(Settings.from_env(os.environ, Path.cwd()))


def serve(settings: Settings) -> Flask:
    """
    Start the service's threads on *settings*' stores and give the application around them.

    Everything ends when the interpreter does: what was accepted is finished first.
    """
    backend = Backend(settings)
    slot = backend.take_writer_slot()
    catalog = Catalog(backend.registry, backend.access, settings.future_tolerance)
    catalog.refresh()

    def open_log(state: WorkspaceState) -> PushLog:
        return backend.open_push_log(state, slot.number)

    ingest = Ingest(catalog, open_log, backend.online, _now, settings.max_queued_records)
    recovery = _Recovery(ingest)
    refresher = Refresher(catalog)
    refresher.start()
    recovery.start()

    def stop() -> None:
        recovery.stop()
        refresher.stop()
        ingest.close()
        backend.checkpointer.close()
        slot.release()

    atexit.register(stop)
    serving = Serving(catalog, backend.online)
    return create_app(
        Service(
            settings=settings,
            catalog=catalog,
            ingest=ingest,
            serving=serving,
            requests=backend.requests,
            clock=_now,
            is_ready=lambda: recovery.is_complete,
        )
    )


class _Recovery:
    """Replays what the push logs hold and Redis lacks, from a thread, until it has succeeded."""

    def __init__(self, ingest: Ingest) -> None:
        self.is_complete = False
        self._ingest = ingest
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="recovery", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Try no more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set() and not self._is_recovered():
            self._stopping.wait(RETRY_SECONDS)

    def _is_recovered(self) -> bool:
        try:
            self._ingest.recover()
        except Unavailable as exc:
            _log.warning("the push logs are not replayed yet: %s", exc)
            return False
        self.is_complete = True
        return True


def _now() -> datetime:
    return datetime.now(timezone.utc)
