"""
What a rule yields, and the rules that many arguments share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple, TypeGuard

from tecton.types import show

LONGEST = timedelta(days=36_525)
"""A hundred years: what is longer stands for no bound and would leave the calendar."""


class Finding(NamedTuple):
    """One broken rule of one object."""

    field: str
    message: str


Findings = Iterator[Finding]
"""What a rule gives; nothing if it is kept."""


def expected(field: str, rule: str, seen: object) -> Finding:
    """An argument that is not what it should be."""
    return Finding(field, f"expected {rule}, saw {show(seen)}; correct it")


def is_a(holder: object, field: str, kind: type, rule: str, *, within: str = "") -> Findings:
    """The argument *field* of *holder* is of a type."""
    value = getattr(holder, field)
    if not isinstance(value, kind):
        yield expected(within + field, rule, value)


def is_text(holder: object, field: str) -> Findings:
    """The argument *field* of *holder* is a text that can be stored, if given."""
    value = getattr(holder, field)
    if value is None:
        return
    if not isinstance(value, str):
        yield expected(field, "a string", value)
    elif not is_utf8(value):
        yield no_text(field, value)


def is_utf8(text: str) -> bool:
    """Can a string be stored? The registry's documents are UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def no_text(field: str, seen: str) -> Finding:
    """A string that is no text."""
    return Finding(field, f"{show(seen)} holds a lone surrogate, which is no character; remove it")


def is_text_mapping(value: object) -> TypeGuard[Mapping[str, str]]:
    """Is it a dict of strings by string?"""
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for item in value.items() for text in item
    )


def is_positive_duration(holder: object, field: str) -> Findings:
    """The argument *field* of *holder* is a usable span of time, if given."""
    value = getattr(holder, field)
    if value is None:
        return
    if not isinstance(value, timedelta) or not timedelta(0) < value <= LONGEST:
        yield expected(field, "a timedelta above 0 and up to 36,525 days, or None", value)
