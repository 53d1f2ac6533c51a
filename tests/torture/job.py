"""
`python -m tests.torture.job JOB …`: a job as spark-submit runs it, maybe with a point at which it
ends. The job `care` is the maintenance of push tables alone, without a JVM, as of tomorrow.
"""

from __future__ import annotations

import importlib
import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tecton.bootstrap import Backend
from tecton.maintain import maintain_push_tables
from tecton.settings import Settings
from tests.torture.dying import arm_from


def main() -> None:
    """Run the job that the first argument names, with the others."""
    arm_from(os.environ)
    name = sys.argv.pop(1)
    if name == "care":
        _care(sys.argv[1])
    else:
        importlib.import_module(f"jobs.{name}").main()


def _care(workspace: str) -> None:
    """Maintain the push tables of a workspace as if today were over."""
    backend = Backend(Settings.from_env(os.environ, Path.cwd()))
    state = backend.registry.latest(workspace)
    assert state is not None
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    for report in maintain_push_tables(backend.delta_logs, backend.care, state, tomorrow):
        sys.stdout.write(f"{report}\n")


if __name__ == "__main__":
    main()
