"""
Which functions cannot be carried over, whatever they use.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import FunctionType

from tecton.functions.modules import Import, Module, imports, repo_file

VIEW_DECORATOR = "stream_feature_view"


class CannotCapture(Exception):  # a finding of a plan, not a failure
    """Something that a function uses cannot be carried over."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")


def refuse_kind(function: FunctionType, where: str) -> None:
    """Refuse what is no plain function of one argument."""
    reason = _reason_against(function)
    if reason is not None:
        raise CannotCapture(where, reason)


def _reason_against(function: FunctionType) -> str | None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "the function is `async`; nothing awaits it, make it a plain one"
    if inspect.isgeneratorfunction(function):
        return "the function yields its rows; return them as a list"
    if function.__name__ == "<lambda>":
        return "the function is a lambda; define it by `def`"
    if function.__code__.co_freevars:
        names = ", ".join(f"`{name}`" for name in function.__code__.co_freevars)
        return f"the function uses {names} of a function around it; define it at the top of a file"
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        return "the function must take one argument: the record, or the frame of records"
    return None


def refuse_decorators(module: Module, node: ast.FunctionDef) -> None:
    """Refuse decorators beside that which makes the view: they would be lost."""
    for decorator in node.decorator_list:
        callee = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not _makes_view(module, callee):
            raise CannotCapture(
                module.place(decorator.lineno),
                f"the function has the decorator `{ast.unparse(callee)}`; only {VIEW_DECORATOR} "
                "can stand there, call inside the function what the other does",
            )


def _makes_view(module: Module, callee: ast.expr) -> bool:
    if isinstance(callee, ast.Attribute):
        return callee.attr == VIEW_DECORATOR
    return isinstance(callee, ast.Name) and any(
        isinstance(binding, Import) and binding.name == VIEW_DECORATOR
        for binding in module.bindings.get(callee.id, [])
    )


def refuse_inside(module: Module, node: ast.stmt, root: Path) -> None:
    """Refuse what a definition does that depends on where it runs."""
    for one in ast.walk(node):
        if isinstance(one, ast.Global):
            names = ", ".join(f"`{name}`" for name in one.names)
            raise CannotCapture(
                module.place(one.lineno),
                f"`global` sets {names} from inside a function; what a record yields must depend "
                "on the record alone",
            )
        if isinstance(one, (ast.Import, ast.ImportFrom)):
            for _, binding in imports(one, module.package):
                if repo_file(root, binding.module) is not None:
                    raise CannotCapture(
                        module.place(one.lineno),
                        f"{binding.module} is a module of the repo and is imported inside a "
                        "function; import what is used of it at the top of the file, by name",
                    )
