"""
How two transformations differ.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from tecton.applied import AppliedFunction

SHOWN_LINES = 40
"""Of a difference between two functions."""


def is_same_code(old: AppliedFunction | None, new: AppliedFunction | None) -> bool:
    """Do two functions do the same, however they are laid out and commented?"""
    if old is None or new is None or (old.name, old.mode) != (new.name, new.mode):
        return old == new
    if old.source == new.source:
        return True
    try:
        before, after = (ast.dump(ast.parse(one.source)) for one in (old, new))
    except SyntaxError:
        # Written for a Python that this one does not read.
        return False
    return before == after


def function_difference(old: AppliedFunction | None, new: AppliedFunction | None) -> str:
    """What differs: one line, and below it the changed lines of the text."""
    if old is None or new is None:
        return f"function: {_named(old)} → {_named(new)}"
    lines = list(_changed_lines(old.source, new.source))
    if len(lines) > SHOWN_LINES:
        lines = [*lines[:SHOWN_LINES], f"… and {len(lines) - SHOWN_LINES} more lines"]
    what = "layout and comments alone" if is_same_code(old, new) else "changed"
    if old.mode != new.mode:
        what = f"mode {old.mode} → {new.mode}"
    return "\n".join([f"function {new.name}: {what}", *(f"  {line}" for line in lines)])


def _named(function: AppliedFunction | None) -> str:
    return "none" if function is None else f"{function.name} (mode {function.mode})"


def _changed_lines(old: str, new: str) -> Iterator[str]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=1, lineterm="")
    for number, line in enumerate(lines):
        # The first two name files, of which there are none.
        if number > 1:
            yield line
