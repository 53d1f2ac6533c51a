"""
Many records through a function at once, where that gives what one at a time gives.

A function of pandas gets all in one frame, which is fast, and must give each row what it would
have got alone, as at ingest. That is checked on some rows of every frame; where the index does not
say any more which record a row comes from, all go one at a time, which is slow and right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tecton.errors import JobFailed
from tecton.functions.calling import Caller
from tecton.functions.transformation import Failure, Outcome

CHECKED = 5
"""Records at the beginning and at the end of each frame that are run by themselves too."""
_TOLERANCE = 1e-9


def outcomes_of(
    caller: Caller, mode: str, view: str, records: Sequence[Mapping[str, Any]]
) -> Sequence[Outcome]:
    """
    The outcome of each record.

    Args:
        caller: Calls the function.
        mode: The function's.
        view: Name of the view, for messages.
        records: Canonical values by column.

    Raises:
        JobFailed: The function gives a row something else when there are others beside it.
    """
    if mode != "pandas" or len(records) == 1:
        return [caller.one(record) for record in records]
    try:
        found = _by_record(caller, records)
    except Exception as exc:  # users' code may raise anything; which record did, is found alone
        found = [caller.one(record) for record in records]
        if not any(isinstance(outcome, Failure) for outcome in found):
            reason = caller.failure(exc).outline
            raise _differs(view, f"on {len(records):,} rows at once: {reason}") from exc
        return found
    if found is None:
        return [caller.one(record) for record in records]
    for index in sorted({*range(len(records))[:CHECKED], *range(len(records))[-CHECKED:]}):
        if not is_alike(found[index], caller.one(records[index])):
            raise _differs(view, f"for row {index + 1} of {len(records):,}")
    return found


def _by_record(caller: Caller, records: Sequence[Mapping[str, Any]]) -> list[Outcome] | None:
    """The outcomes by one call; None if nobody can say whose row is whose."""
    from tecton.functions.frames import rows_of

    frame = caller.frame(records)
    rows = list(rows_of(frame))
    labels = [label for label, _ in rows]
    known = set(range(len(records)))
    is_numbered_anew = len(rows) < len(records) and labels == list(range(len(rows)))
    if is_numbered_anew or not known.issuperset(labels):
        return None
    grouped: list[list[Any]] = [[] for _ in records]
    for label, row in rows:
        grouped[label].append(row)
    return [_checked(caller, group) for group in grouped]


def _checked(caller: Caller, group: Sequence[Any]) -> Outcome:
    try:
        return caller.rows(group, is_frame=True)
    except Exception as exc:  # noqa: BLE001  # values of users' classes may raise anything
        return caller.failure(exc)


def _differs(view: str, where: str) -> JobFailed:
    return JobFailed(
        f"the function of Feature View {view} gives something else {where} than for each row "
        "alone, as at ingest; make what it returns for a row depend on that row only, and keep the "
        "index of the frame"
    )


def is_alike(one: Any, other: Any) -> bool:
    """Are two outcomes the same, but for the last digits of floats?"""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(is_alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_alike(one[key], other[key]) for key in one)
    return bool(one == other)
