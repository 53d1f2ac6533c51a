"""
Named places where `make torture` ends a process; nothing happens at them in any other.

Only tests arm them (`tests/torture`): no setting and no variable of the environment does.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Point(Enum):
    """Where something is half done."""

    VALIDATED = "validated"
    QUEUED = "queued"
    RESERVED = "sequences reserved"
    PARQUET_WRITTEN = "parquet written"
    BEFORE_LOG_ENTRY = "before the log entry"
    AFTER_LOG_ENTRY = "after the log entry"
    BEFORE_SCRIPT = "before the Redis script"
    EVENTS_OFFERED = "between the Redis scripts"
    AFTER_SCRIPT = "after the Redis script"
    REPLAY = "in a replay"
    RELOAD = "in a reload"
    JOINED_WRITTEN = "joined file written"
    JOINED = "files joined"
    BEFORE_CHECKPOINT = "before a checkpoint"
    AFTER_CHECKPOINT = "after a checkpoint"
    LOAD_BEGUN = "load begun"
    BATCH_WRITTEN = "batch rows written"
    PUSHED_ADDED = "pushed rows added"
    PUSHED_OFFERED = "pushed rows offered"
    LOADED = "view loaded"


Act = Callable[[Point], None]
"""What is done at a point."""


def nothing(point: Point) -> None:
    """What is done unless a test has said otherwise."""


_act: Act = nothing


def reach(point: Point) -> None:
    """Say that this process is at *point*."""
    _act(point)


def arm(act: Act) -> None:
    """From now on do *act* at each point of this process, in the thread that is there."""
    global _act
    _act = act
