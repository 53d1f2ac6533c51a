"""
What the WSGI server loads in its worker: stores, threads and the application, wired once.
"""

from __future__ import annotations

import atexit
import logging
import os
from datetime import datetime, timezone
from pathlib import Path
from threading import Thread

from flask import Flask

from ingest_api.app import Service, create_app
from tecton.applied import WorkspaceState
from tecton.bootstrap import Backend
from tecton.catalog import Catalog, Refresher
from tecton.errors import Unavailable
from tecton.ingest import Ingest
from tecton.serving import Serving
from tecton.settings import Settings
from tecton.stores import PushLog

_log = logging.getLogger(__name__)


def create() -> Flask:
    """The application on the stores that the environment names."""
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
    recovered: list[bool] = []

    def recover() -> None:
        try:
            ingest.recover()
        except Unavailable as exc:
            # The first request of each workspace tries again.
            _log.warning("not all push logs are replayed yet: %s", exc)
        recovered.append(True)

    refresher = Refresher(catalog)
    refresher.start()
    Thread(target=recover, name="recovery", daemon=True).start()

    def stop() -> None:
        refresher.stop()
        ingest.close()
        backend.checkpointer.close()
        slot.release()

    atexit.register(stop)
    serving = Serving(catalog, backend.online)
    return create_app(Service(settings, catalog, ingest, serving, _now, lambda: bool(recovered)))


def _now() -> datetime:
    return datetime.now(timezone.utc)
