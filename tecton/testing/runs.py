"""
What jobs have done, in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from tecton.attempts import fold
from tecton.stores import SUCCESS, Run


class InMemoryRuns:
    """`stores.RunLog` in a list."""

    def __init__(self) -> None:
        self.rows: list[Run] = []

    def record(self, *runs: Run) -> None:
        """Add rows."""
        self.rows.extend(runs)

    def of(self, workspace: str, view: str | None = None) -> Sequence[Run]:
        """The attempts that ended well."""
        done = [run for run in self.attempts(workspace, view) if run.state == SUCCESS]
        return sorted(done, key=lambda run: run.ended)

    def attempts(self, workspace: str, view: str | None = None) -> Sequence[Run]:
        """All attempts, each as far as it has come."""
        rows = (run for run in self.rows if run.workspace == workspace)
        return fold(run for run in rows if view in (None, run.view))

    def merged(self, workspace: str) -> Sequence[Run]:
        """The same."""
        return self.attempts(workspace)
