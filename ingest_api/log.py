"""
The service's log: one JSON object a line, on standard output.

A request's line says who asked for what and how it ended, never a secret and nothing of a record.
Errors that we did not write ourselves may quote a record: of them the log has the kind and the
place. JSON's escapes keep a line a line and a terminal a terminal, whatever a client has sent.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from datetime import datetime, timezone
from typing import Any

import msgspec
from flask import Flask, Response, g, request

from tecton.errors import TectonError

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
            line["exception"] = _place_of(record.exc_info[1])
        try:
            text = msgspec.json.encode(line).decode()
        except UnicodeEncodeError:
            # Names of files may hold bytes that are no text.
            text = json.dumps(line, default=str)
        return text if text.isprintable() else _UNPRINTABLE.sub(_escaped, text)


def told(error: BaseException) -> str:
    """What the log may say of an error: its message only if it is one of ours."""
    return str(error) if isinstance(error, TectonError) else type(error).__name__


def _place_of(error: BaseException | None) -> list[str]:
    """Kind and place of an error and of those that it came from, the first one first."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)
        stack = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        lines = [type(error).__name__, *stack, *lines]
        error = error.__cause__ or error.__context__
    return lines


_UNPRINTABLE = re.compile(r"[^ -~]")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def log_to_stdout() -> None:
    """Send every log of this process to standard output, from INFO on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def note(**facts: Any) -> None:
    """Add facts to the line of the request that is under way."""
    g.facts.update(facts)


def seconds_taken() -> float:
    """Since the request that is under way began."""
    began: float = g.started
    return time.perf_counter() - began


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
                    "milliseconds": round(seconds_taken() * 1000, 2),
                    **g.facts,
                }
            )
        return response
