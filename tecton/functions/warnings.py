"""
What makes a function yield other rows for the same record when it runs again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tecton.functions.modules import Import, Module, imports

_UNSTEADY = {
    "http": "the network",
    "httpx": "the network",
    "numpy.random": "random numbers",
    "os": "the environment",
    "random": "random numbers",
    "requests": "the network",
    "secrets": "random numbers",
    "socket": "the network",
    "time": "the clock",
    "urllib.request": "the network",
}
"""Modules whose answers differ from one run to the next."""

_UNSTEADY_NAMES = {
    "now": "the clock",
    "today": "the clock",
    "utcnow": "the clock",
    "uuid1": "random numbers",
    "uuid4": "random numbers",
    "default_rng": "random numbers",
}
"""Attributes and functions, whatever they are taken from."""


def unsteady(module: Module, node: ast.stmt) -> Iterator[str]:
    """What is unsteady in a definition, a sentence each; best effort."""
    for one in ast.walk(node):
        for what in _sources(module, one):
            line = getattr(one, "lineno", node.lineno)
            yield (
                f"{module.place(line)}: the function depends on {what}, so a replay or a backfill "
                "of the same record can yield other rows than its ingest"
            )


def _sources(module: Module, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and node.attr in _UNSTEADY_NAMES:
        yield _UNSTEADY_NAMES[node.attr]
    elif isinstance(node, ast.Name):
        if node.id == "open" and not module.bindings.get("open"):
            yield "files"
        for binding in module.bindings.get(node.id, []):
            if isinstance(binding, Import):
                yield from _unsteady_import(binding)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for _, binding in imports(node, module.package):
            yield from _unsteady_import(binding)


def _unsteady_import(binding: Import) -> Iterator[str]:
    whole = binding.module if binding.name is None else f"{binding.module}.{binding.name}"
    for name, what in _UNSTEADY.items():
        if whole == name or whole.startswith(f"{name}."):
            yield what
    if binding.name in _UNSTEADY_NAMES:
        yield _UNSTEADY_NAMES[binding.name]
