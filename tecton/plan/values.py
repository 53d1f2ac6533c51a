"""
What a plan says: frozen values that the command line prints and applies.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from tecton.applied import WorkspaceState
from tecton.periods import Period


class Action(Enum):
    """What happens to an object; the value is how plans print it."""

    CREATE = "+ Create"
    UPDATE = "~ Update"
    RECREATE = "~ Recreate"
    DELETE = "- Delete"


@dataclass(frozen=True)
class Change:
    """What happens to one object.

    Args:
        action: What.
        kind: Class name of the object.
        name: Of the object.
        description: Of the object.
        details: What differs, as `ttl: 7 days → 8 days`, one text each; more lines below the first
            show it.
    """

    action: Action
    kind: str
    name: str
    description: str | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backfill:
    """Jobs that applying starts, one after the other in time.

    Args:
        view: Name of the view.
        period: Of the batch rows that they read; None: pushed records alone.
        stores: Of "online" and "offline", those that they fill.
        jobs: How many runs they are.
    """

    view: str
    period: Period | None
    stores: tuple[str, ...]
    jobs: int = 1


@dataclass(frozen=True)
class Incremental:
    """Jobs that run from now on for one view: one when each period of length `every` ends."""

    view: str
    every: timedelta
    stores: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What applying does.

    Args:
        changes: In the order entities, sources, views, services.
        backfills: The jobs that applying starts, by name of the view and in order of time.
        incrementals: The jobs that run on a schedule for views of which a store is new.
        state: What is committed: the next version of the workspace.
    """

    changes: tuple[Change, ...]
    backfills: tuple[Backfill, ...]
    incrementals: tuple[Incremental, ...]
    state: WorkspaceState

    @property
    def is_empty(self) -> bool:
        """Is there nothing to do?"""
        return not self.changes
