"""
The port of where jobs run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class Job(NamedTuple):
    """One run of a script under `jobs/`."""

    script: str
    arguments: Sequence[str]


class JobLauncher(Protocol):
    """Where jobs run: this machine, Databricks, EMR."""

    def run(self, job: Job, environ: Mapping[str, str]) -> Iterator[str]:
        """
        Run *job* to its end.

        Args:
            job: The script and its arguments.
            environ: Settings (`TECTON_…`) that the job must see.

        Yields:
            Each line that the job reports, as it comes.

        Raises:
            JobFailed: It ended without success; the message is its last line.
        """

    def start(self, job: Job, environ: Mapping[str, str]) -> str:
        """
        Start *job* and return at once; it goes on when this process ends.

        Returns:
            Where its log is, in words.

        Raises:
            JobFailed: It cannot be started.
        """
