"""The HTTP client: what it sends, what it makes of answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tecton.client import Client
from tecton.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    InvalidRecords,
    NotFound,
    RateLimited,
    RequestError,
    SettingsError,
    StoreUnavailable,
    TectonError,
)
from tecton.settings import Settings


class _Service(HTTPServer):
    """A service that answers what it is told to, and remembers the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.answer: Any = {}
        self.requests: list[tuple[str, str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        service: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        service.requests.append((self.path, self.headers["Authorization"], json.loads(body)))
        answer = service.answer
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(service.status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def service() -> Iterator[_Service]:
    """A running service."""
    server = _Service()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(service: _Service) -> Client:
    """A client of it."""
    return Client(f"http://127.0.0.1:{service.server_port}", "secret")


def test_ingest_sends_the_documented_body(service: _Service, client: Client) -> None:
    """Values of pandas and numpy are sent as JSON has them, missing ones as null."""
    service.answer = {"workspaceName": "w"}
    records = [
        {
            "t": datetime(2023, 1, 2, 1, 0, 0, 5, tzinfo=timezone(timedelta(hours=1))),
            "n": np.int64(2**63 - 1),
            "f": np.float64(0.1),
            "missing": [None, float("nan"), pd.NaT, pd.NA, np.float64("nan")],
            "s": {"b": np.bool_(True), "naive": pd.Timestamp("2023-01-02T00:00:00.000000999")},
            "a": np.array([1, 2]),
        }
    ]

    answer = client.ingest("w", {"src": records}, dry_run=True)

    assert answer == {"workspaceName": "w"}
    record = {
        "t": "2023-01-02T00:00:00.000005Z",
        "n": 2**63 - 1,
        "f": 0.1,
        "missing": [None] * 5,
        "s": {"b": True, "naive": "2023-01-02T00:00:00.000000Z"},
        "a": [1, 2],
    }
    body = {"workspace_name": "w", "dry_run": True, "records": {"src": [{"record": record}]}}
    assert service.requests == [("/ingest", "Tecton-key secret", body)]


def test_features_come_back_by_name(service: _Service, client: Client) -> None:
    """get-features with names, as a mapping."""
    service.answer = {
        "result": {"features": ["1", None]},
        "metadata": {"features": [{"name": "fv.a"}, {"name": "fv.b"}]},
    }

    assert client.get_features("w", "s", {"user_id": "u"}) == {"fv.a": "1", "fv.b": None}
    [(path, _, body)] = service.requests
    assert path == "/api/v1/feature-service/get-features"
    assert body["params"]["join_key_map"] == {"user_id": "u"}


@pytest.mark.parametrize("value", [float("inf"), object(), b"bytes"])
def test_what_json_cannot_say_is_not_sent(client: Client, service: _Service, value: Any) -> None:
    """An error before anything is sent."""
    with pytest.raises(RequestError, match="cannot be sent as JSON"):
        client.ingest("w", {"src": [{"x": value}]}, dry_run=False)
    assert service.requests == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestError),
        (401, AuthenticationFailed),
        (403, AuthorizationFailed),
        (404, NotFound),
        (429, RateLimited),
        (503, StoreUnavailable),
        (500, RequestError),
    ],
)
def test_errors_are_those_of_the_tree(
    service: _Service, client: Client, status: int, error: type[TectonError]
) -> None:
    """Each status is the error that the service meant, in both shapes of the API."""
    service.status = status
    for answer in ({"requestError": {"errorMessage": "why"}}, {"message": "why"}, b"<html>"):
        service.answer = answer
        with pytest.raises(TectonError) as failure:
            client.get_features("w", "s", {})
        assert type(failure.value) is error
    assert getattr(failure.value, "retry_after", 7) == 7


def test_every_bad_record_is_listed(service: _Service, client: Client) -> None:
    """Record errors keep source, position, view and message."""
    service.status = 400
    error = {
        "featureViewName": "fv",
        "pushSourceName": "src",
        "errorType": "TectonObjectValidationError",
        "errorMessage": "why",
        "recordIndex": 3,
    }
    service.answer = {"workspaceName": "w", "recordErrors": [error]}

    with pytest.raises(InvalidRecords) as failure:
        client.ingest("w", {"src": []}, dry_run=False)

    [problem] = failure.value.problems
    assert (problem.source, problem.index, problem.view, problem.message) == ("src", 3, "fv", "why")


def test_no_service_says_how_to_start_one() -> None:
    """A refused connection names the address and what to do."""
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9.*make serve.*TECTON_URL"):
        Client("http://127.0.0.1:9", "k").get_features("w", "s", {})


def test_a_client_needs_a_key() -> None:
    """Without `TECTON_API_KEY` it says so."""
    with pytest.raises(SettingsError, match="TECTON_API_KEY"):
        Client.of(Settings(store="/x"))
