"""The checker of `make torture` finds what must not be: one that cannot fail proves nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.torture.checker import Checker, Kind, Trust
from tests.torture.definitions import Sent
from tests.torture.history import Attempt, History, Reading, Request
from tests.torture.stage import Stage

OK = Attempt(0, 1, 200, None)
LOST = Attempt(0, 1, None, None)
REFUSED = Attempt(0, 1, 400, None)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Stores without services; what is logged is one batch for each record."""
    made = Stage(tmp_path / "round", 0, False, None, ["c0-0"], 0, random.Random(1))
    yield made
    made.close(is_kept=False)


def found(stage: Stage, *requests: Request, readings: Sequence[Reading] = ()) -> set[Kind]:
    """What is wrong with histories."""
    history = History(list(requests), list(readings))
    return {violation.kind for violation in Checker(stage, [history], [], Trust()).books()}


def request(records: Sequence[Sent], *attempts: Attempt, expected: int = 200) -> Request:
    """A request with its attempts."""
    return Request(records, b"", None, expected, expected == 200, list(attempts))


def test_books_that_agree_are_right(stage: Stage) -> None:
    """What was acknowledged is there once; what nobody knows of may be there."""
    first, second = stage.fill_log(2)
    assert found(stage, request([first], OK), request([second], LOST)) == set()


def test_acknowledged_record_that_is_not_there_is_lost(stage: Stage) -> None:
    """I1."""
    (sent,) = stage.fill_log(1)
    assert found(stage, request([sent], OK), request([sent._replace(n=1)], OK)) == {Kind.LOST}


def test_record_that_is_there_more_often_than_it_was_sent_is_doubled(stage: Stage) -> None:
    """I1, I6; a value tells records apart."""
    (first,), (second,) = stage.fill_log(1), stage.fill_log(1)
    assert first.n == second.n
    assert found(stage, request([first], OK), request([second], OK)) == {Kind.DOUBLED}


def test_half_of_a_request_is_torn(stage: Stage) -> None:
    """I5."""
    (sent,) = stage.fill_log(1)
    assert Kind.DIVERGED in found(stage, request([sent, sent._replace(n=1)], LOST))


def test_refused_record_that_is_there_is_found(stage: Stage) -> None:
    """I4."""
    (sent,) = stage.fill_log(1)
    assert found(stage, request([sent], REFUSED, expected=400)) == {Kind.DOUBLED}


def test_answer_that_no_rule_gives_is_found(stage: Stage) -> None:
    """A good request is never refused, and nothing is an internal error."""
    (sent,) = stage.fill_log(1)
    attempts = (OK, Attempt(0, 1, 500, None))
    assert found(stage, request([sent], *attempts)) == {Kind.DIVERGED}


def test_later_request_with_an_earlier_sequence_is_found(stage: Stage) -> None:
    """What was sent after an acknowledgement is later."""
    first, second = stage.fill_log(2)
    late, early = Attempt(5, 6, 200, None), OK
    assert found(stage, request([second], early), request([first], late)) == {Kind.DIVERGED}


def test_read_that_lacks_what_was_acknowledged_is_found(stage: Stage) -> None:
    """I2."""
    (sent,) = stage.fill_log(1)
    nothing = {"newest.n": None, "windows.n_count_1h": None}
    reading = Reading("c0-0", 2, 200, nothing, {}, [sent])
    assert found(stage, request([sent], OK), readings=[reading]) == {Kind.LOST}
