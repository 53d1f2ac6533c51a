"""
The notebooks, executed from top to bottom as a reader would.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.processes import running_in
from tests.running import wait_for

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELL_SECONDS = 600


@pytest.fixture
def temp_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temp folder for everything that a notebook starts; short, as Redis' socket lies in it."""
    with tempfile.TemporaryDirectory(prefix="nb-") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        for variable in [v for v in os.environ if v.startswith("TECTON_")]:
            monkeypatch.delenv(variable)
        yield Path(name)
        for store in Path(name).glob("*/store"):
            stop = [sys.executable, "-m", "tecton.cli.main", "redis", "stop"]
            subprocess.run(stop, env={**os.environ, "TECTON_STORE": str(store)}, check=False)


@pytest.mark.spark
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebook_runs_and_cleans_up(notebook: Path, temp_folder: Path) -> None:
    """Every cell runs in a fresh clone, and nothing is left of it."""
    client = NotebookClient(
        nbformat.read(notebook, as_version=4),
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook.parent)}},
    )
    client.execute()
    assert list(temp_folder.glob("emberstore-*")) == []
    # A JVM tidies up for some seconds after the kernel has ended.
    wait_for(lambda: not running_in(temp_folder), "the notebook's processes to end")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebook_is_stored_without_outputs(notebook: Path) -> None:
    """What is committed is what was written, so that differences can be read."""
    cells = [c for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "code"]
    assert [cell.source for cell in cells if cell.outputs or cell.execution_count] == []
