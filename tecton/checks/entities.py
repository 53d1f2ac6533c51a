"""
The rules of entities.
"""

from __future__ import annotations

from tecton.checks.findings import Finding, Findings, expected
from tecton.checks.schemas import KEY_TYPES, column_name
from tecton.definitions import Entity
from tecton.names import COLUMN_NAME_RULE, is_column_name, is_object_name
from tecton.resolve import sequence
from tecton.types import Field


def check_entity(entity: Entity) -> Findings:
    """The rules of one entity."""
    keys = entity.join_keys
    if keys is None:
        if is_object_name(entity.name) and not is_column_name(entity.name):
            yield Finding(
                "join_keys",
                f"the name `{entity.name}` cannot be a column ({COLUMN_NAME_RULE}); name the "
                "join key in `join_keys`",
            )
        return
    listed = [keys] if isinstance(keys, (str, Field)) else sequence(keys)
    if not listed:
        yield expected("join_keys", "a column name or a list of some", keys)
    for key in listed:
        name = key.name if isinstance(key, Field) else key
        yield from column_name("join_keys", name)
        if isinstance(key, Field) and key.dtype not in KEY_TYPES:
            yield expected("join_keys", f"String or Int64 for join key `{name}`", key.dtype)


def is_right_entity(entity: Entity) -> bool:
    """Can its join keys be trusted? What is wrong is reported at the entity."""
    return not list(check_entity(entity))
