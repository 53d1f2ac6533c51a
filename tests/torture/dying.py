"""
A process that ends itself, or another one: at a named point, the n-th time it is there.
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
        victim: The process that ends; 0: the one that is there, with its whole group.
    """

    point: Point
    number: int
    victim: int = 0

    def environ(self) -> dict[str, str]:
        """What the process that shall end so is started with."""
        return {VARIABLE: f"{self.point.name}:{self.number}:{self.victim}"}


def arm_from(environ: Mapping[str, str]) -> None:
    """Arm this process if its environment says so."""
    told = environ.get(VARIABLE)
    if not told:
        return
    name, number, victim = told.split(":")
    death = Death(Point[name], int(number), int(victim))
    lock, seen = Lock(), 0

    def act(point: Point) -> None:
        nonlocal seen
        if point is not death.point:
            return
        with lock:
            seen += 1
            if seen == death.number:
                _kill(death.victim)

    arm(act)


def _kill(victim: int) -> None:
    if victim:
        os.kill(victim, signal.SIGKILL)
    else:
        os.killpg(os.getpgid(0), signal.SIGKILL)
