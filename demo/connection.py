"""
A client of the service that keeps its connection; any HTTP client would do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 60
FEATURES_PATH = "/api/v1/feature-service/get-features"


class Client:
    """One connection to the service.

    Args:
        url: Where it is, as `http://127.0.0.1:8080`.
        api_key: Of a service account.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Tecton-key {api_key}"}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The parsed answer; anything but 200 ends the demo with what the service said."""
        self._connection.request("POST", path, json.dumps(body), self._headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise SystemExit(f"POST {path}: {response.status}: {text}")
        return json.loads(text)
