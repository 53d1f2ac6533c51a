"""
The Flask application: its routes, and every failure as one of the documented bodies.
"""

from __future__ import annotations

import logging
import uuid

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as NoEndpoint

from ingest_api import wire
from ingest_api.features import API, add_features
from ingest_api.ingest import add_ingest
from ingest_api.log import log_requests, note
from ingest_api.observability import add_observability
from ingest_api.openapi import add_openapi
from ingest_api.receiving import Receiver, refuse_odd_spelling
from ingest_api.service import Service, json_answer
from tecton.errors import (
    InvalidRecords,
    RateLimited,
    RequestRunning,
    StoreUnavailable,
    TectonError,
    Unavailable,
)

STORE_DOWN = "a store of this service does not answer; nothing is half done, send it again"

_log = logging.getLogger(__name__)


def create_app(service: Service) -> Flask:
    """The application around a service; it starts and stops nothing."""
    app = Flask("ingest_api", static_folder=None)
    app.url_map.merge_slashes = False

    @app.before_request
    def identify() -> None:
        g.request_id = uuid.uuid4().hex

    log_requests(app)

    receiver = Receiver(service.settings.max_body_bytes)

    @app.before_request
    def receive() -> None:
        # Read before any answer: a client that is still sending would not see an early one.
        service.receive(receiver)
        refuse_odd_spelling()

    @app.teardown_request
    def release(_: BaseException | None) -> None:
        receiver.release()

    @app.after_request
    def name_request(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        return response

    add_ingest(app, service)
    add_features(app, service)
    _add_health(app, service)
    add_observability(app, service)
    add_openapi(app, service.settings)
    _handle_errors(app)
    return app


def _add_health(app: Flask, service: Service) -> None:
    @app.get("/livez", provide_automatic_options=False)
    def livez() -> Response:
        return json_answer({"status": "alive"})

    @app.get("/readyz", provide_automatic_options=False)
    def readyz() -> Response:
        if service.is_ready():
            return json_answer({"status": "ready"})
        return json_answer({"status": "starting"}, 503)


def _handle_errors(app: Flask) -> None:
    app.register_error_handler(TectonError, _known)

    @app.errorhandler(NoEndpoint)
    def no_endpoint(error: NoEndpoint) -> Response:
        return _failure(f"no endpoint {request.path[:100]}", wire.NO_ENDPOINT)

    @app.errorhandler(MethodNotAllowed)
    def no_method(error: MethodNotAllowed) -> Response:
        message = f"method {request.method[:20]} is not allowed here"
        response = _failure(message, wire.METHOD_NOT_ALLOWED)
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.code and error.code < 500:
            return _failure(error.name, wire.Status(error.code, "RequestValidationError", 3))
        _log.error("request %s failed", g.request_id, exc_info=error)
        return _failure(f"internal error, request id {g.request_id}", wire.INTERNAL)


def _known(error: TectonError) -> Response:
    status = wire.status_of(error)
    note(error=status.error_type)
    if isinstance(error, InvalidRecords):
        return json_answer(wire.record_errors(error), status.http)
    message = str(error)
    if isinstance(error, StoreUnavailable):
        # Paths and drivers' texts are for whoever runs the service.
        _log.warning("request %s: %s", g.request_id, message)
        message = STORE_DOWN
    if status is wire.INTERNAL:
        _log.error("request %s: %s", g.request_id, message)
        message = f"{message}; nothing was written, request id {g.request_id}"
    response = _failure(message, status)
    if isinstance(error, (Unavailable, RateLimited, RequestRunning)):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _failure(message: str, status: wire.Status) -> Response:
    """An error body in the shape that the path's documentation gives."""
    is_features = request.path.startswith(API)
    shape = wire.feature_error if is_features else wire.ingest_error
    return json_answer(shape(message, status), status.http)
