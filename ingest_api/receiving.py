"""
How a request is received: its whole body, bounded, in no spelling that others would read otherwise.

The server in front of WSGI is lenient, and tells of a body that breaks off only by its length
(docs/decisions/0025-the-server-speaks-plain-http-1.md).
"""

from __future__ import annotations

from threading import BoundedSemaphore, Lock

from flask import g, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.exceptions import NotFound as NoEndpoint

from tecton.errors import RateLimited, RequestError, RequestTooLarge

KNOWN_AT_ONCE = 48
"""Bodies of callers with a key that are read at once, fewer than the server has threads: slow
senders cannot take them all. A body that is there already is read in no time."""

STRANGERS_AT_ONCE = 8
"""Bodies of callers without one, who get 401 whatever they send."""


BYTES_AT_ONCE = 64 * 2**20
"""Bodies in work, together. Parsed, a body takes ten to twenty times its length."""


class Receiver:
    """Reads bodies, so many at once.

    Args:
        limit: The greatest length of a body.
        at_once: Bytes of bodies that may be in work together; one body may always be.
    """

    def __init__(self, limit: int, at_once: int = BYTES_AT_ONCE) -> None:
        self._limit = limit
        self._at_once = at_once
        self._held = 0
        self._lock = Lock()
        self._known = BoundedSemaphore(KNOWN_AT_ONCE)
        self._strangers = BoundedSemaphore(STRANGERS_AT_ONCE)

    def receive(self, is_known: bool) -> bytes:
        """
        The body of the request that is under way; its content type does not matter (curl sends a
        form's).

        Args:
            is_known: Has its sender shown a valid key?

        Raises:
            RequestTooLarge: It is over the limit.
            RequestError: It is not whole, or in an encoding that is not taken.
            RateLimited: Too many bodies are being received.
        """
        if request.method in ("GET", "HEAD"):
            return b""
        length = request.content_length
        if length is not None and length > self._limit:
            raise self._too_large()
        coding = request.headers.get("Transfer-Encoding", "chunked")
        if coding.lower() != "chunked":
            raise RequestError("the header Transfer-Encoding may only say chunked")
        body = self._read(self._known if is_known else self._strangers)
        if len(body) > self._limit:
            raise self._too_large()
        if length is not None and len(body) < length:
            raise RequestError(f"the body ended after {len(body)} of {length} bytes")
        if is_known:
            self._hold(len(body))
        return body

    def release(self) -> None:
        """The request that is under way has ended."""
        with self._lock:
            self._held -= g.pop("held", 0)

    def _hold(self, count: int) -> None:
        with self._lock:
            if self._held and self._held + count > self._at_once:
                raise RateLimited("too many bytes are in work at once; send again")
            self._held += count
        g.held = count

    def _read(self, at_once: BoundedSemaphore) -> bytes:
        if not at_once.acquire(blocking=False):
            raise RateLimited("too many requests are being received at once; send again")
        try:
            request.max_content_length = self._limit + 1
            return request.stream.read(self._limit + 1)
        finally:
            at_once.release()

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(f"the body may hold {self._limit} bytes")


def refuse_odd_spelling() -> None:
    """
    Refuse methods and paths that are documented ones only to this framework.

    Raises:
        MethodNotAllowed: The method is not in capital letters; HTTP's are case-sensitive.
        NoEndpoint: The path begins with several slashes.
    """
    # Whoever filters requests before they come here must not see others than we do.
    if not request.environ["REQUEST_METHOD"].isupper():
        raise MethodNotAllowed(request.url_rule.methods if request.url_rule else None)
    if request.environ["PATH_INFO"].startswith("//"):
        raise NoEndpoint
