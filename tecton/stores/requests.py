"""
The port of what is remembered of requests: idempotency keys and rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Claim(NamedTuple):
    """What is known of an idempotency key.

    Args:
        state: "begun": by this claim; "running": by another; "other body": it stands for another
            request; "answered": with `answer`.
        answer: The first 200's body.
    """

    state: str
    answer: bytes | None = None


class Bucket(NamedTuple):
    """A rate that an account keeps.

    Args:
        name: Of what, for instance "records".
        rate: Tokens that come in each second.
        size: How many can gather.
        taken: How many this request takes.
    """

    name: str
    rate: int
    size: int
    taken: int


class RequestStore(Protocol):
    """What is remembered of requests, by all processes together, for a while."""

    def claim(self, name: str, digest: str, token: str) -> Claim:
        """
        Begin the request that *name* stands for, or tell what is known of it.

        Args:
            name: The idempotency key with whose it is.
            digest: Of the body.
            token: This attempt; one that has not ended within a minute is given up.
        """

    def settle(self, name: str, token: str, body: bytes | None) -> None:
        """End an attempt: *body* is repeated for 24 h; None: as if it had never begun."""

    def spend(self, account: str, buckets: Sequence[Bucket]) -> float:
        """Take tokens from all buckets and answer 0, or from none and answer how long to wait.

        A request for more than a bucket's size waits for a full one.
        """
