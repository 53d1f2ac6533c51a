"""
A small HTTP client of the service, for notebooks and scripts; needs nothing but Python.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tecton.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    InvalidRecords,
    NotFound,
    RateLimited,
    RecordProblem,
    RequestError,
    RequestTooLarge,
    SettingsError,
    StoreUnavailable,
    TectonError,
)
from tecton.settings import Settings
from tecton.timestamps import format_micros, micros_of
from tecton.types import show

_TIMEOUT_SECONDS = 60.0


class Client:
    """Calls the HTTP API of one service.

    Args:
        url: Where it is, without a trailing slash.
        api_key: What is sent as the API key.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._api_key = api_key

    @classmethod
    def of(cls, settings: Settings) -> Client:
        """The client of the service that the settings name."""
        if settings.api_key is None:
            raise SettingsError(
                "no API key: set TECTON_API_KEY to a key that `tecton service-account create` "
                "has printed"
            )
        return cls(settings.url, settings.api_key)

    def ingest(
        self, workspace: str, records: Mapping[str, Sequence[Mapping[str, Any]]], dry_run: bool
    ) -> Mapping[str, Any]:
        """
        Send records to the Stream Ingest API, all in one request.

        Args:
            workspace: Its name.
            records: By stream source. `datetime` values without a zone are UTC; NaN and other
                missing values are null.
            dry_run: Validate only.

        Raises:
            InvalidRecords: Some are wrong, all problems listed; nothing was written.
            RequestError: The request as a whole was refused.
            StoreUnavailable: The service does not answer or cannot write now.
        """
        elements = {
            source: [{"record": _plain(record)} for record in of_source]
            for source, of_source in records.items()
        }
        body = {"workspace_name": workspace, "dry_run": dry_run, "records": elements}
        answer: Mapping[str, Any] = self._post("/ingest", body)
        return answer

    def get_features(
        self, workspace: str, service: str, join_keys: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """
        Ask for one feature vector.

        Args:
            workspace: Its name.
            service: The feature service's name.
            join_keys: By name.

        Returns:
            Each feature's value by its name `view.feature`.
        """
        params = {
            "workspace_name": workspace,
            "feature_service_name": service,
            "join_key_map": _plain(join_keys),
            "metadata_options": {"include_names": True},
        }
        answer = self._post("/api/v1/feature-service/get-features", {"params": params})
        names = [feature["name"] for feature in answer["metadata"]["features"]]
        return dict(zip(names, answer["result"]["features"], strict=True))

    def _post(self, path: str, body: Any) -> Any:
        request = Request(  # noqa: S310  # the URL is the user's own setting
            self._url + path,
            data=json.dumps(body, allow_nan=False).encode(),
            headers={
                "Authorization": f"Tecton-key {self._api_key}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except HTTPError as exc:
            raise _error(exc.code, exc.read(), exc.headers.get("Retry-After")) from exc
        except (URLError, TimeoutError, ConnectionError) as exc:
            reason = getattr(exc, "reason", exc)
            raise StoreUnavailable(
                f"no answer from the service at {self._url} ({reason}); is it running? "
                "`make serve` starts it, TECTON_URL says where it is"
            ) from exc


def _plain(value: Any) -> Any:
    """A value as JSON has it: numpy's and pandas' scalars, times and missing values included."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if _is_missing(value):
        return None
    if isinstance(value, datetime):
        return format_micros(micros_of(value))
    if isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise RequestError(f"{show(value)} (a {type(value).__name__}) cannot be sent as JSON")


def _is_missing(value: Any) -> bool:
    """None, NaN, and pandas' NaT and NA, which has no answer to whether it equals itself."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _error(status: int, body: bytes, retry_after: str | None) -> TectonError:
    """The error that an answer of the API tells."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    if answer.get("recordErrors"):
        problems = [_problem(error) for error in answer["recordErrors"]]
        return InvalidRecords(answer.get("workspaceName", ""), problems)
    told = answer.get("requestError", {}).get("errorMessage") or answer.get("message")
    message = told or f"the service answered with status {status}"
    if status == 429:
        return RateLimited(message, int(retry_after or 1))
    if status == 503:
        return StoreUnavailable(message, int(retry_after or 1))
    return _ERRORS.get(status, RequestError)(message)


def _problem(error: Mapping[str, Any]) -> RecordProblem:
    return RecordProblem(
        source=error.get("pushSourceName", ""),
        index=error.get("recordIndex", 0),
        message=error.get("errorMessage", ""),
        view=error.get("featureViewName"),
    )


_ERRORS: Mapping[int, Callable[[str], TectonError]] = {
    401: lambda _: AuthenticationFailed(),
    403: AuthorizationFailed,
    404: NotFound,
    413: RequestTooLarge,
}
