"""HTTP byte by byte: requests that no client library would send, and what comes back."""

from __future__ import annotations

import json
import socket
from email.message import Message
from http.client import parse_headers
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """One response."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Connection:
    """A connection to a service on this machine; every wait ends."""

    def __init__(self, port: int, seconds: float = 20.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), seconds)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes; the other side may have stopped listening."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            # It has answered and hung up; the answer is there to be read.
            return

    def end(self) -> None:
        """Send nothing more, but go on listening."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "POST") -> Answer | None:
        """The next response; None once the other side has hung up."""
        try:
            line = self._file.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        status = int(line.split()[1])
        headers = parse_headers(self._file)
        length = 0 if method == "HEAD" else int(headers.get("Content-Length", 0))
        return Answer(status, headers, self._file.read(length))

    def ask(self, data: bytes) -> Answer:
        """The response to one request."""
        self.send(data)
        answer = self.answer()
        assert answer is not None, "no answer"
        return answer

    def is_open(self) -> bool:
        """Is the next request on this connection taken for what it is?"""
        self.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = self.answer()
        return answer is not None and (answer.status, answer.json) == (200, {"status": "alive"})
