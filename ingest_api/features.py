"""
`POST /api/v1/feature-service/get-features`: join keys → a feature vector.
"""

from __future__ import annotations

import time

from flask import Flask, Response

from ingest_api import wire
from ingest_api.rates import charge_request
from ingest_api.service import Service, json_answer

API = "/api/v1/"
"""Everything below answers errors as get-features does."""

PREFIX = API + "feature-service/"


def add_features(app: Flask, service: Service) -> None:
    """Give *app* the endpoints that serve features."""

    @app.post(PREFIX + "get-features", provide_automatic_options=False)
    def get_features() -> Response:
        started = time.perf_counter()
        account = service.caller()
        charge_request(service.settings, service.requests, account)
        asked = wire.feature_request(service.body(), service.settings)
        values = service.serving.get_features(
            asked.workspace, asked.service, asked.join_keys, account, service.clock()
        )
        seconds = time.perf_counter() - started
        state = service.catalog.workspace(asked.workspace)
        if state is not None:
            service.metrics.served(state.id, asked.service, seconds)
        return json_answer(wire.feature_answer(values, asked.metadata, seconds))
