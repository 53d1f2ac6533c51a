"""The service's log: one JSON line a request, without secrets and records."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from ingest_api.log import JsonFormatter
from tecton.testing import build_state
from tests.api.conftest import World, stamp


class Lines(logging.Handler):
    """Keeps what would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    handler = Lines()
    logger = logging.getLogger("ingest_api.requests")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)


def test_request_is_one_line_without_secret_or_record(world: World, lines: list[str]) -> None:
    """Who asked for what, and how it ended."""
    world.apply(build_state(name="live"))
    record = {"user_id": "private person", "timestamp": stamp(), "clicked": 1}
    records = {"impressions_event_source": [{"record": record}]}
    answer = world.send({"workspace_name": "live", "dry_run": False, "records": records})
    (line,) = lines
    assert "private" not in line
    assert world.key.split("_")[2] not in line
    logged = json.loads(line)
    assert logged["request_id"] == answer.headers["X-Request-ID"]
    assert logged["account"] == world.key.split("_")[1]
    assert {k: logged[k] for k in ("method", "path", "status", "workspace", "records")} == {
        "method": "POST",
        "path": "/ingest",
        "status": 200,
        "workspace": "live",
        "records": 1,
    }


@pytest.mark.parametrize("path", ["/x%0d%0aINJECTED", "/%1b[31mred", "/" + "y" * 5000])
def test_path_cannot_break_out_of_its_line(world: World, lines: list[str], path: str) -> None:
    """Line ends and escapes of a request stay inside JSON's quotes, cut to a bound."""
    world.client.post(path)
    (line,) = lines
    assert line.isprintable()
    assert len(line) < 700
    assert json.loads(line)["status"] == 404


def test_refusal_says_its_kind(world: World, lines: list[str]) -> None:
    """The error type, not the message, which quotes the client."""
    world.send(b"{")
    assert json.loads(lines[0])["error"] == "RequestValidationError"


def formatted(message: object, error: BaseException | None = None) -> str:
    """A record of the log as its line."""
    trouble = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, message, (), trouble)  # type: ignore[arg-type]
    return JsonFormatter().format(record)


@pytest.mark.parametrize(
    "text",
    [
        "a\r\nb",
        "\x1b[2J",
        "\x9b2J",
        "\x7f",
        "\u2028\u2029\x85",
        "\u202egnp",
        "\U000e0041",
        "é\U0001f600",
    ],
)
def test_log_keeps_its_lines_and_its_terminal(text: str) -> None:
    """Line ends, escapes of either kind and marks that turn text round; all of it JSON."""
    line = formatted(text)
    assert line.isprintable()
    assert json.loads(line)["message"] == text


def test_log_survives_what_is_no_text() -> None:
    """Names of files may hold bytes that are no UTF-8."""
    assert json.loads(formatted("lost \udcff"))["message"] == "lost \udcff"


def test_message_of_a_foreign_error_is_left_out() -> None:
    """It may quote a record; kind and place are enough to find it."""

    def fail() -> None:
        try:
            raise KeyError("private person")
        except KeyError as exc:
            raise ValueError("private person") from exc

    with pytest.raises(ValueError, match="private") as caught:
        fail()
    line = formatted("it failed", caught.value)
    assert "private" not in line
    places = json.loads(line)["exception"]
    assert places[0] == "KeyError"
    assert "ValueError" in places
    assert any("test_log.py" in place and "fail" in place for place in places)


def test_unknown_failure_is_500_and_logged_without_the_record(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer holds the request id alone, the log where it happened."""

    def fail(*arguments: object) -> None:
        raise ValueError(f"cannot do {arguments}")

    monkeypatch.setattr(world.catalog, "checker", fail)
    world.apply(build_state(name="live"))
    record = {"user_id": "private person", "timestamp": stamp(), "clicked": 1}
    records = {"impressions_event_source": [{"record": record}]}
    answer = world.send({"workspace_name": "live", "dry_run": False, "records": records})
    assert answer.status_code == 500
    request_id = answer.headers["X-Request-ID"]
    assert answer.json is not None
    message = f"internal error, request id {request_id}"
    assert answer.json["requestError"] == {"errorMessage": message, "errorType": "InternalError"}
    (line,) = [
        JsonFormatter().format(one) for one in caplog.records if one.levelno == logging.ERROR
    ]
    assert request_id in line
    assert "ValueError" in line
    assert "private" not in line
