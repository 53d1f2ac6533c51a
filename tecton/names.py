"""
Which names can be a path, a Redis key and a column in every store.
"""

from __future__ import annotations

import re

RESERVED_COLUMNS = frozenset({"_sequence", "_tie", "_origin", "_date", "_valid_from", "_valid_to"})
"""Columns that the system adds itself."""

EVENT_COLUMN = "_event_{name}"
"""The column of a view with a function that keeps the source's column `name` of the event key."""

OBJECT_NAME_RULE = (
    "1 to 128 letters, digits, `_`, `.` and `-`, beginning with a letter, a digit or `_`"
)
COLUMN_NAME_RULE = "1 to 128 letters, digits and `_`, beginning with a letter or `_`"
FEATURE_NAME_RULE = "1 to 128 letters, digits and `_`"

_OBJECT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FEATURE_NAME = re.compile(r"[A-Za-z0-9_]{1,128}")


def is_object_name(name: object) -> bool:
    """Can this be the name of a workspace or of an object in it?"""
    return isinstance(name, str) and _OBJECT_NAME.fullmatch(name) is not None


def is_column_name(name: object) -> bool:
    """Can this be the name of a column?"""
    return isinstance(name, str) and _COLUMN_NAME.fullmatch(name) is not None


def is_feature_name(name: object) -> bool:
    """Can this be the name of an aggregate? It never stands as a column of its own."""
    return isinstance(name, str) and _FEATURE_NAME.fullmatch(name) is not None
