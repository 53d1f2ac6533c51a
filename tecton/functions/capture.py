"""
A function of a feature repo → text that runs anywhere: with the imports, constants, functions and
classes of the repo that it uses, whatever module of the repo they are in.

The repo's own modules are read as text and inlined; installed packages are imported by name. What
cannot be carried over so that it means the same is refused, with the line and what to do.
The text depends on what is used alone, so it does not change when something else does.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from tecton.functions.expressions import reason_against
from tecton.functions.loading import CannotLoad, load
from tecton.functions.modules import Bound, Computed, Import, Module, changed_in_place, repo_file
from tecton.functions.refusals import (
    CannotCapture,
    refuse_decorators,
    refuse_inside,
    refuse_kind,
)
from tecton.functions.scopes import class_annotations, global_names, line_of
from tecton.functions.warnings import unsteady

MAX_BYTES = 256 * 1024
"""Of a text: it is part of every version of a workspace."""
FUTURE = "from __future__ import annotations"
"""So that annotations need not be there to run the text."""


@dataclass(frozen=True)
class Captured:
    """A function as text.

    Args:
        name: Of the function in the text.
        source: The text.
        warnings: Why a record could yield other rows when it is replayed.
    """

    name: str
    source: str
    warnings: tuple[str, ...] = ()


class _Meaning(NamedTuple):
    """What a name stands for: an import, or a definition in a file of the repo."""

    where: str
    name: str | None


def capture(function: Any, root: Path) -> Captured:
    """
    Take a function, and all of its repo that it uses, out of their files.

    Args:
        function: What `stream_feature_view` has decorated.
        root: The feature repo.

    Raises:
        CannotCapture: Something in it would mean something else, or nothing, elsewhere.
    """
    taking = _Capture(root.resolve())
    captured, where = taking.take(function)
    size = len(captured.source.encode())
    if size > MAX_BYTES:
        raise CannotCapture(
            where,
            f"the function and what it uses are a text of {size:,} bytes, at most {MAX_BYTES:,} "
            "are kept; put large tables into an installed package",
        )
    try:
        load(captured.name, captured.source)
    except CannotLoad as exc:
        raise CannotCapture(where, f"what the function uses cannot run by itself: {exc}") from exc
    return captured


class _Capture:
    """The text as it grows: imports, then each definition after what it uses."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[Path, Module] = {}
        self._meanings: dict[str, _Meaning] = {}
        self._imports: set[str] = set()
        self._blocks: list[str] = []
        self._warnings: dict[str, None] = {}

    def take(self, function: Any) -> tuple[Captured, str]:
        """The text, and the place of the function."""
        module, node = self._find(function)
        self._meanings[node.name] = _Meaning(str(module.path), node.name)
        self._take_block(module, node, module.segment(node, with_decorators=False))
        head = "\n".join([FUTURE, *sorted(self._imports)])
        source = "\n\n\n".join([head, *self._blocks]) + "\n"
        captured = Captured(node.name, source, tuple(self._warnings))
        return captured, module.place(node.lineno)

    def _find(self, function: Any) -> tuple[Module, ast.FunctionDef]:
        """The file of a function, and where it is in there."""
        if not isinstance(function, FunctionType):
            raise CannotCapture(
                "transformation", f"expected a function, saw a {type(function).__name__}"
            )
        code = function.__code__
        path = Path(code.co_filename)
        if not path.is_relative_to(self._root):
            raise CannotCapture(
                f"{path}:{code.co_firstlineno}",
                "the function is not in the feature repo; define it there",
            )
        module = self._module(path.relative_to(self._root))
        where = module.place(code.co_firstlineno)
        refuse_kind(function, where)
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef) and code.co_firstlineno in (
                node.lineno,
                *(decorator.lineno for decorator in node.decorator_list[:1]),
            ):
                refuse_decorators(module, node)
                return module, node
        raise CannotCapture(where, "the function is not at the top of its file; move it there")

    def _module(self, path: Path) -> Module:
        if path not in self._modules:
            self._modules[path] = Module.read(self._root, path)
        return self._modules[path]

    def _take_block(self, module: Module, node: ast.stmt, block: str) -> None:
        """Add a definition, after everything that it refers to."""
        refuse_inside(module, node, self._root)
        for warning in unsteady(module, node):
            self._warnings[warning] = None
        changed = dict(sorted(changed_in_place(node), reverse=True))
        for name in sorted(global_names(f"{FUTURE}\n{block}")):
            line = line_of(node, name)
            if name in changed:
                self._refuse_change(module, name, line, by_call=changed[name])
            self._use(module, name, line)
        for name in sorted(class_annotations(node)):
            bindings = module.bindings.get(name, [])
            # What is there for a type checker only is not missed.
            if bindings and not any(isinstance(one, Computed) for one in bindings):
                self._use(module, name, node.lineno)
        self._blocks.append(block)

    def _use(self, module: Module, name: str, line: int) -> None:
        """See that a name means in the text what it means in a module."""
        bindings = module.bindings.get(name, [])
        if not bindings:
            _refuse_unbound(module, name, line)
            return
        first = bindings[0]
        if isinstance(first, Import) and all(isinstance(one, Import) for one in bindings):
            for one in bindings:
                assert isinstance(one, Import)  # noqa: S101  # as was just seen
                self._use_import(module, name, one, line)
            return
        self._claim(module, name, _Meaning(str(module.path), name), line)

    def _use_import(self, module: Module, name: str, binding: Import, line: int) -> None:
        file = repo_file(self._root, binding.module)
        if file is None:
            if binding.module == "tecton":
                raise CannotCapture(
                    module.place(line),
                    f"`{name}` comes from tecton, whose definitions mean nothing inside a "
                    "function; leave it out",
                )
            # `import a.b` and `import a.c` both bind `a`, and that is one meaning.
            whole = binding.module.partition(".")[0] if binding.is_path else binding.module
            self._claim(module, name, _Meaning(f"import {whole}", binding.name), line)
            self._imports.add(binding.text)
            return
        is_module = binding.name is None or (
            repo_file(self._root, f"{binding.module}.{binding.name}") is not None
        )
        if is_module or binding.name is None:
            raise CannotCapture(
                module.place(binding.line),
                f"`{name}` is a module of the repo; import what is used of it by name, as "
                "`from package.module import name`",
            )
        self._use_from(module, name, self._module(file), binding.name, line)

    def _use_from(self, module: Module, name: str, other: Module, there: str, line: int) -> None:
        """A name that a module imports from another one of the repo."""
        if other.path.is_dir() or not other.bindings.get(there):
            raise CannotCapture(
                module.place(line), f"`{there}` is not at the top of {other.path}; define it there"
            )
        self._use(other, there, other.bindings[there][0].line)
        if name != there and self._claimed(module, name, self._meanings[there], line):
            self._blocks.append(f"{name} = {there}")

    def _claimed(self, module: Module, name: str, meaning: _Meaning, line: int) -> bool:
        """Is the name new in the text? It means the same there otherwise."""
        is_new = name not in self._meanings
        if self._meanings.setdefault(name, meaning) != meaning:
            raise CannotCapture(
                module.place(line),
                f"the function uses two different things called `{name}` "
                f"({_shown(self._meanings[name])} and {_shown(meaning)}); rename one",
            )
        return is_new

    def _claim(self, module: Module, name: str, meaning: _Meaning, line: int) -> None:
        if not self._claimed(module, name, meaning, line) or meaning.where.startswith("import "):
            return
        bindings = module.bindings[name]
        computed = [one for one in bindings if isinstance(one, Computed)]
        if computed:
            raise CannotCapture(
                module.place(computed[0].line),
                f"`{name}` is {computed[0].how}, so its text does not tell its value; define it "
                "once, by one plain statement",
            )
        if len(bindings) > 1:
            lines = " and ".join(str(one.line) for one in bindings)
            raise CannotCapture(
                module.place(bindings[1].line),
                f"`{name}` is defined more than once (lines {lines}); define it once",
            )
        [bound] = bindings
        assert isinstance(bound, Bound)  # noqa: S101  # imports and computed ones are told above
        self._refuse_value(module, name, bound)
        self._take_block(module, bound.node, module.segment(bound.node))

    def _refuse_value(self, module: Module, name: str, bound: Bound) -> None:
        if isinstance(bound.node, (ast.Assign, ast.AnnAssign)) and bound.node.value is not None:
            reason = reason_against(bound.node.value, module)
            if reason is not None:
                raise CannotCapture(
                    module.place(bound.line),
                    f"`{name}` is computed when the file is imported, by {reason}; write it as a "
                    "literal, or compute it in a function (functools.lru_cache keeps the result)",
                )

    def _refuse_change(self, module: Module, name: str, line: int, by_call: bool) -> None:
        bindings: Sequence[object] = module.bindings.get(name, [])
        is_value = any(
            isinstance(one, Bound) and isinstance(one.node, (ast.Assign, ast.AnnAssign))
            for one in bindings
        )
        if is_value or (bindings and not by_call):
            raise CannotCapture(
                module.place(line),
                f"the function changes `{name}`, which lies outside it; what a record yields must "
                "depend on the record alone",
            )


def _refuse_unbound(module: Module, name: str, line: int) -> None:
    if name in _MEANINGLESS:
        raise CannotCapture(
            module.place(line), f"`{name}` has no meaning outside the repo; leave it out"
        )
    if hasattr(builtins, name) or name == "__name__":
        return
    reason = f"`{name}` is not defined at the top of the file; define or import it there"
    if "*" in module.bindings:
        reason = f"`{name}` may come from an `import *`; import it by name"
    raise CannotCapture(module.place(line), reason)


_MEANINGLESS = frozenset(
    {"__file__", "__import__", "__package__", "__path__", "__spec__", "eval", "exec", "globals"}
)


def _shown(meaning: _Meaning) -> str:
    if meaning.where.startswith("import "):
        package = meaning.where.removeprefix("import ")
        return package if meaning.name is None else f"{meaning.name} of {package}"
    return f"that of {meaning.where}"
