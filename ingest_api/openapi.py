"""
The OpenAPI 3.1 description of every endpoint, served at `/openapi.json`.

Written by hand; `tests/api/test_openapi.py` holds it against the routes and their answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Flask, Response

from ingest_api.metrics import CONTENT_TYPE
from ingest_api.observability import PATH
from ingest_api.service import json_answer
from tecton.settings import Settings
from tecton.version import __version__

_JSON = "application/json"


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Any:
    """An object with these properties and no others."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _array(items: Any, **bounds: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **bounds}


_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1}
_COUNT = {"type": "string", "pattern": "^[0-9]+$"}
_BOOLEAN = {"type": "boolean"}
_MAP = {"type": "object"}
_METADATA_OPTIONS = (
    "include_names",
    "include_effective_times",
    "include_data_types",
    "include_slo_info",
    "include_serving_status",
)


def _ingest_request(limits: Settings) -> dict[str, Any]:
    record = {
        **_MAP,
        "description": (
            "As the source's schema says. A join key may have "
            f"{limits.max_key_bytes} bytes, any other string {limits.max_string_bytes}."
        ),
    }
    schema: dict[str, Any] = _object(
        {
            "workspace_name": _NAME,
            "dry_run": {**_BOOLEAN, "description": "Validate only; write nothing."},
            "records": {
                "type": "object",
                "description": (
                    "Records by the name of their Stream Source, "
                    f"{limits.max_records} in all at most."
                ),
                "minProperties": 1,
                "maxProperties": limits.max_sources,
                "propertyNames": _NAME,
                "additionalProperties": _array(
                    _object({"record": record}), minItems=1, maxItems=limits.max_records
                ),
            },
        }
    )
    return schema


_SCHEMAS: dict[str, Any] = {
    "IngestResponse": _object(
        {
            "workspaceName": _TEXT,
            "ingestMetrics": _object(
                {
                    "featureViewIngestMetrics": _array(
                        _object(
                            {
                                "featureViewName": _TEXT,
                                "onlineRecordIngestCount": _COUNT,
                                "offlineRecordIngestCount": _COUNT,
                            }
                        )
                    )
                }
            ),
        }
    ),
    "RequestError": _object({"requestError": _object({"errorMessage": _TEXT, "errorType": _TEXT})}),
    "RecordErrors": _object(
        {
            "workspaceName": _TEXT,
            "recordErrors": _array(
                _object(
                    {
                        "pushSourceName": _TEXT,
                        "errorType": _TEXT,
                        "errorMessage": _TEXT,
                        "recordIndex": {"type": "integer", "minimum": 0},
                    },
                    {"featureViewName": _TEXT},
                ),
                minItems=1,
            ),
        }
    ),
    "GetFeaturesRequest": _object(
        {
            "params": _object(
                {"workspace_name": _NAME, "feature_service_name": _NAME, "join_key_map": _MAP},
                {
                    "metadata_options": _object({}, dict.fromkeys(_METADATA_OPTIONS, _BOOLEAN)),
                    "request_context_map": _MAP,
                    "allow_partial_results": _BOOLEAN,
                    "request_options": _MAP,
                },
            )
        }
    ),
    "GetFeaturesResponse": _object(
        {"result": _object({"features": _array({})})},
        {
            "metadata": _object(
                {},
                {
                    "features": _array(
                        _object(
                            {},
                            {
                                "name": _TEXT,
                                "dataType": {"type": "object", "required": ["type"]},
                                "effectiveTime": {"type": "string", "format": "date-time"},
                                "status": {"enum": ["PRESENT", "MISSING_DATA"]},
                            },
                        )
                    ),
                    "sloInfo": _object(
                        {
                            "sloEligible": _BOOLEAN,
                            "sloServerTimeSeconds": {"type": "number"},
                            "serverTimeSeconds": {"type": "number"},
                        }
                    ),
                },
            )
        },
    ),
    "GetFeaturesError": _object(
        {"error": _TEXT, "code": {"type": "integer"}, "message": _TEXT},
    ),
    "Health": _object({"status": _TEXT}),
}

_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_REQUEST_ID = {"X-Request-ID": {"description": "Names this request in the log.", "schema": _TEXT}}

_STATUS_TEXTS = {
    400: "The body is malformed, a field is missing or wrong, or a record is.",
    401: "Missing or invalid Tecton-key authorization header.",
    403: "The service account lacks the role that this needs in the workspace.",
    404: "There is no such workspace, Stream Source, subscribed Feature View or Feature Service.",
    405: "Another method than the documented one.",
    409: "The first request with this Idempotency-Key has not ended yet.",
    413: "The body is larger than the service accepts.",
    429: "The key's rate or the queue's bound is exceeded.",
    500: "Internal error; the message holds the request id.",
    503: "A store is down or not loaded yet; nothing is half done.",
}


def _answer(text: str, *schemas: str, retry: bool = False) -> dict[str, Any]:
    refs = [_ref(name) for name in schemas]
    schema = refs[0] if len(refs) == 1 else {"oneOf": refs}
    headers = {**_REQUEST_ID, **(_RETRY if retry else {})}
    return {"description": text, "headers": headers, "content": {_JSON: {"schema": schema}}}


def _operation(
    name: str, summary: str, error: str, statuses: tuple[int, ...], **more: Any
) -> dict[str, Any]:
    answers = {"200": _answer("Success.", f"{name}Response")}
    for status in statuses:
        schemas = ("RequestError", "RecordErrors") if (error, status) == _EITHER else (error,)
        retry = status in (409, 429, 503)
        answers[str(status)] = _answer(_STATUS_TEXTS[status], *schemas, retry=retry)
    body = {"required": True, "content": {_JSON: {"schema": _ref(f"{name}Request")}}}
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"TectonKey": []}],
        "requestBody": body,
        "responses": answers,
        **more,
    }


_EITHER = ("RequestError", 400)
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body gets the first answer again, for 24 h.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
_INGEST = _operation(
    "Ingest",
    "Write records, durable and readable when this answers.",
    "RequestError",
    (400, 401, 403, 404, 405, 409, 413, 429, 500, 503),
    parameters=[_IDEMPOTENCY_KEY],
)
_GET_FEATURES = _operation(
    "GetFeatures",
    "Read the newest feature vector of a Feature Service.",
    "GetFeaturesError",
    (400, 401, 403, 404, 405, 413, 429, 500, 503),
)


_METRICS = {
    "operationId": "Metrics",
    "summary": "What this process has done, of the workspaces that the caller may look into.",
    "security": [{"TectonKey": []}],
    "responses": {
        "200": {
            "description": "OpenMetrics text.",
            "headers": _REQUEST_ID,
            "content": {CONTENT_TYPE: {"schema": {"type": "string", "pattern": "# EOF"}}},
        },
        **{
            str(status): _answer(_STATUS_TEXTS[status], "GetFeaturesError")
            for status in (401, 403, 405, 500)
        },
    },
}


def _health(name: str, summary: str, *statuses: int) -> dict[str, Any]:
    answers = {str(status): _answer(summary, "Health") for status in (200, *statuses)}
    return {"get": {"operationId": name, "summary": summary, "responses": answers}}


_PATHS: dict[str, Any] = {
    "/ingest": {"post": _INGEST},
    "/v2/ingest": {"post": {**_INGEST, "operationId": "IngestV2"}},
    "/api/v1/feature-service/get-features": {"post": _GET_FEATURES},
    PATH: {"get": _METRICS},
    "/livez": _health("Live", "The process runs."),
    "/readyz": _health("Ready", "Requests may be sent here.", 503),
    "/openapi.json": {
        "get": {
            "operationId": "OpenAPI",
            "summary": "This document.",
            "responses": {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "headers": _REQUEST_ID,
                    "content": {_JSON: {"schema": _MAP}},
                }
            },
        }
    },
}
_SECURITY = {
    "TectonKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Tecton-key <api key>`",
    }
}


def describe(limits: Settings) -> dict[str, Any]:
    """The document of a service with these limits."""
    text = (
        "Field names are taken in camelCase too. A body may have "
        f"{limits.max_body_bytes} bytes and nest {limits.max_nesting} levels deep."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stream Ingest API", "version": __version__, "description": text},
        "paths": _PATHS,
        "components": {
            "schemas": {"IngestRequest": _ingest_request(limits), **_SCHEMAS},
            "securitySchemes": _SECURITY,
        },
    }


def add_openapi(app: Flask, limits: Settings) -> None:
    """Give *app* the endpoint that describes all others."""
    document = msgspec.json.encode(describe(limits))

    @app.get("/openapi.json", provide_automatic_options=False)
    def openapi() -> Response:
        return json_answer(document)
