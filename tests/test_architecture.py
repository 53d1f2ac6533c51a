"""
The layers and fences of ARCHITECTURE.md, and that importing the library stays cheap.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("pyspark", "delta", "flask", "granian", "redis", "deltalake", "obstore")
DATA_LIBRARIES = ("pandas", "pyarrow", "numpy")
ENTRY_POINTS = ("cli", "workspace.py", "client.py")
WALL_CLOCK = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
}
ENVIRONMENT = {"os.getenv", "os.environ"}
PUBLIC_MODULES = {"tecton", "tecton.types", "tecton.aggregation_functions", "tecton.testing"}


def test_layers_and_fences_hold() -> None:
    """Each module imports only what stands below it, and drivers stay behind their fences."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["tecton", "tecton.types"])
def test_importing_the_library_loads_no_driver(module: str) -> None:
    """A feature repo can be read without Spark, Flask, Redis, Delta, pandas or Arrow."""
    loaded = set(_modules_after(f"import {module}"))
    assert loaded.isdisjoint(HEAVY + DATA_LIBRARIES)


def test_importing_bootstrap_loads_no_driver() -> None:
    """Wiring the stores loads none of them: that happens when each is first used."""
    assert set(_modules_after("import tecton.bootstrap")).isdisjoint(HEAVY + DATA_LIBRARIES)


def test_nothing_below_an_entry_point_reads_clock_or_environment() -> None:
    """`now` and the settings are arguments, so that every rule can be tested at any time."""
    readers = {
        f"{path.relative_to(ROOT)}:{line}: {call}"
        for path in _modules_below_entry_points()
        for line, call in _reads_of_the_surroundings(path)
    }
    assert readers == set()


@pytest.mark.parametrize("folder", ["feature_repo", "notebooks"])
def test_users_code_imports_public_names_only(folder: str) -> None:
    """What we show to users works with what we promise to users."""
    foreign = {
        f"{path.relative_to(ROOT)}: {module}"
        for path, source in _sources(ROOT / folder)
        for module in _imports(source)
        if module.split(".")[0] in {"tecton", "ingest_api", "jobs"} and module not in PUBLIC_MODULES
    }
    assert foreign == set()


def _modules_after(statement: str) -> list[str]:
    code = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules: list[str] = json.loads(done.stdout)
    return modules


def _modules_below_entry_points() -> Iterator[Path]:
    library = ROOT / "tecton"
    for path in sorted(library.rglob("*.py")):
        if path.relative_to(library).parts[0] not in ENTRY_POINTS:
            yield path


def _reads_of_the_surroundings(path: Path) -> Iterator[tuple[int, str]]:
    """Uses of the wall clock or of the process's environment in one file."""
    # Adapters that start a process hand their environment on to it.
    allowed = {"os.environ"} if "adapters" in path.parts else set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            spelled = ast.unparse(node)
            if spelled in (WALL_CLOCK | ENVIRONMENT) - allowed:
                yield node.lineno, spelled


def _sources(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, path.read_text("utf-8")
    for path in sorted(folder.rglob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path, "\n".join(code)


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
