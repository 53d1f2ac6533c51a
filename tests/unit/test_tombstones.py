"""Which rows an erasure hides."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tecton.rows import batch_sequence, row_of
from tecton.testing import NOW, build_view
from tecton.timestamps import MICROSECOND, micros_of
from tecton.tombstones import Tombstones, key_hash

VIEW = build_view()
UNTIL = micros_of(NOW)


@pytest.mark.parametrize(
    ("user", "sequence", "is_kept"),
    [
        ("a", UNTIL, False),
        ("a", UNTIL + 1, True),
        ("a", batch_sequence(NOW), False),
        ("a", batch_sequence(NOW + MICROSECOND), True),
        ("a", batch_sequence(NOW - timedelta(days=9)), False),
        ("b", UNTIL, True),
    ],
)
def test_rows_up_to_the_erasure_are_hidden(user: str, sequence: int, is_kept: bool) -> None:
    """Pushed ones by their sequence, batch rows by when their run began; other keys stay."""
    stones = Tombstones("00", {key_hash("00", ["a"]): UNTIL}, {})
    row = row_of(VIEW, {"user_id": user, "clicked": 1}, UNTIL, sequence)
    assert list(stones.kept([row])) == [row] * is_kept


def test_keys_are_told_apart() -> None:
    """Whatever their parts, and other workspaces have other hashes."""
    hashes = {key_hash("0", key) for key in (["a", "b"], ["ab", ""], ["a:b"], [1], [-1])}
    assert len({*hashes, key_hash("1", ["a:b"])}) == 6
