"""
The wire format: bodies → requests, answers and errors → JSON (contract §3, §4).

The only place that knows camelCase, and the one table of HTTP status codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tecton.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    FunctionStopped,
    InvalidRecords,
    NotFound,
    RateLimited,
    RecordProblem,
    RequestError,
    RequestRunning,
    RequestTooLarge,
    TectonError,
    Unavailable,
)
from tecton.ingest import MAX_NAMED_PROBLEMS, IngestRequest, ViewCount
from tecton.serving import FeatureValue
from tecton.settings import Settings
from tecton.timestamps import format_micros
from tecton.types import cut, show


class Status(NamedTuple):
    """How an error is told: HTTP status, the error type of ingest, the code of get-features."""

    http: int
    error_type: str
    grpc: int


INTERNAL = Status(500, "InternalError", 13)
STATUS: Mapping[type[TectonError], Status] = {
    AuthenticationFailed: Status(401, "AuthenticationError", 7),
    AuthorizationFailed: Status(403, "AuthorizationError", 7),
    NotFound: Status(404, "NotFoundError", 5),
    RequestTooLarge: Status(413, "RequestTooLargeError", 3),
    RequestRunning: Status(409, "ConflictError", 10),
    RateLimited: Status(429, "RateLimitError", 8),
    Unavailable: Status(503, "ServiceUnavailableError", 14),
    InvalidRecords: Status(400, "TectonObjectValidationError", 3),
    RequestError: Status(400, "RequestValidationError", 3),
    FunctionStopped: INTERNAL,
}
METHOD_NOT_ALLOWED = Status(405, "RequestValidationError", 12)
NO_ENDPOINT = Status(404, "NotFoundError", 5)


def status_of(error: TectonError) -> Status:
    """The status of an error: that of the nearest class above it in the table."""
    for cls in type(error).__mro__:
        if cls in STATUS:
            return STATUS[cls]
    return INTERNAL


class FeatureRequest(NamedTuple):
    """A get-features request whose envelope is right."""

    workspace: str
    service: str
    join_keys: Mapping[str, Any]
    metadata: frozenset[str]


def decode(body: bytes, max_nesting: int) -> dict[str, Any]:
    """
    The JSON object of a request body.

    Args:
        body: What was sent.
        max_nesting: How many levels of arrays and objects it may have, itself included.

    Raises:
        RequestError: It is not JSON, not an object, or nested too deeply.
    """
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        # The decoder stops far beyond any limit that can be set.
        raise _too_deep(max_nesting) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise RequestError(f"The request body is not valid JSON: {exc}") from None
    if type(value) is not dict:
        raise RequestError(f"The request body must be a JSON object, saw {show(value)}")
    if _is_deeper(value, max_nesting):
        raise _too_deep(max_nesting)
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Are there arrays or objects inside one another, more than *levels*?"""
    level = [value]
    for _ in range(levels):
        # A level at a time, so that nothing here nests with the request.
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _NESTS
        ]
        if not level:
            return False
    return True


_NESTS = frozenset({dict, list})


def _too_deep(max_nesting: int) -> RequestError:
    return RequestError(
        f"The request body is not valid JSON: it nests deeper than {max_nesting} levels"
    )


_INGEST_NAMES = {"workspaceName": "workspace_name", "dryRun": "dry_run"}
_INGEST_FIELDS = ("workspace_name", "dry_run", "records")


def ingest_request(body: bytes, limits: Settings) -> IngestRequest:
    """
    The request that a body of `POST /ingest` holds; records are not looked into.

    Args:
        body: What was sent.
        limits: How much a request may hold.

    Raises:
        RequestError: Contract §3: a field is missing, unknown or of the wrong type.
    """
    envelope = _snake_case(decode(body, limits.max_nesting), _INGEST_NAMES)
    for name in _INGEST_FIELDS:
        if name not in envelope:
            raise RequestError(f"Required field `{name}` is missing in the request")
    for name in envelope:
        if name not in _INGEST_FIELDS:
            raise RequestError(f"Unknown field {show(name)} in the request")
    if type(envelope["dry_run"]) is not bool:
        raise _wrong_type("dry_run", "true or false", envelope["dry_run"])
    records = _records(envelope["records"])
    count = sum(len(listed) for listed in records.values())
    for noun, most, seen in (
        ("Stream Sources", limits.max_sources, len(records)),
        ("records", limits.max_records, count),
    ):
        if seen > most:
            raise RequestError(f"a request may hold {most} {noun}, this one holds {seen}")
    return IngestRequest(_name(envelope, "workspace_name"), envelope["dry_run"], records)


def _records(value: Any) -> dict[str, list[Any]]:
    """Raw records by source name."""
    if type(value) is not dict:
        raise _wrong_type("records", "an object of Stream Source names", value)
    if not value:
        raise RequestError("Field `records` names no Stream Source")
    records = {}
    for source, elements in value.items():
        if not source:
            raise RequestError("Field `records` has an empty Stream Source name")
        if type(elements) is not list:
            raise _wrong_type(f"records.{cut(source)}", "an array of records", elements)
        if not elements:
            raise RequestError(f"Field `records.{cut(source)}` holds no record")
        records[source] = [_record(source, i, element) for i, element in enumerate(elements)]
    return records


def _record(source: str, index: int, element: Any) -> Any:
    where = f"records.{cut(source)}[{index}]"
    if type(element) is not dict:
        raise _wrong_type(where, 'an object {"record": …}', element)
    if "record" not in element:
        raise RequestError(f"Required field `record` is missing in `{where}`")
    if len(element) > 1:
        unknown = next(name for name in element if name != "record")
        raise RequestError(f"Unknown field {show(unknown)} in `{where}`")
    return element["record"]


_FEATURE_NAMES = {
    "workspaceName": "workspace_name",
    "featureServiceName": "feature_service_name",
    "joinKeyMap": "join_key_map",
    "metadataOptions": "metadata_options",
    "requestContextMap": "request_context_map",
    "allowPartialResults": "allow_partial_results",
    "requestOptions": "request_options",
}
_FEATURE_FIELDS = frozenset(_FEATURE_NAMES.values())
_METADATA_NAMES = {
    "includeNames": "include_names",
    "includeEffectiveTimes": "include_effective_times",
    "includeDataTypes": "include_data_types",
    "includeSloInfo": "include_slo_info",
    "includeServingStatus": "include_serving_status",
}
_METADATA_FIELDS = frozenset(_METADATA_NAMES.values())


def feature_request(body: bytes, limits: Settings) -> FeatureRequest:
    """
    The request that a body of `get-features` holds.

    Args:
        body: What was sent.
        limits: How much a request may hold.

    Raises:
        RequestError: Contract §4: a field is missing, unknown or of the wrong type.
    """
    envelope = decode(body, limits.max_nesting)
    params = envelope.get("params")
    if type(params) is not dict or len(envelope) > 1:
        raise RequestError("The request body must be an object with the one field `params`")
    params = _snake_case(params, _FEATURE_NAMES)
    for name in params:
        if name not in _FEATURE_FIELDS:
            raise RequestError(f"Unknown field {show(name)} in `params`")
    for name in ("workspace_name", "feature_service_name"):
        if name not in params:
            raise RequestError(f"Required field `{name}` is missing in the request")
    return FeatureRequest(
        _name(params, "workspace_name"),
        _name(params, "feature_service_name"),
        _object(params, "join_key_map"),
        _metadata_options(_object(params, "metadata_options")),
    )


def _metadata_options(given: Mapping[str, Any]) -> frozenset[str]:
    """The options that are switched on."""
    options = _snake_case(given, _METADATA_NAMES)
    for name, value in options.items():
        if name not in _METADATA_FIELDS:
            raise RequestError(f"Unknown field {show(name)} in `metadata_options`")
        if type(value) is not bool:
            raise _wrong_type(f"metadata_options.{name}", "true or false", value)
    return frozenset(name for name, value in options.items() if value)


def _snake_case(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for given, value in fields.items():
        name = names.get(given, given)
        if name in renamed:
            raise RequestError(f"Field `{name}` is given twice")
        renamed[name] = value
    return renamed


def _name(fields: Mapping[str, Any], field: str) -> str:
    value = fields[field]
    if type(value) is not str or not value:
        raise _wrong_type(field, "a name", value)
    return value


def _object(fields: Mapping[str, Any], field: str) -> dict[str, Any]:
    value = fields.get(field)
    if value is None:
        return {}
    if type(value) is not dict:
        raise _wrong_type(field, "an object", value)
    return value


def _wrong_type(field: str, expected: str, value: Any) -> RequestError:
    return RequestError(f"Field `{field}` must be {expected}, saw {show(value)}")


def ingest_answer(workspace: str, counts: Sequence[ViewCount]) -> dict[str, Any]:
    """The body of a 200 of `POST /ingest`."""
    metrics = [
        {
            "featureViewName": count.view,
            "onlineRecordIngestCount": str(count.online),
            "offlineRecordIngestCount": str(count.offline),
        }
        for count in counts
    ]
    return {"workspaceName": workspace, "ingestMetrics": {"featureViewIngestMetrics": metrics}}


def ingest_error(message: str, status: Status) -> dict[str, Any]:
    """The body of a request error of `POST /ingest`."""
    return {"requestError": {"errorMessage": message, "errorType": status.error_type}}


def record_errors(error: InvalidRecords) -> dict[str, Any]:
    """The body that names every bad record."""
    problems: Sequence[RecordProblem] = error.problems
    if len(problems) > MAX_NAMED_PROBLEMS:
        first = {(problem.source, problem.index): problem for problem in reversed(problems)}
        problems = list(reversed(first.values()))
    listed = [_record_error(problem) for problem in problems]
    return {"workspaceName": error.workspace, "recordErrors": listed}


def _record_error(problem: RecordProblem) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if problem.view is not None:
        body["featureViewName"] = problem.view
    body["pushSourceName"] = problem.source
    body["errorType"] = STATUS[InvalidRecords].error_type
    body["errorMessage"] = problem.message
    body["recordIndex"] = problem.index
    return body


def feature_error(message: str, status: Status) -> dict[str, Any]:
    """The body of any error of `get-features`."""
    return {"error": message, "code": status.grpc, "message": message}


def feature_answer(
    values: Sequence[FeatureValue], metadata: frozenset[str], seconds: float
) -> dict[str, Any]:
    """The body of a 200 of `get-features`; `seconds` is the time that serving took."""
    served = [None if v.value is None else v.dtype.served(v.value) for v in values]
    answer: dict[str, Any] = {"result": {"features": served}}
    if metadata:
        answer["metadata"] = _metadata(values, metadata, seconds)
    return answer


def _metadata(
    values: Sequence[FeatureValue], wanted: frozenset[str], seconds: float
) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    features = [_feature_metadata(value, wanted) for value in values]
    if wanted - {"include_slo_info"}:
        metadata["features"] = features
    if "include_slo_info" in wanted:
        metadata["sloInfo"] = {
            "sloEligible": True,
            "sloServerTimeSeconds": seconds,
            "serverTimeSeconds": seconds,
        }
    return metadata


def _feature_metadata(value: FeatureValue, wanted: frozenset[str]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if "include_names" in wanted:
        described["name"] = value.name
    if "include_data_types" in wanted:
        described["dataType"] = value.dtype.describe()
    if "include_effective_times" in wanted and value.timestamp is not None:
        described["effectiveTime"] = format_micros(value.timestamp)
    if "include_serving_status" in wanted:
        described["status"] = "PRESENT" if value.is_present else "MISSING_DATA"
    return described
