"""`tecton verify-consistency`: which job it starts, and what it refuses."""

from __future__ import annotations

import pytest

from tecton.testing import RecordingLauncher
from tests.cli_fixtures import Cli, cli, jobs_of

__all__ = ["cli"]


@pytest.fixture
def prod(cli: Cli) -> Cli:
    """A live workspace whose view is applied."""
    cli.ok("workspace", "create", "prod", "--live")
    cli.ok("apply", "-y")
    cli.launcher = RecordingLauncher(["clicks.clicked: 0 mismatch, 0 missing, 0 extra"])
    return cli


def test_job_compares_and_its_lines_are_shown(prod: Cli) -> None:
    """The sample and what decides it are handed on."""
    out = prod.ok("verify-consistency", "clicks", "--sample", "7")
    assert out == "clicks.clicked: 0 mismatch, 0 missing, 0 extra\n"
    arguments = ["--workspace", "prod", "--feature-view", "clicks", "--sample", "7", "--seed", "0"]
    assert jobs_of(prod.launcher) == [("verify", arguments)]


def test_differences_are_a_failure(prod: Cli) -> None:
    """The job's last line is the command's."""
    prod.launcher = RecordingLauncher(["x"], failure="3 of 4 join keys of clicks differ")
    assert prod.fails("verify-consistency", "clicks") == "3 of 4 join keys of clicks differ"


def test_what_cannot_be_compared(prod: Cli) -> None:
    """One line says why, before anything is started."""
    assert "no feature view nope" in prod.fails("verify-consistency", "nope")
    prod.ok("workspace", "create", "dev")
    assert "serves nothing" in prod.fails("verify-consistency", "clicks")
    assert jobs_of(prod.launcher) == []
