"""
A launcher that only remembers what it was asked to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tecton.errors import JobFailed
from tecton.stores import Job


class RecordingLauncher:
    """`stores.JobLauncher` that runs nothing and remembers what it was asked to run.

    Args:
        lines: What each job reports.
        failure: If given, each job fails with this message after its lines.
    """

    def __init__(self, lines: Sequence[str] = (), failure: str | None = None) -> None:
        self.lines = tuple(lines)
        self.failure = failure
        self.jobs: list[Job] = []
        self.started: list[Job] = []
        self.environ: dict[str, str] = {}

    def run(self, job: Job, environ: Mapping[str, str]) -> Iterator[str]:
        """Remember *job*, report the lines."""
        self.jobs.append(job)
        self.environ = dict(environ)
        yield from self.lines
        if self.failure is not None:
            raise JobFailed(self.failure)

    def start(self, job: Job, environ: Mapping[str, str]) -> str:
        """Remember *job* as started; returns where its log would be."""
        self.started.append(job)
        self.environ = dict(environ)
        return "no log"
