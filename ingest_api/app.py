"""
The Flask application: routes, authentication, and every failure as one of the documented bodies.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as NoEndpoint

from ingest_api import wire
from tecton.access import ServiceAccount
from tecton.catalog import Catalog
from tecton.errors import InvalidRecords, RateLimited, RequestTooLarge, TectonError, Unavailable
from tecton.ingest import Clock, Ingest
from tecton.serving import Serving
from tecton.settings import Settings

SCHEME = "Tecton-key "
FEATURE_PATHS = "/api/v1/feature-service/"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """What the routes call.

    Args:
        settings: Limits.
        catalog: Definitions and roles.
        ingest: The write path.
        serving: The read path.
        clock: Now.
        is_ready: May requests be sent here?
    """

    settings: Settings
    catalog: Catalog
    ingest: Ingest
    serving: Serving
    clock: Clock
    is_ready: Callable[[], bool]


def create_app(service: Service) -> Flask:
    """The application around a service; it starts and stops nothing."""
    app = Flask("ingest_api", static_folder=None)

    @app.before_request
    def receive() -> None:
        g.request_id = uuid.uuid4().hex
        # Read before any answer: a client that is still sending would not see an early one.
        g.body = _read_body(service.settings.max_body_bytes)

    @app.after_request
    def name_request(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.get("request_id") or uuid.uuid4().hex
        return response

    @app.post("/ingest", provide_automatic_options=False)
    @app.post("/v2/ingest", provide_automatic_options=False)
    def ingest() -> Response:
        account = _caller(service)
        asked = wire.ingest_request(_body(service), service.settings.max_records)
        counts = service.ingest(asked, account)
        return _json(wire.ingest_answer(asked.workspace, counts))

    @app.post(FEATURE_PATHS + "get-features", provide_automatic_options=False)
    def get_features() -> Response:
        started = time.perf_counter()
        account = _caller(service)
        asked = wire.feature_request(_body(service))
        values = service.serving.get_features(
            asked.workspace, asked.service, asked.join_keys, account, service.clock()
        )
        seconds = time.perf_counter() - started
        return _json(wire.feature_answer(values, asked.metadata, seconds))

    @app.get("/livez")
    def livez() -> Response:
        return _json({"status": "alive"})

    @app.get("/readyz")
    def readyz() -> Response:
        if service.is_ready():
            return _json({"status": "ready"})
        return _json({"status": "starting"}, 503)

    _handle_errors(app)
    return app


def _caller(service: Service) -> ServiceAccount:
    """Who calls; a repeated header is one that nobody can trust."""
    headers = request.headers.getlist("Authorization")
    header = headers[0] if len(headers) == 1 else ""
    key = header[len(SCHEME) :] if header.startswith(SCHEME) else None
    return service.catalog.authenticate(key)


def _read_body(limit: int) -> bytes | None:
    """The body, whatever its content type says (curl sends a form's); None if it is too large."""
    if request.content_length is not None and request.content_length > limit:
        return None
    request.max_content_length = limit + 1
    body = request.stream.read(limit + 1)
    return body if len(body) <= limit else None


def _body(service: Service) -> bytes:
    """The body that was received.

    Raises:
        RequestTooLarge: It was over the limit.
    """
    body: bytes | None = g.body
    if body is None:
        raise RequestTooLarge(f"the body may hold {service.settings.max_body_bytes} bytes")
    return body


def _handle_errors(app: Flask) -> None:
    @app.errorhandler(TectonError)
    def known(error: TectonError) -> Response:
        status = wire.status_of(error)
        if isinstance(error, InvalidRecords):
            return _json(wire.record_errors(error), status.http)
        response = _failure(str(error), status)
        if isinstance(error, (Unavailable, RateLimited)):
            response.headers["Retry-After"] = str(error.retry_after)
        return response

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
        request_id = g.get("request_id", "")
        if isinstance(error, HTTPException) and error.code and error.code < 500:
            return _failure(error.name, wire.Status(error.code, "RequestValidationError", 3))
        _log.error("request %s failed", request_id, exc_info=error)
        return _failure(f"internal error, request id {request_id}", wire.INTERNAL)


def _failure(message: str, status: wire.Status) -> Response:
    """An error body in the shape that the path's documentation gives."""
    is_features = request.path.startswith(FEATURE_PATHS)
    shape = wire.feature_error if is_features else wire.ingest_error
    return _json(shape(message, status), status.http)


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, mimetype="application/json")
