"""
What the routes call, and what they have in common: the caller, the body, JSON answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from flask import Response, g, request

from ingest_api.log import note
from ingest_api.metrics import Metrics
from ingest_api.receiving import Receiver
from ingest_api.tally import Tally
from tecton.access import ServiceAccount
from tecton.catalog import Catalog
from tecton.committer import Clock
from tecton.errors import AuthenticationFailed, RequestError
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
        tally: Counts what is ingested, for the audit; None: nobody does.
        metrics: Counts what is done, for as long as the process lives.
    """

    settings: Settings
    catalog: Catalog
    ingest: Ingest
    serving: Serving
    requests: RequestStore
    clock: Clock
    is_ready: Callable[[], bool]
    tally: Tally | None = None
    metrics: Metrics = field(default_factory=Metrics)

    def receive(self, receiver: Receiver) -> None:
        """Find out who calls and read the body; what is wrong with either is said when asked."""
        g.account = self._account()
        try:
            g.body = receiver.receive(is_known=isinstance(g.account, ServiceAccount))
        except RequestError as exc:
            g.body = exc

    def caller(self) -> ServiceAccount:
        """
        Who calls.

        Raises:
            AuthenticationFailed: There is no valid key.
        """
        account: ServiceAccount | AuthenticationFailed = g.account
        if isinstance(account, AuthenticationFailed):
            raise account
        return account

    def body(self) -> bytes:
        """
        The body that was received.

        Raises:
            RequestError: It was too large, or not whole, or there were too many at once.
        """
        body: bytes | RequestError = g.body
        if isinstance(body, RequestError):
            raise body
        return body

    def _account(self) -> ServiceAccount | AuthenticationFailed:
        # A repeated header is one that nobody can trust.
        headers = request.headers.getlist("Authorization")
        header = headers[0] if len(headers) == 1 else ""
        key = header[len(SCHEME) :] if header.startswith(SCHEME) else None
        try:
            account = self.catalog.authenticate(key)
        except AuthenticationFailed as exc:
            return exc
        note(account=account.id)
        return account


def json_answer(body: Any, status: int = 200) -> Response:
    """A response of JSON: bytes as they are, anything else encoded."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(data, status, mimetype="application/json")
