"""How many bodies are read and worked on at once."""

from __future__ import annotations

import pytest
from flask import Flask

from ingest_api.receiving import Receiver
from tecton.errors import RateLimited

APP = Flask("test")


def test_bodies_in_work_are_bounded_together() -> None:
    """What would be too much is read and refused, until another request has ended."""
    receiver = Receiver(limit=100, at_once=150)
    with APP.test_request_context(method="POST", data=b"x" * 100):
        assert receiver.receive(is_known=True) == b"x" * 100
        with APP.test_request_context(method="POST", data=b"x" * 60):
            with pytest.raises(RateLimited):
                receiver.receive(is_known=True)
            receiver.release()
        with APP.test_request_context(method="POST", data=b"x" * 50):
            assert receiver.receive(is_known=True) == b"x" * 50
            receiver.release()
        receiver.release()
    with APP.test_request_context(method="POST", data=b"x" * 60):
        assert receiver.receive(is_known=True) == b"x" * 60


def test_one_body_is_always_taken() -> None:
    """However large bodies may be."""
    with APP.test_request_context(method="POST", data=b"x" * 100):
        assert Receiver(limit=100, at_once=10).receive(is_known=True) == b"x" * 100


def test_strangers_hold_nothing() -> None:
    """Their bodies are read and forgotten."""
    receiver = Receiver(limit=100, at_once=100)
    with APP.test_request_context(method="POST", data=b"x" * 100):
        receiver.receive(is_known=False)
        with APP.test_request_context(method="POST", data=b"x" * 100):
            assert receiver.receive(is_known=True) == b"x" * 100
