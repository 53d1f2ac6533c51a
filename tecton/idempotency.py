"""
The same request again gets the same answer (contract §3, `Idempotency-Key`).

Only the answer is remembered. If that memory is lost the request runs again, and the identity of
its events makes that harmless.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable

from tecton.errors import RequestError, RequestRunning, StoreUnavailable
from tecton.names import key_of
from tecton.stores import RequestStore

MAX_KEY_CHARACTERS = 255

_log = logging.getLogger(__name__)


def answer_once(
    store: RequestStore, account_id: str, key: str, body: bytes, run: Callable[[], bytes]
) -> bytes:
    """
    Run a request unless its key has been answered already.

    Args:
        store: What is remembered.
        account_id: Whose key it is; accounts do not share keys.
        key: As the client chose it.
        body: The request's bytes; the key stands for exactly these.
        run: Does the work and gives the answer's body.

    Returns:
        The answer of this run, or of the first one.

    Raises:
        RequestError: The key is malformed or stands for another body.
        RequestRunning: The first request has not ended yet.
    """
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise RequestError(
            f"the header Idempotency-Key must hold 1 to {MAX_KEY_CHARACTERS} printable ASCII "
            "characters"
        )
    name = hashlib.sha256(key_of(account_id, key).encode()).hexdigest()
    token = secrets.token_hex(16)
    claim = store.claim(name, hashlib.sha256(body).hexdigest(), token)
    if claim.answer is not None:
        return claim.answer
    if claim.state == "other body":
        raise RequestError("the header Idempotency-Key has been used for another request body")
    if claim.state == "running":
        raise RequestRunning("the first request with this Idempotency-Key has not ended yet")
    answer = None
    try:
        answer = run()
    finally:
        _settle(store, name, token, answer)
    return answer


def _settle(store: RequestStore, name: str, token: str, answer: bytes | None) -> None:
    try:
        store.settle(name, token, answer)
    except StoreUnavailable as exc:
        # What was done stays done; a retry will run again and change nothing.
        _log.warning("an idempotency key was not kept: %s", exc)
