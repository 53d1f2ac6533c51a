"""
What the names of a Python file stand for, as its text says; nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One name that an import binds.

    Args:
        line: Where it stands.
        module: The module, relative ones resolved.
        name: What is taken of it; None: the module itself.
        alias: The name given by `as`.
    """

    line: int
    module: str
    name: str | None
    alias: str | None

    @property
    def is_path(self) -> bool:
        """Does it bind a package by an import of what is inside, as `import a.b` binds `a`?"""
        return self.name is None and self.alias is None and "." in self.module

    @property
    def target(self) -> str:
        """The full name of what is imported."""
        return self.module if self.name is None else f"{self.module}.{self.name}"

    def is_of_repo(self, root: Path) -> bool:
        """Does it come from a module of the repo?"""
        return repo_file(root, self.module) is not None

    @property
    def text(self) -> str:
        """The statement, in one spelling."""
        given = "" if self.alias is None else f" as {self.alias}"
        if self.name is None:
            return f"import {self.module}{given}"
        return f"from {self.module} import {self.name}{given}"


@dataclass(frozen=True)
class Bound:
    """A statement that binds a name at the top of a file: a definition or an assignment."""

    line: int
    node: Function | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Computed:
    """A name that is bound in a way that its text alone does not tell."""

    line: int
    how: str


Binding: TypeAlias = Import | Bound | Computed


@dataclass(frozen=True)
class Module:
    """One file of a feature repo.

    Args:
        root: The repo's folder.
        path: The file's, relative to the root.
        text: What is in it.
    """

    root: Path
    path: Path
    text: str = field(repr=False)

    @classmethod
    def read(cls, root: Path, path: Path) -> Module:
        """Read a file of the repo."""
        return cls(root, path, (root / path).read_text("utf-8"))

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return ast.parse(self.text)

    @cached_property
    def bindings(self) -> dict[str, list[Binding]]:
        """What binds each name at the top of the file, in order."""
        found: dict[str, list[Binding]] = {}
        for statement in self.tree.body:
            for name, binding in _bindings(statement, self.package):
                found.setdefault(name, []).append(binding)
        for name, line in _set_by_functions(self.tree):
            found.setdefault(name, []).append(Computed(line, "set by `global` in a function"))
        return found

    @property
    def package(self) -> tuple[str, ...]:
        """The package that relative imports start from."""
        return self.path.parent.parts

    def place(self, line: int) -> str:
        """`file:line`, as messages spell it."""
        return f"{self.path}:{line}"

    def segment(self, node: ast.stmt, with_decorators: bool = True) -> str:
        """A statement as it is written, comments inside included."""
        lines = self.text.splitlines()
        decorators = getattr(node, "decorator_list", [])
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            return ast.get_source_segment(self.text, node) or ""
        first = decorators[0].lineno if decorators and with_decorators else node.lineno
        return "\n".join(line.rstrip() for line in lines[first - 1 : node.end_lineno])


def repo_file(root: Path, module: str) -> Path | None:
    """The file of a module of the repo, relative to the root; None for what is installed."""
    if not module:
        return None
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (root / candidate).is_file():
            return candidate
    # A folder without `__init__.py` is a package too, with nothing in it.
    return path if (root / path).is_dir() else None


def _bindings(node: ast.stmt, package: Sequence[str]) -> Iterator[tuple[str, Binding]]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from imports(node, package)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name, Bound(node.lineno, node)
    elif isinstance(node, (ast.Assign, ast.AnnAssign)) and _is_plain(node):
        for name in _names_set(node):
            yield name, Bound(node.lineno, node)
    else:
        how = _KINDS.get(type(node), "not bound by one plain statement")
        for name in _names_set(node):
            yield name, Computed(node.lineno, how)
        yield from _changed(node)


def imports(
    node: ast.Import | ast.ImportFrom, package: Sequence[str]
) -> Iterator[tuple[str, Import]]:
    """The names that an import statement binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            yield name, Import(node.lineno, alias.name, None, alias.asname)
        return
    start = package[: len(package) - node.level + 1] if node.level else ()
    module = ".".join([*start, *filter(None, [node.module])])
    for alias in node.names:
        name = alias.asname or alias.name
        yield name, Import(node.lineno, module, alias.name, alias.asname)


def _is_plain(node: ast.Assign | ast.AnnAssign) -> bool:
    """Does it give a value to one name?"""
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.value is not None
    return len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)


def _names_set(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds in the file's own scope."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Name) and isinstance(one.ctx, (ast.Store, ast.Del)):
            yield one.id
        elif isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield one.name
            continue
        elif isinstance(one, (ast.Import, ast.ImportFrom)):
            yield from (name for name, _ in imports(one, ()))
        elif isinstance(one, ast.ExceptHandler) and one.name:
            yield one.name
        elif isinstance(one, _SCOPES):
            continue
        waiting.extend(ast.iter_child_nodes(one))


def _changed(node: ast.stmt) -> Iterator[tuple[str, Binding]]:
    """The names whose values a top-level statement changes in place."""
    for name, _ in changed_in_place(node):
        yield name, Computed(node.lineno, "changed after it was defined")


def changed_in_place(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """
    The names to which code gives another content: `x[k] = v`, `x.a = v`, `x += v`, `x.append(v)`.

    Yields:
        Each name, and whether only a call like the last one is the reason.
    """
    for one in ast.walk(node):
        if isinstance(one, (ast.Subscript, ast.Attribute)):
            if isinstance(one.ctx, (ast.Store, ast.Del)):
                yield from ((name, False) for name in _base(one))
        elif isinstance(one, ast.AugAssign):
            yield from ((name, False) for name in _base(one.target))
        elif (
            isinstance(one, ast.Call)
            and isinstance(one.func, ast.Attribute)
            and one.func.attr in _MUTATING
        ):
            yield from ((name, True) for name in _base(one.func.value))


def _base(node: ast.expr) -> Iterator[str]:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _set_by_functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from ((name, node.lineno) for name in node.names)


_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MUTATING = frozenset(
    {
        "add", "append", "appendleft", "clear", "difference_update", "discard", "extend",
        "extendleft", "insert", "intersection_update", "move_to_end", "pop", "popitem", "popleft",
        "remove", "reverse", "rotate", "setdefault", "sort", "subtract",
        "symmetric_difference_update", "update",
    }
)  # fmt: skip
"""Methods of the built-in containers that change them."""
_KINDS: dict[type[ast.stmt], str] = {
    ast.Assign: "bound together with others",
    ast.AugAssign: "bound by `+=` or the like",
    ast.Delete: "removed by `del`",
    ast.For: "bound inside `for`",
    ast.If: "bound inside `if`",
    ast.Try: "bound inside `try`",
    ast.While: "bound inside `while`",
    ast.With: "bound inside `with`",
}
"""How statements bind names; others are rare."""
