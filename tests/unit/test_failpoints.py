"""Named places in the code: nothing happens there unless a test says what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tecton import failpoints
from tecton.failpoints import Point, arm, reach


@pytest.fixture
def _disarmed() -> Iterator[None]:
    yield
    arm(failpoints.nothing)


@pytest.mark.usefixtures("_disarmed")
def test_only_an_armed_point_does_something() -> None:
    """What is armed is told which point was reached."""
    reached: list[Point] = []
    reach(Point.QUEUED)
    arm(reached.append)
    reach(Point.RESERVED)
    assert reached == [Point.RESERVED]
