"""
`make demo`: it ends by itself, every answer is right, and nothing is left of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import running_in
from tests.running import wait_for

ROOT = Path(__file__).resolve().parents[2]
DEMO_SECONDS = 900


@pytest.fixture
def temp_folder() -> Iterator[Path]:
    """A temp folder for everything that the demo starts; short, as Redis' socket lies in it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name)


@pytest.mark.spark
def test_demo_gives_right_answers_and_leaves_nothing(temp_folder: Path) -> None:
    """The main job of the system, as a newcomer runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temp_folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every answer was right" in done.stdout
    assert "WRONG" not in done.stdout
    assert list(temp_folder.glob("emberstore-*")) == []
    wait_for(lambda: not running_in(temp_folder), "the demo's processes to end")
