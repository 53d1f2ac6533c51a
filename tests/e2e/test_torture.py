"""A short round of each fault that needs no JVM (`make torture` has more)."""

from __future__ import annotations

import pytest

from tests.torture.faults import FAST, Fault
from tests.torture.rounds import plan_of, play

SEED = 41
"""Six of the rounds have two services: with these the others would take half as long again."""

ELSEWHERE = {
    "kill: validated",
    "kill: sequences reserved",
    "kill: after the Redis script",
    "maintenance: files joined",
    "maintenance: before a checkpoint",
    "maintenance: after a checkpoint",
    "Redis: killed inside a script",
    "Redis: killed between the Redis scripts",
}
"""Those that have a near relative here: `make torture` plays them too."""

CHOSEN = [fault for fault in FAST if fault.name not in ELSEWHERE]


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
def test_nothing_is_lost_doubled_or_diverged(fault: Fault) -> None:
    """Whatever goes wrong in the middle of a load (I1 to I7)."""
    result = play(plan_of(SEED + CHOSEN.index(fault), fault.name, is_short=True), None)
    assert [] == result.violations
