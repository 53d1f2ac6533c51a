"""
Which values at the top of a file are the same wherever their expression is evaluated.
"""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase

from tecton.functions.modules import Import, Module

_BUILTINS = frozenset(
    {
        "abs", "bin", "bool", "bytes", "chr", "complex", "dict", "divmod", "enumerate", "filter",
        "float", "format", "frozenset", "hex", "int", "len", "list", "map", "max", "min", "oct",
        "ord", "pow", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum",
        "tuple", "type", "zip",
    }
)  # fmt: skip
_PACKAGES = frozenset(
    {
        "base64", "bisect", "calendar", "cmath", "collections", "dataclasses", "datetime",
        "decimal", "enum", "fractions", "functools", "hashlib", "html", "ipaddress", "itertools",
        "json", "logging", "math", "numpy", "operator", "pandas", "re", "statistics", "string",
        "struct", "tecton.types", "textwrap", "types", "typing", "unicodedata", "urllib.parse",
        "uuid", "zoneinfo",
    }
)  # fmt: skip
"""Installed packages whose functions give one value for one set of arguments, mostly."""
_NOT_THOSE = (
    "*.now", "*.today", "*.utcnow", "json.load", "numpy.from*", "numpy.genfromtxt", "numpy.load*",
    "numpy.memmap", "numpy.random.*", "pandas.read_*", "uuid.uuid1", "uuid.uuid4",
)  # fmt: skip


def reason_against(value: ast.expr, module: Module) -> str | None:
    """What in an expression may give another value elsewhere; None: nothing."""
    for node in ast.walk(value):
        if isinstance(node, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)):
            return f"`{ast.unparse(node)[:60]}`"
        if isinstance(node, ast.Call) and not _is_steady(node.func, module):
            return f"`{ast.unparse(node)[:60]}`"
    return None


def _is_steady(callee: ast.expr, module: Module) -> bool:
    path = _path(callee)
    if path is None:
        # A method of a value that is looked at itself.
        return True
    bindings = module.bindings.get(path[0], [])
    if not bindings:
        return len(path) > 1 or path[0] in _BUILTINS
    found = bindings[0]
    if not isinstance(found, Import):
        return True
    start = path[0] if found.is_path else found.target
    name = ".".join([start, *path[1:]])
    if any(fnmatchcase(name, pattern) for pattern in _NOT_THOSE):
        return False
    return _is_known(name) or found.is_of_repo(module.root)


def _is_known(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in _PACKAGES)


def _path(node: ast.expr) -> list[str] | None:
    """`a.b.c` as its parts; None for what does not begin with a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else None
