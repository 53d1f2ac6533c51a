"""
The service's log: one JSON object a line, on standard output.

A request's line says who asked for what and how it ended, never a secret and nothing of a record.
JSON's escapes keep a line a line, whatever a client has sent.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import datetime, timezone
from typing import Any

import msgspec
from flask import Flask, Response, g, request

PATH_SHOWN = 200

_requests = logging.getLogger("ingest_api.requests")


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object; a dict as message is merged into it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {"time": at, "level": record.levelname, "logger": record.name}
        if isinstance(record.msg, dict):
            line.update(record.msg)
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def log_to_stdout() -> None:
    """Send every log of this process to standard output, from INFO on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def note(**facts: Any) -> None:
    """Add facts to the line of the request that is under way."""
    g.facts.update(facts)


def log_requests(app: Flask) -> None:
    """Log a line for each request that *app* answers."""

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        g.facts = {}

    @app.after_request
    def end(response: Response) -> Response:
        if _requests.isEnabledFor(logging.INFO):
            _requests.info(
                {
                    "request_id": g.request_id,
                    "method": request.method,
                    "path": request.path[:PATH_SHOWN],
                    "status": response.status_code,
                    "milliseconds": round((time.perf_counter() - g.started) * 1000, 2),
                    **g.facts,
                }
            )
        return response
