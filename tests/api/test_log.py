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
