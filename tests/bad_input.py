"""Bad requests as data: each with its answer, for the WSGI client and for a real socket alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from tecton.access import new_key
from tecton.applied import AppliedAggregation, WorkspaceState
from tecton.testing import build_service, build_source, build_state, build_view
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp

READ = "/api/v1/feature-service/get-features"
MAX_MESSAGE = 300
"""No message quotes more of a request than this, whatever was sent."""

_NOW = datetime.now(timezone.utc)

TYPES = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("bool", Bool),
    Field("int", Int64),
    Field("float", Float64),
    Field("text", String),
    Field("at", Timestamp),
    Field("list", Array(Int64)),
    Field("struct", Struct([Field("a", Int64), Field("b", String)])),
    Field("map", Map(String, Float64)),
)

WINDOWS = tuple(
    AppliedAggregation(
        name=f"count_{days}d", column="clicked", function="count", time_window=timedelta(days=days)
    )
    for days in (1, 3)
)


def workspaces() -> tuple[WorkspaceState, WorkspaceState]:
    """What is applied while the table is gone through: the workspaces `live` and `dev`."""
    ads = build_source()
    all_types = build_source("all_types", TYPES)
    lonely = build_source("lonely")
    offline_only = build_source("offline_only")
    windowed = build_source("windowed")
    views = [
        build_view(ads),
        build_view(all_types, "all_types_fv"),
        build_view(offline_only, "offline_fv", online=False),
        build_view(windowed, "windows_fv", ttl=None, aggregations=WINDOWS),
        build_view(windowed, "newest_fv", ttl=timedelta(days=30)),
    ]
    sources = [ads, all_types, lonely, offline_only, windowed]
    live = build_state(sources, views, [build_service(views[0])], name="live")
    return live, build_state([ads], [], [], name="dev", live=False)


ROLES = {
    "nobody": (None, "live"),
    "viewer": ("viewer", "live"),
    "consumer": ("consumer", "live"),
    "operator": ("operator", "live"),
    "editor elsewhere": ("editor", "dev"),
}
"""Beside the admin: who else has a key, with which role in which workspace."""


def stamp(**before: float) -> str:
    """The RFC 3339 text of a time before now."""
    return (_NOW - timedelta(**before)).isoformat()


def ad(**before: float) -> dict[str, Any]:
    """A good record of the source `impressions_event_source`."""
    return {"user_id": "u", "timestamp": stamp(**before), "clicked": 1}


GOOD = {
    "user_id": "u",
    "timestamp": stamp(hours=1),
    "bool": True,
    "int": 1,
    "float": 1.5,
    "text": "t",
    "at": stamp(hours=2),
    "list": [1, None],
    "struct": {"a": 1, "b": None},
    "map": {"k": 1.5},
}
"""A good record of the source `all_types`."""


def request(*records: Any, source: str = "impressions_event_source", **changes: Any) -> Any:
    """A good body of `POST /ingest`, with changes."""
    listed = {source: [{"record": record} for record in records or [ad()]]}
    return {"workspace_name": "live", "dry_run": False, "records": listed, **changes}


def read(params: Any = None, **changes: Any) -> Any:
    """A good body of `get-features`, with changes."""
    good = {
        "workspace_name": "live",
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": "u"},
    }
    return {"params": {**good, **changes} if params is None else params}


def without(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """A body without one of its fields."""
    return {k: v for k, v in body.items() if k != name}


class Case(NamedTuple):
    """What is sent, and what is answered.

    `says` is how the message begins, or for a bad record what is in it. `who` has the key that
    `authorization` is made of.
    """

    name: str
    body: Any
    status: int
    says: str
    type: str = "RequestValidationError"
    who: str = "admin"
    authorization: Sequence[str] = ("Tecton-key {key}",)
    method: str = "POST"
    path: str = "/ingest"

    @property
    def data(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def headers(self, keys: dict[str, str]) -> list[tuple[str, str]]:
        """The headers `Authorization`."""
        return [
            ("Authorization", a.format(**spellings(keys[self.who]))) for a in self.authorization
        ]

    def check(self, status: int, answer: Any) -> None:
        """See that the answer is this case's."""
        assert (status, self._error(answer)) == (self.status, self.type), answer
        assert len(self._message(answer)) < MAX_MESSAGE
        if self.type == BAD_RECORD:
            assert self.says in self._message(answer)
        else:
            assert self._message(answer).startswith(self.says)

    def _error(self, answer: Any) -> Any:
        if self.path.startswith("/api/"):
            assert list(answer) == ["error", "code", "message"]
            return f"code {answer['code']}"
        return (self._record(answer) or answer["requestError"])["errorType"]

    def _message(self, answer: Any) -> str:
        if self.path.startswith("/api/"):
            assert answer["error"] == answer["message"]
            return str(answer["error"])
        return str((self._record(answer) or answer["requestError"])["errorMessage"])

    def _record(self, answer: Any) -> Any:
        """The one bad record's error: the second of its request."""
        if "recordErrors" not in answer:
            return None
        (error,) = answer["recordErrors"]
        assert answer["workspaceName"] == "live"
        (source,) = json.loads(self.data)["records"]
        assert (error["pushSourceName"], error["recordIndex"]) == (source, 1)
        return error


def spellings(key: str) -> dict[str, str]:
    """A key, and wrong ones that are like it."""
    other = new_key().api_key
    wrong_secret = key[:-9] + other[-9:]
    unknown_id = key[:7] + other[7:23] + key[23:]
    return {
        "key": key,
        "other": other,
        "wrong_secret": wrong_secret,
        "unknown_id": unknown_id,
        "short": key[:-1],
        "capitals": key.upper(),
        "account": key.split("_")[1],
        "secret": key.split("_")[2],
    }


BAD_RECORD = "TectonObjectValidationError"
NO_KEY = "invalid 'Tecton-key' authorization header"

_BODIES = [
    ("empty body", b""),
    ("white space", b" \r\n\t "),
    ("truncated", json.dumps(request()).encode()[:-1]),
    ("trailing bytes", json.dumps(request()).encode() + b"x"),
    ("two objects", json.dumps(request()).encode() * 2),
    ("trailing NUL", json.dumps(request()).encode() + b"\0"),
    ("trailing comma", b'{"a": 1,}'),
    ("comment", b'{"a": 1 /* c */}'),
    ("single quotes", b"{'a': 1}"),
    ("bare name", b"{a: 1}"),
    ("no value", b'{"a":}'),
    ("no comma", b'{"a": 1 "b": 2}'),
    ("byte order mark", b"\xef\xbb\xbf{}"),
    ("utf-16", json.dumps(request()).encode("utf-16")),
    ("bad utf-8", b'{"a": "\xff"}'),
    ("overlong utf-8", b'{"a": "\xc0\xaf"}'),
    ("surrogate in utf-8", b'{"a": "\xed\xa0\x80"}'),
    ("lone surrogate", b'{"a": "\\ud800"}'),
    ("surrogates the wrong way round", b'{"a": "\\udc00\\ud800"}'),
    ("control character in a string", b'{"a": "\x01"}'),
    ("line end in a string", b'{"a": "\n"}'),
    ("bad escape", b'{"a": "\\x41"}'),
    ("short escape", b'{"a": "\\u12"}'),
    ("NaN", b'{"a": NaN}'),
    ("Infinity", b'{"a": Infinity}'),
    ("number out of range", b'{"a": 1e999}'),
    ("5,000 digits", b'{"a": %s}' % (b"9" * 5000)),
    ("leading zero", b'{"a": 01}'),
    ("plus sign", b'{"a": +1}'),
    ("hexadecimal", b'{"a": 0x10}'),
    ("no digit before the point", b'{"a": .5}'),
    ("no digit after the point", b'{"a": 1.}'),
    ("True", b'{"a": True}'),
    ("a form", b"workspace_name=live&dry_run=false"),
]

_TOO_DEEP = [
    ("deep nesting", b"[" * 100_000),
    ("deep objects", b'{"a":' * 100_000),
]

_NOT_AN_OBJECT = [
    ("null", b"null", "saw null"),
    ("array", b"[]", "saw an array of 0"),
    ("string", b'"x"', 'saw "x"'),
    ("number", b"1", "saw 1"),
    ("true", b"true", "saw true"),
]

ENVELOPES = [
    *[Case(name, body, 400, "The request body is not valid JSON") for name, body in _BODIES],
    *[Case(name, body, 400, "The request body ") for name, body in _TOO_DEEP],
    *[
        Case(name, body, 400, f"The request body must be a JSON object, {saw}")
        for name, body, saw in _NOT_AN_OBJECT
    ],
    *[
        Case(
            f"no {name}",
            without(name, request()),
            400,
            f"Required field `{name}` is missing in the request",
        )
        for name in ("workspace_name", "dry_run", "records")
    ],
    Case("empty object", {}, 400, "Required field `workspace_name` is missing in the request"),
    *[
        Case(f"unknown field {name!r}", request(**{name: 1}), 400, f'Unknown field "{name}"')
        for name in ("extra", "__proto__", "Records", "dry-run")
    ],
    Case(
        "given twice", request(workspaceName="live"), 400, "Field `workspace_name` is given twice"
    ),
    Case("dry run given twice", request(dryRun=False), 400, "Field `dry_run` is given twice"),
    *[
        Case(f"workspace {value!r}", request(workspace_name=value), 400, "Field `workspace_name`")
        for value in (None, 1, "", ["live"], {}, True)
    ],
    *[
        Case(f"dry_run {value!r}", request(dry_run=value), 400, "Field `dry_run` must be true or")
        for value in (None, 0, 1, "false", "", [], {})
    ],
    *[
        Case(f"records {value!r}", request(records=value), 400, "Field `records`")
        for value in (None, [], "x", 1, True, {}, {"": [{"record": {}}]})
    ],
    *[
        Case(f"list {value!r}", request(records={"s": value}), 400, "Field `records.s`")
        for value in (None, {}, "x", 1, [])
    ],
    *[
        Case(f"element {value!r}", request(records={"s": [value]}), 400, message)
        for value, message in (
            (None, "Field `records.s[0]` must be an object"),
            ([], "Field `records.s[0]` must be an object"),
            ("x", "Field `records.s[0]` must be an object"),
            ({}, "Required field `record` is missing in `records.s[0]`"),
            ({"Record": {}}, "Required field `record` is missing in `records.s[0]`"),
            ({"record": {}, "x": 1}, 'Unknown field "x" in `records.s[0]`'),
        )
    ],
    Case("too many", request(*[ad()] * 10_001), 400, "a request may hold 10000 records"),
    Case(
        "too large",
        b'{"a": "%s"}' % (b"x" * 10_500_000),
        413,
        "the body may hold",
        "RequestTooLargeError",
    ),
    *[
        Case(f"workspace {name!r}", request(workspace_name=name), 404, "workspace", "NotFoundError")
        for name in ("nobody", "../live", "live/", "LIVE", "live ", "live\x00", "%6cive", "x" * 300)
    ],
    *[
        Case(
            f"source {name!r}", request(source=name), 404, f"Stream Source {name}", "NotFoundError"
        )
        for name in ("nothing", "../x", "a/b", "*", "impressions_event_source ", "click_events_fv")
    ],
    Case("source NUL", request(source="lonely\x00"), 404, "Stream Source", "NotFoundError"),
    Case("long source", request(source="x" * 300), 404, "Stream Source xxx", "NotFoundError"),
    Case("no view", request(source="lonely"), 404, "no Feature View with", "NotFoundError"),
    Case("no online", request(source="offline_only"), 404, "no Feature View", "NotFoundError"),
    Case("development workspace", request(workspace_name="dev"), 400, "workspace dev is not live"),
]

KEYS = [
    Case(f"authorization {shown!r}", b"not JSON", 401, NO_KEY, "AuthenticationError", "admin", sent)
    for shown, sent in [
        ("none", ()),
        *[
            (text, (text,))
            for text in (
                "Bearer {key}",
                "Basic {key}",
                "Tecton-key ",
                "Tecton-key",
                "Tecton-key x",
                "tecton-key {key}",
                "Tecton-Key {key}",
                "Tecton-key {other}",
                "Tecton-key {wrong_secret}",
                "Tecton-key {unknown_id}",
                "Tecton-key {key} x",
                "Tecton-key  {key}",
                "Tecton-key\t{key}",
                "Tecton-key {key},",
                "Tecton-key {key}{key}",
                "Tecton-key {short}",
                "Tecton-key {capitals}",
                "Tecton-key {account}",
                "Tecton-key {secret}",
                "Tecton-key {account}:{secret}",
                "{key}",
            )
        ],
        ("10 kB", ("Tecton-key " + "x" * 10_000,)),
        ("twice", ("Tecton-key {key}",) * 2),
        ("two schemes", ("Tecton-key {key}", "Bearer x")),
    ]
]

REFUSED_ROLES = [
    Case(
        f"{who} writes",
        request(),
        403,
        "service account ",
        "AuthorizationError",
        who,
    )
    for who in ROLES
] + [
    Case(
        f"{who} runs dry",
        request(dry_run=True),
        403,
        "service account ",
        "AuthorizationError",
        who,
    )
    for who in ("nobody", "editor elsewhere")
]


_OUTSIDE = "outside of the serving TTL defined for Feature View"


class Bad(NamedTuple):
    """A field's bad value and what the record error says."""

    field: str
    value: Any
    message: str
    said: str = ""
    """The value in the case's name, where it is another in every run."""


class Raw(NamedTuple):
    """JSON that Python does not write."""

    text: str


VALUES = [
    *[Bad("bool", value, "expected Bool") for value in (0, 1, "true", "", 1.0, [], {})],
    *[
        Bad("int", value, "expected Int64")
        for value in (
            *("1", "", 1.0, 1.5, -0.0, True, False, 2**63, -(2**63) - 1, 2**64, 10**40, [], {}),
            *(Raw("1e0"), Raw("1E2"), Raw("0.0"), Raw("9223372036854775808")),
        )
    ],
    *[Bad("float", value, "expected Float64") for value in ("1", "NaN", True, [], {}, 10**400)],
    *[Bad("text", value, "expected String") for value in (1, 1.5, True, [], {}, "x" * 70_000)],
    *[
        Bad(field, value, "expected Timestamp")
        for field in ("timestamp", "at")
        for value in (
            "yesterday",
            "",
            "2026-01-02T00:25:06",
            "2026-01-02",
            "20260102T002506Z",
            "2026-1-2T00:25:06Z",
            "26-01-02T00:25:06Z",
            1767313506,
            1767313506.5,
            True,
            ["2026-01-02T00:25:06Z"],
            "1767313506",
            "2026-01-02 00:25:06Z",
            " 2026-01-02T00:25:06Z",
            "2026-01-02T00:25:06Z ",
            "2026-01-02T00:25:06Z\n",
            "2026-01-02T00:25:06Z\x00",
            "2026-01-02T00:25:06 Z",
            "2026-01-02T00:25:60Z",
            "2026-01-02T00:60:06Z",
            "2026-01-02T24:00:00Z",
            "2026-02-30T00:25:06Z",
            "2025-02-29T00:25:06Z",
            "2026-13-02T00:25:06Z",
            "2026-00-02T00:25:06Z",
            "2026-01-02T00:25:06+24:00",
            "2026-01-02T00:25:06+00:60",
            "2026-01-02T00:25:06+0100",
            "2026-01-02T00:25:06+01",
            "2026-01-02T00:25:06UTC",
            "2026-01-02T00:25:06[Europe/Berlin]",
            "2026-01-02T00:25:06,5Z",
            "2026-01-02T00:25:06.Z",
            "2026-01-02T00:25:06.1e3Z",
            "2026-W01-2T00:25:06Z",
            "2026-002T00:25:06Z",
            "-2026-01-02T00:25:06Z",
            "+2026-01-02T00:25:06Z",
            "0000-01-02T00:25:06Z",
            "10000-01-02T00:25:06Z",
            "0001-01-01T00:00:00+14:00",
            "٢٠٢٦-01-02T00:25:06Z",
            "2026-01-02T00:25Z",
        )
    ],
    *[Bad("list", value, "expected Array(Int64)") for value in (1, "x", {}, True)],
    Bad("list", [1, "2"], 'field `list[1]`: expected Int64 (an integer in ±2^63), saw "2"'),
    *[Bad("list", [value], "field `list[0]`") for value in ([1], 1.0, True, {}, 2**63)],
    *[Bad("struct", value, "expected Struct(a: Int64, b: String)") for value in (1, [], "x")],
    Bad("struct", {}, "expected field `a`"),
    Bad("struct", {"a": 1}, "expected field `b`"),
    Bad("struct", {"a": 1, "b": "x", "c": 1}, "expected only fields of Struct"),
    Bad("struct", {"a": "1", "b": "x"}, "field `struct.a`"),
    Bad("struct", [1, "x"], "expected Struct"),
    *[Bad("map", value, "expected Map(String, Float64)") for value in (1, [], "x")],
    Bad("map", {"k": "1"}, 'field `map["k"]`'),
    Bad("map", {"k": {}}, 'field `map["k"]`'),
    Bad("user_id", None, "field `user_id` must not be null"),
    Bad("timestamp", None, "field `timestamp` must not be null"),
    *[Bad("user_id", value, "expected String") for value in (5, True, [], {})],
    Bad("user_id", "a\x00b", "join key `user_id` must not contain NUL"),
    Bad("user_id", "\x00", "join key `user_id` must not contain NUL"),
    Bad("user_id", "x" * 513, "join key `user_id` must be at most 512 bytes"),
    Bad("user_id", "é" * 257, "join key `user_id` must be at most 512 bytes"),
    Bad("timestamp", stamp(days=-1), "is more than 10 minutes ahead of the clock", "tomorrow"),
    Bad("timestamp", "9999-12-31T23:59:59Z", "is more than 10 minutes ahead of the clock"),
    Bad("timestamp", "1969-12-31T23:59:59.999999Z", "is before 1970"),
    Bad("timestamp", "1970-01-01T00:59:59+01:00", "is before 1970"),
    Bad("timestamp", "0001-01-01T00:00:00Z", "is before 1970"),
    Bad("timestamp", stamp(days=8), f"{_OUTSIDE} all_types", "8 days ago"),
    Bad("timestamp", "1970-01-01T00:00:00Z", "outside of the serving TTL defined for"),
]

_MARK = "the value that Python does not write"


def _second(record: Any) -> Any:
    return request(GOOD, record, source="all_types")


def _with(field: str, value: Any) -> Any:
    if not isinstance(value, Raw):
        return _second({**GOOD, field: value})
    text = json.dumps(_second({**GOOD, field: _MARK}))
    return text.replace(json.dumps(_MARK), value.text).encode()


RECORDS = [
    *[
        Case(
            f"{bad.field}={bad.said or repr(bad.value)}"[:70],
            _with(bad.field, bad.value),
            400,
            bad.message,
            BAD_RECORD,
        )
        for bad in VALUES
    ],
    *[
        Case(
            f"record without {field.name}",
            _second(without(field.name, GOOD)),
            400,
            f"Required field `{field.name}` is missing in the record",
            BAD_RECORD,
        )
        for field in TYPES
    ],
    *[
        Case(f"record with {name!r}", _second({**GOOD, name: 1}), 400, "unknown field ", BAD_RECORD)
        for name in ("unknown", "__proto__", "constructor", "USER_ID", " user_id", "", "a\x00b")
    ],
    *[
        Case(f"record {value!r}", _second(value), 400, "record must be an object", BAD_RECORD)
        for value in (None, [], [1], "x", 1, True)
    ],
]


WINDOWED = [
    Case(
        f"windows: {name}",
        request(ad(days=2), {**ad(), **change}, source="windowed"),
        400,
        message,
        BAD_RECORD,
    )
    for name, change, message in (
        # Exactly at the bound: test_microsecond_too_far.
        ("a bit too old", {"timestamp": stamp(days=3, minutes=1)}, f"{_OUTSIDE} windows_fv"),
        ("much too old", {"timestamp": stamp(days=29)}, f"{_OUTSIDE} windows_fv"),
        ("from tomorrow", {"timestamp": stamp(days=-1)}, "minutes ahead of the clock"),
        ("no time", {"timestamp": None}, "field `timestamp` must not be null"),
        ("no key", {"user_id": None}, "field `user_id` must not be null"),
        ("fraction", {"clicked": 1.5}, "expected Int64"),
    )
]


def _reading(name: str, body: Any, status: int, says: str, code: int, **changes: Any) -> Case:
    return Case(f"get-features: {name}", body, status, says, f"code {code}", path=READ, **changes)


_OTHER_SERVICES = ("nothing", "../x", "click_events_fv", "x" * 300, "ad_ctr_feature_service\x00")

READS = [
    *[_reading(name, body, 400, "The request body is not valid", 3) for name, body in _BODIES],
    *[_reading(name, body, 400, "The request body ", 3) for name, body in _TOO_DEEP],
    *[
        _reading(name, body, 400, f"The request body must be a JSON object, {saw}", 3)
        for name, body, saw in _NOT_AN_OBJECT
    ],
    *[
        _reading(f"body {body!r}", body, 400, "The request body must be an object with the one", 3)
        for body in ({}, {"params": None}, {"params": []}, {"params": {}, "x": 1}, read()["params"])
    ],
    *[
        _reading(f"params {params!r}", read(params), 400, "Required field `workspace_name`", 3)
        for params in ({}, {"feature_service_name": "x"})
    ],
    _reading(
        "no service",
        read({"workspace_name": "live"}),
        400,
        "Required field `feature_service_name",
        3,
    ),
    _reading("unknown param", read(extra=1), 400, 'Unknown field "extra" in `params`', 3),
    _reading("given twice", read(joinKeyMap={}), 400, "Field `join_key_map` is given twice", 3),
    *[
        _reading(f"{field}={value!r}", read(**{field: value}), 400, f"Field `{field}` must be", 3)
        for field, values in (
            ("workspace_name", (None, 1, "", [])),
            ("feature_service_name", (None, 1, "", [])),
            ("join_key_map", (1, "x", [])),
            ("metadata_options", (1, "x", [])),
        )
        for value in values
    ],
    *[
        _reading(f"options {options!r}", read(metadata_options=options), 400, says, 3)
        for options, says in (
            ({"include_names": 1}, "Field `metadata_options.include_names` must be true or"),
            ({"include_all": True}, 'Unknown field "include_all" in `metadata_options`'),
        )
    ],
    *[
        _reading(f"keys {keys!r}", read(join_key_map=keys), 400, says, 3)
        for keys, says in (
            (None, "Missing required join key: user_id"),
            ({}, "Missing required join key: user_id"),
            ({"USER_ID": "u"}, "Missing required join key: user_id"),
            ({"user_id": "u", "x": 1}, 'Unknown join key: "x"; expected user_id'),
            ({"user_id": 1}, "join key `user_id`: expected String"),
            ({"user_id": []}, "join key `user_id`: expected String"),
            ({"user_id": {}}, "join key `user_id`: expected String"),
            ({"user_id": True}, "join key `user_id`: expected String"),
        )
    ],
    *[
        _reading(
            f"service {name[:30]!r}", read(feature_service_name=name), 404, "Unable to query", 5
        )
        for name in _OTHER_SERVICES
    ],
    *[
        _reading(f"workspace {name[:30]!r}", read(workspace_name=name), 404, "Unable to query", 5)
        for name in ("dev", "nobody", "../live", "x" * 300)
    ],
    *[
        _reading(f"{who} reads", read(), 403, "service account ", 7, who=who)
        for who in ("nobody", "viewer", "editor elsewhere")
    ],
    *[
        _reading(f"authorization {sent!r}", b"not JSON", 401, NO_KEY, 7, authorization=sent)
        for sent in ((), ("Bearer {key}",), ("Tecton-key {other}",), ("Tecton-key {key}",) * 2)
    ],
    _reading("too large", b" " * 10_500_000, 413, "the body may hold", 3),
]

PLACES = [
    *[
        Case(
            f"{method} {path}",
            b"",
            405,
            f"method {method} is not allowed here",
            "code 12" if path == READ else "RequestValidationError",
            method=method,
            path=path,
        )
        for path in ("/ingest", "/v2/ingest", READ)
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
    ],
    *[
        Case(f"POST {path}", request(), 404, f"no endpoint {path}", "NotFoundError", path=path)
        for path in ("/", "/ingest/", "/ingest/x", "/INGEST", "/v2", "/v2//ingest", "/v2/ingest/")
    ],
    *[
        Case(f"POST {path}", read(), 404, "no endpoint", "code 5", path=path)
        for path in ("/api/v1/feature-service/nothing", READ + "/", "/api/v1/feature-service/")
    ],
]

CASES = [*ENVELOPES, *KEYS, *REFUSED_ROLES, *RECORDS, *WINDOWED, *READS, *PLACES]
"""All of them; no two have one name."""
