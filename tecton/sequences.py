"""
Sequences that rise with time: what is accepted after an answer is above all that was answered.

The online store counts. Where it cannot tell any more how far it had come, what is logged tells
(docs/decisions/0033).
"""

from __future__ import annotations

from collections.abc import Callable

from tecton.applied import WorkspaceState
from tecton.errors import StoreUnavailable
from tecton.stores import Doubt, Erasures, OnlineStore, PushTables

TRIES = 5


def take_sequences(
    online: OnlineStore,
    workspace: str,
    count: int,
    now: int,
    given: int,
    logged: Callable[[], int],
) -> int:
    """
    Take new sequences, above every one that was acknowledged by now.

    Args:
        online: The online store.
        workspace: The workspace's id.
        count: How many.
        now: By the caller's clock, µs since the epoch; other clocks may differ.
        given: The greatest sequence that the caller knows of, 0 for none.
        logged: The greatest in the logs of all writers; asked only when the store is in doubt.

    Returns:
        The first of them.

    Raises:
        StoreUnavailable: A store does not answer, or the online store loses its data all the time.
    """
    answer = online.reserve(workspace, count, now, given)
    for _ in range(TRIES):
        if not isinstance(answer, Doubt):
            return answer
        # Only what is logged now counts: whatever is logged later raises the counter by itself.
        given = max(given, logged())
        answer = online.reserve(workspace, count, now, given, answer.life)
    raise StoreUnavailable("the online store loses its counter of sequences again and again")


def last_logged(tables: PushTables | None, erasures: Erasures | None, state: WorkspaceState) -> int:
    """
    The greatest sequence that the store of a workspace knows of, 0 for none.

    Args:
        tables: The push tables; None: there are none.
        erasures: The tombstones; None: there are none.
        state: The workspace.
    """
    pushed = 0 if tables is None else tables.last_sequence(state)
    return max(pushed, 0 if erasures is None else erasures.last_sequence(state))
