"""
The text of a function → the function, in a module of its own.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

SHOWN_CHARACTERS = 100


class CannotLoad(Exception):  # told as a refusal or as a failure by those who load
    """The text of a function does not run."""


def file_of(source: str) -> str:
    """The name under which a text stands in tracebacks."""
    return f"<transformation {hashlib.sha256(source.encode()).hexdigest()[:16]}>"


def load(name: str, source: str) -> Callable[[Any], Any]:
    """
    Run the text of a function.

    Args:
        name: Of the function in it.
        source: The text.

    Raises:
        CannotLoad: It raises something, or there is no such function.
    """
    file = file_of(source)
    # Dataclasses and pickle look classes up in the module that they name.
    module = sys.modules[file] = ModuleType(file)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102  # that is what it is for
    except BaseException as exc:  # users' code may raise anything
        if isinstance(exc, KeyboardInterrupt):
            raise
        raise CannotLoad(what_failed(exc)) from exc
    function = module.__dict__.get(name)
    if not callable(function):
        raise CannotLoad(f"there is no function `{name}` in it")
    loaded: Callable[[Any], Any] = function
    return loaded


def what_failed(exc: BaseException) -> str:
    """What an exception says, in one line; also of one that fails to print itself."""
    return " ".join("".join(traceback.format_exception_only(exc)).split())


def where_failed(exc: BaseException, source: str) -> str:
    """
    The line of a function's text that raised, as a person finds it in the repo.

    Args:
        exc: What was raised.
        source: The text.

    Returns:
        Function, line in the function, and what stands there; "" if it was raised elsewhere.
    """
    import ast

    file = file_of(source)
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(exc.__traceback__)
        if frame.filename == file and frame.lineno is not None
    ]
    if not lines:
        return ""
    text = source.splitlines()[lines[-1] - 1].strip()[:SHOWN_CHARACTERS]
    for node in ast.parse(source).body:
        if node.lineno <= lines[-1] <= (node.end_lineno or node.lineno):
            name = getattr(node, "name", None)
            if name is not None:
                return f"line {lines[-1] - node.lineno + 1} of {name} (`{text}`)"
    return f"`{text}`"
