"""
What the WSGI server loads in its worker: stores, threads and the application, wired once.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from multiprocessing.util import Finalize
from pathlib import Path

from flask import Flask

from ingest_api.app import create_app
from ingest_api.log import log_to_stdout
from ingest_api.metrics import Metrics
from ingest_api.periodic import Periodic
from ingest_api.service import Service
from ingest_api.tally import Tally
from ingest_api.upkeep import Upkeep
from tecton.applied import WorkspaceState
from tecton.bootstrap import Backend
from tecton.catalog import Catalog
from tecton.committer import Clock
from tecton.ingest import Ingest
from tecton.schema import RecordLimits
from tecton.serving import Serving
from tecton.settings import Settings
from tecton.stores import PushLog

CLAIM_SECONDS = 3.0
"""Between two renewals of a claim on a slot, which lasts several times as long."""


def create() -> Flask:
    """The application on the stores that the environment names."""
    log_to_stdout()
    return serve(Settings.from_env(os.environ, Path.cwd()))


def _now() -> datetime:
    return datetime.now(timezone.utc)


def serve(settings: Settings, clock: Clock = _now) -> Flask:
    """
    Start the service on *settings*' stores and give the application around it.

    Everything ends when the interpreter does: what was accepted is finished first.

    Args:
        settings: Of this process.
        clock: Now, UTC-aware.
    """
    backend = Backend(settings)
    slots = backend.take_writer_slots()
    metrics = Metrics()
    limits = RecordLimits(settings.max_key_bytes, settings.max_string_bytes)
    catalog = Catalog(
        backend.registry,
        backend.access,
        settings.future_tolerance,
        limits,
        lambda views: backend.online.unloaded(views),
    )

    def open_log(state: WorkspaceState) -> PushLog:
        return metrics.watched(backend.open_push_log(state, slots.of(state)), state.id)

    functions = backend.functions
    ingest = Ingest(
        catalog,
        open_log,
        backend.online,
        clock,
        settings.max_queued_records,
        functions,
        change_slot=slots.move,
        erasures=backend.erasures,
        tables=backend.push_tables,
    )
    tally = Tally(backend.audit, clock)
    upkeep = Upkeep(backend, catalog, ingest, tally, clock)
    upkeep.start()
    claims = Periodic("claims on writer slots", slots.renew, CLAIM_SECONDS)
    claims.start()

    def stop() -> None:
        upkeep.stop()
        ingest.close()
        claims.stop()
        upkeep.finish()
        functions.close()
        backend.checkpointer.close()
        slots.release()

    # The server's worker is a child of `multiprocessing`, which passes `atexit` by at its end.
    Finalize(None, stop, exitpriority=0)
    return create_app(
        Service(
            settings=settings,
            catalog=catalog,
            ingest=ingest,
            serving=Serving(catalog, backend.online),
            requests=backend.requests,
            clock=clock,
            is_ready=lambda: upkeep.is_ready,
            tally=tally,
            metrics=metrics,
        )
    )
