"""
Which names can be a path, a Redis key and a column in every store, and how they become one.

Nothing else may make a path, a key or SQL of a name: no two lists of names share one, and none
leads out of where it belongs. A join key becomes text in `rows.encode_key` first.
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
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,254}")
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


def path_of(*parts: str | int) -> str:
    """
    The relative path of a table, folder or document in the store.

    Args:
        parts: Each one folder or file: a name, an id, a number, or some joined by `.`, `-`, `=`.

    Raises:
        ValueError: A part could be several, or lead elsewhere.
    """
    texts = [str(part) for part in parts]
    for text in texts:
        if _PART.fullmatch(text) is None:
            raise ValueError(f"{text[:100]!a} cannot be a folder or file of the store")
    return "/".join(texts)


def key_of(*parts: str) -> str:
    """
    A key, for Redis or for a hash, whose parts can be told apart again.

    Args:
        parts: All but the last without a colon, as ids are; the last one any text.

    Raises:
        ValueError: Another than the last has a colon.
    """
    key = ":".join(parts)
    if ":".join(parts[:-1]).count(":") != max(0, len(parts) - 2):
        raise ValueError(f"only the last part of {key[:100]!a} may have a colon")
    return key


def sql_name(name: str) -> str:
    """A column's name as Spark's SQL takes it, whatever characters are in it."""
    escaped = name.replace("`", "``")
    return f"`{escaped}`"
