"""Tables that are listed while somebody writes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from deltalake.exceptions import DeltaError

from tecton.adapters.delta_tables import TRIES, listed_whole

TORN = "Kernel error: Expected contiguous commit files, but found gap: 3682.json -> 3685.json"


def failing(times: int, message: str) -> Callable[[], int]:
    """Fails so many times, then answers how often it was asked."""
    asked: list[int] = []

    def act() -> int:
        asked.append(1)
        if len(asked) <= times:
            raise DeltaError(message)
        return len(asked)

    return act


def test_torn_list_is_looked_at_again() -> None:
    """Entries that were put meanwhile may be missing from it, one before another."""
    assert listed_whole(failing(TRIES - 1, TORN)) == TRIES


def test_hole_that_stays_is_an_error() -> None:
    """Nobody may read on behind it."""
    with pytest.raises(DeltaError, match="found gap"):
        listed_whole(failing(TRIES, TORN))


def test_any_other_failure_is_told_at_once() -> None:
    """Trying again is for whoever asked."""
    act = failing(1, "no such bucket")
    with pytest.raises(DeltaError, match="no such bucket"):
        listed_whole(act)
    assert act() == 2
