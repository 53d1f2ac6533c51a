"""
What the routes call, and what they have in common: the caller, the body, JSON answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

import msgspec
from flask import Response, g, request

from ingest_api.log import note
from tecton.access import ServiceAccount
from tecton.catalog import Catalog
from tecton.committer import Clock
from tecton.errors import RateLimited, RequestTooLarge
from tecton.ingest import Ingest
from tecton.serving import Serving
from tecton.settings import Settings
from tecton.stores import RequestStore

SCHEME = "Tecton-key "


@dataclass(frozen=True)
class Service:
    """What the routes call.

    Args:
        settings: Limits.
        catalog: Definitions and roles.
        ingest: The write path.
        serving: The read path.
        requests: Idempotency keys and rates.
        clock: Now.
        is_ready: May requests be sent here?
    """

    settings: Settings
    catalog: Catalog
    ingest: Ingest
    serving: Serving
    requests: RequestStore
    clock: Clock
    is_ready: Callable[[], bool]

    def caller(self) -> ServiceAccount:
        """
        Who calls; a repeated header is one that nobody can trust.

        Raises:
            AuthenticationFailed: There is no valid key.
        """
        headers = request.headers.getlist("Authorization")
        header = headers[0] if len(headers) == 1 else ""
        key = header[len(SCHEME) :] if header.startswith(SCHEME) else None
        account = self.catalog.authenticate(key)
        note(account=account.id)
        return account

    def body(self) -> bytes:
        """
        The body that was received.

        Raises:
            RequestTooLarge: It was over the limit.
        """
        body: bytes | None = g.body
        if body is None:
            raise RequestTooLarge(f"the body may hold {self.settings.max_body_bytes} bytes")
        return body


def read_body(limit: int, receiving: BoundedSemaphore) -> bytes | None:
    """
    The body, whatever its content type says (curl sends a form's).

    Args:
        limit: Its greatest length.
        receiving: Bounds how many are read at once.

    Returns:
        None if it is too large.

    Raises:
        RateLimited: Too many bodies are being received.
    """
    if request.content_length is not None and request.content_length > limit:
        return None
    if request.method in ("GET", "HEAD"):
        return b""
    if not receiving.acquire(blocking=False):
        raise RateLimited("too many requests are being received at once; send again")
    try:
        request.max_content_length = limit + 1
        body = request.stream.read(limit + 1)
    finally:
        receiving.release()
    return body if len(body) <= limit else None


def json_answer(body: Any, status: int = 200) -> Response:
    """A response of JSON: bytes as they are, anything else encoded."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(data, status, mimetype="application/json")
