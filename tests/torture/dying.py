"""
A process that ends itself: at a named point, the n-th time it is there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

from tecton.failpoints import Point, arm

VARIABLE = "TORTURE_POINT"


class Death(NamedTuple):
    """Where and when.

    Args:
        point: At which point.
        number: The first, second … time.
    """

    point: Point
    number: int

    def environ(self) -> dict[str, str]:
        """What the process that shall end so is started with."""
        return {VARIABLE: f"{self.point.name}:{self.number}"}


def arm_from(environ: Mapping[str, str]) -> None:
    """Arm this process if its environment says so; it takes its whole process group with it."""
    told = environ.get(VARIABLE)
    if not told:
        return
    name, _, number = told.partition(":")
    death = Death(Point[name], int(number))
    lock, seen = Lock(), 0

    def act(point: Point) -> None:
        nonlocal seen
        if point is not death.point:
            return
        with lock:
            seen += 1
            if seen == death.number:
                os.killpg(os.getpgid(0), signal.SIGKILL)

    arm(act)
