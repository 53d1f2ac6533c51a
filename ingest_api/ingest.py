"""
`POST /ingest`: one request → the write path → its counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from flask import Flask, Response, request

from ingest_api import wire
from ingest_api.log import note
from ingest_api.rates import charge_records, charge_request
from ingest_api.service import Service, json_answer
from tecton.access import ServiceAccount
from tecton.idempotency import answer_once
from tecton.ingest import IngestRequest, ViewCount

PATHS = ("/ingest", "/v2/ingest")
NAME_SHOWN = 128
"""How much of a name that was sent is logged; no workspace has a longer one."""


def add_ingest(app: Flask, service: Service) -> None:
    """Give *app* the ingest endpoint, under both its names."""

    def ingest() -> Response:
        account = service.caller()
        charge_request(service.settings, service.requests, account)
        body = service.body()
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return json_answer(_take(service, account, body))
        return json_answer(
            answer_once(
                service.requests, account.id, key, body, lambda: _take(service, account, body)
            )
        )

    for path in PATHS:
        app.add_url_rule(path, path, ingest, methods=["POST"], provide_automatic_options=False)


def _take(service: Service, account: ServiceAccount, body: bytes) -> bytes:
    asked = wire.ingest_request(body, service.settings)
    records = sum(map(len, asked.records.values()))
    note(workspace=asked.workspace[:NAME_SHOWN], records=records, dry_run=asked.dry_run)
    charge_records(service.settings, service.requests, account, records)
    counts = service.ingest(asked, account)
    if not asked.dry_run:
        _count(service, account, asked, counts)
    return msgspec.json.encode(wire.ingest_answer(asked.workspace, counts))


def _count(
    service: Service, account: ServiceAccount, asked: IngestRequest, counts: Sequence[ViewCount]
) -> None:
    """Tell the audit and the metrics what was taken; neither ever fails a request."""
    taken = {source: len(listed) for source, listed in asked.records.items()}
    state = service.catalog.workspace(asked.workspace)
    if state is None:
        return
    service.metrics.ingested(state.id, taken, counts)
    if service.tally is not None:
        service.tally.add(account.id, state.name, state.id, taken)
