"""
How messages show values, above all one that is not of its declared type.
"""

from __future__ import annotations

SHOWN_MAX_CHARACTERS = 100


class ValueMismatch(ValueError):
    """A value is not of the declared type.

    Args:
        expected: What the type asks for, in words.
        seen: The value as it came; shown cut to 100 characters.
        path: Where inside an array, struct or map, as `[2].price`.
    """

    def __init__(self, expected: str, seen: object, path: str = "") -> None:
        self.expected = expected
        self.seen = show(seen)
        self.path = path
        super().__init__(f"expected {expected}, saw {self.seen}")

    def inside(self, step: str) -> ValueMismatch:
        """The same mismatch, one step further out."""
        outer = ValueMismatch(self.expected, None, step + self.path)
        outer.seen = self.seen
        outer.args = self.args
        return outer


def show(value: object) -> str:
    """A value as messages show it: its JSON kind of repr, cut to 100 characters."""
    if value is None:
        text = "null"
    elif value is True or value is False:
        text = str(value).lower()
    elif isinstance(value, str):
        text = '"' + value[: SHOWN_MAX_CHARACTERS + 1] + '"'
    else:
        text = _repr(value)
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= SHOWN_MAX_CHARACTERS else text[: SHOWN_MAX_CHARACTERS - 1] + "…"


def cut(name: str) -> str:
    """A name from outside as messages show it: without quotes, cut to 100 characters."""
    return show(name)[1:-1] if len(name) <= SHOWN_MAX_CHARACTERS - 2 else show(name)[1:]


def _repr(value: object) -> str:
    """Python's repr, without building a huge one: containers are shown by kind and size."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN_MAX_CHARACTERS:
        return "an integer of over 100 digits"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return repr(value)
