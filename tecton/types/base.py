"""
What every data type does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from tecton.types.mismatch import SHOWN_MAX_CHARACTERS

if TYPE_CHECKING:
    import pyarrow as pa


class DataType:
    """One data type; compare with `==`, the name is in `name`."""

    name: ClassVar[str]

    @property
    def spark(self) -> str:
        """The type's name in Spark's DDL."""
        raise NotImplementedError  # each type says its own, as in the methods below

    def accept(self, value: Any) -> Any:
        """JSON → canonical. Null is the caller's matter.

        Raises:
            ValueMismatch: The value is not of this type.
        """
        raise NotImplementedError

    def from_native(self, value: Any) -> Any:
        """Native → canonical; the value comes from a typed column, so it is not checked again."""
        return value

    def to_native(self, value: Any) -> Any:
        """Canonical → native."""
        return value

    def served(self, value: Any) -> Any:
        """Canonical → the form of `get-features` (contract §4)."""
        return value

    def describe(self) -> dict[str, Any]:
        """The type as the HTTP API and the registry spell it: `{"type": "int64"}`."""
        return {"type": self.name}

    def arrow(self) -> pa.DataType:
        """The Arrow type of native values."""
        raise NotImplementedError

    def spelled(self) -> Iterator[str]:
        """The name as definitions spell it, piece by piece: a struct's can be very long."""
        yield self.name.capitalize()

    @property
    def brief(self) -> str:
        """The name, cut to 100 characters."""
        text = ""
        for piece in self.spelled():
            text += piece
            if len(text) > SHOWN_MAX_CHARACTERS:
                return text[: SHOWN_MAX_CHARACTERS - 1] + "…"
        return text

    def __str__(self) -> str:
        return "".join(self.spelled())

    __repr__ = __str__
