"""
Loading a feature repo: import its files and collect the definitions in them.

Importing runs the repo's code, so whatever it raises becomes a `Problem` of that file, and the
other files are still read. `sys.path` and the repo's modules are as before afterwards.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType

from tecton.definitions import Definition
from tecton.errors import Problem
from tecton.settings import REPO_MARK

SKIPPED_FOLDERS = frozenset({"tests", "notebooks", "__pycache__"})


@dataclass(frozen=True)
class LoadedRepo:
    """What is in a feature repo.

    Args:
        root: Its folder.
        files: The Python files that were read, relative to the root.
        definitions: Every definition at module level, once.
        problems: What could not be imported.
        warnings: What the definitions warn of, with file and line, one text each.
    """

    root: Path
    files: tuple[str, ...]
    definitions: tuple[Definition, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()


def load_repo(root: Path) -> LoadedRepo:
    """
    Import every Python file under *root* and collect the definitions.

    Hidden folders, virtual environments, `tests`, `notebooks` and other feature repos inside are
    left out. `from ads.entities import user` works with `ads/` directly under *root*.

    Args:
        root: The folder with the `.tecton` file.
    """
    root = root.resolve()
    files = tuple(_python_files(root))
    problems: list[Problem] = []
    modules: list[ModuleType] = []
    with _importing_from(root, files), _collected_warnings(root) as warned:
        for file in files:
            with _Reported(root, file, problems):
                modules.append(_import_file(root, file))
    return LoadedRepo(
        root=root,
        files=tuple(str(file) for file in files),
        definitions=_definitions(modules),
        problems=tuple(dict.fromkeys(problems)),
        warnings=tuple(dict.fromkeys(warned)),
    )


def _python_files(root: Path) -> Iterator[Path]:
    """The files to import, relative to the root, in a fixed order."""
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if _is_searched(here / name))
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith("."):
                yield (here / name).relative_to(root)


def _is_searched(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in SKIPPED_FOLDERS:
        return False
    return not (folder / "pyvenv.cfg").exists() and not (folder / REPO_MARK).is_file()


@contextmanager
def _importing_from(root: Path, files: Sequence[Path]) -> Iterator[None]:
    """Let *root* be imported from, afresh, and forget its modules afterwards.

    Modules from elsewhere that the repo imports stay: many (numpy) cannot be loaded twice.
    """
    path, writes_bytecode = list(sys.path), sys.dont_write_bytecode
    before = {name: sys.modules.pop(name) for name in _modules_of(root, files)}
    sys.path.insert(0, str(root))
    # A compiled file is told from a newer source by seconds only.
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes_bytecode
        for name in _modules_of(root, files):
            del sys.modules[name]
        sys.modules.update(before)


def _modules_of(root: Path, files: Sequence[Path]) -> Sequence[str]:
    """The loaded modules that come from *files*, and the packages that hold them."""
    places = {str(root / file) for file in files}
    places |= {str(root / folder) for file in files for folder in file.parents}
    return [name for name, module in list(sys.modules.items()) if _is_at(module, places)]


def _is_at(module: object, places: Collection[str]) -> bool:
    if not isinstance(module, ModuleType) or module.__name__.partition(".")[0] == "tecton":
        return False
    # A folder without `__init__.py` is a module without a file. `vars` wakes no lazy module.
    attributes = vars(module)
    found = [attributes.get("__file__"), *(attributes.get("__path__") or ())]
    return any(place in places for place in found)


@contextmanager
def _collected_warnings(root: Path) -> Iterator[list[str]]:
    """The warnings that are given meanwhile, each with its place."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        yield texts
    for warning in caught:
        path = Path(warning.filename)
        place = path.relative_to(root) if path.is_relative_to(root) else path
        texts.append(f"{place}:{warning.lineno}: {warning.message}")


def _import_file(root: Path, file: Path) -> ModuleType:
    """Import one file under the name that other files of the repo import it by."""
    parts = list(file.with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    if any("." in part for part in parts):
        raise ImportError("a name with a dot in it cannot be imported; rename it")
    module = importlib.import_module(".".join(parts))
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != (root / file).resolve():
        raise ImportError(
            f"Python finds another module `{module.__name__}` first ({found or 'built in'}); "
            "rename the file or its folder"
        )
    return module


class _Reported:
    """Turns what the code inside raises into a `Problem`.

    A repo's code may raise anything, `sys.exit` and what is no `Exception` included; only an
    interrupt goes on.
    """

    def __init__(self, root: Path, file: Path, problems: list[Problem]) -> None:
        self._root = root
        self._file = file
        self._problems = problems

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if exc is None or isinstance(exc, KeyboardInterrupt):
            return False
        file, line = _place(self._root, exc) or (str(self._file), 1)
        self._problems.append(
            Problem(
                where=f"{file}:{line}",
                what=f"file {file}",
                field=type(exc).__name__,
                message=f"{_reason(exc) or 'no message'}; the file cannot be imported, correct it",
            )
        )
        return True


def _reason(exc: BaseException) -> str:
    """What an exception says, in one line."""
    if isinstance(exc, SyntaxError):
        return str(exc.msg or "")
    # Unlike `str`, this takes exceptions that fail to print themselves.
    text = traceback.format_exception_only(exc)[0].partition(": ")[2]
    return " ".join(text.split())[:300]


def _place(root: Path, exc: BaseException) -> tuple[str, int] | None:
    """File and line where the repo's own code failed."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(exc.__traceback__)]
    if isinstance(exc, SyntaxError) and isinstance(exc.filename, str):
        places.append((exc.filename, exc.lineno))
    for name, line in reversed(places):
        if Path(name).is_absolute() and Path(name).is_relative_to(root):
            return str(Path(name).relative_to(root)), line or 1
    return None


def _definitions(modules: Sequence[ModuleType]) -> tuple[Definition, ...]:
    found: dict[int, Definition] = {}
    for module in modules:
        for value in vars(module).values():
            for definition in _definitions_in(value):
                found.setdefault(id(definition), definition)
    return tuple(found.values())


def _definitions_in(value: object) -> Iterator[Definition]:
    """The definition that *value* is, or those directly in a list, tuple or dict."""
    if isinstance(value, Mapping):
        value = list(value.values())
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, Definition):
            yield item
