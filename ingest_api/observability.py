"""
The endpoint of the metrics: who may see which.
"""

from __future__ import annotations

from flask import Flask, Response

from ingest_api.metrics import count_answers, openmetrics
from ingest_api.service import Service
from tecton.access import Role

PATH = "/api/v1/observability/metrics"


def add_observability(app: Flask, service: Service) -> None:
    """Count what *app* answers, and give it the endpoint that shows it."""
    count_answers(app, service.metrics)

    @app.get(PATH, provide_automatic_options=False)
    def metrics() -> Response:
        states = service.catalog.visible(service.caller(), Role.VIEWER)
        names = {state.id: state.name for state in sorted(states, key=lambda state: state.name)}
        service.metrics.keep([state.id for state in service.catalog.workspaces()])
        # No rate is charged and no store is asked: this answers when they do not.
        return openmetrics(service.metrics.text(names, service.ingest.queued(), service.is_ready()))
