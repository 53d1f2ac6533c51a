"""Records, feature rows and their encoding (contract §1, event identity)."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from tecton.rows import (
    GARBAGE_GRACE_MS,
    Record,
    batch_sequence,
    canonical,
    decode_body,
    encode_body,
    encode_key,
    row_of,
)
from tecton.testing import NOW, build_source, build_view
from tecton.timestamps import micros_of
from tecton.types import Array, Field, Float64, Int64, String, Timestamp

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
VALUES = {"user_id": "u", "timestamp": "2023-01-02T00:25:06.000000Z", "clicked": 1}


@given(st.lists(SCALARS | st.floats(allow_nan=False, allow_infinity=False)))
def test_body_is_read_back(values: list[object]) -> None:
    """decode(encode(x)) = x, exactly."""
    assert repr(decode_body(encode_body(values))) == repr(values)


@given(st.lists(st.text() | st.integers()), st.lists(st.text() | st.integers()))
def test_no_two_keys_share_a_text(one: list[object], other: list[object]) -> None:
    """Keys with `:`, quotes or numbers in them do not collide."""
    assert (encode_key(one) == encode_key(other)) == (one == other)


def test_normalisation_forms_are_different_keys() -> None:
    """NFC and NFD are different bytes."""
    assert encode_key(["é"]) != encode_key(["e\u0301"])


def test_row_has_the_views_key_and_values() -> None:
    """Join keys and columns in schema order; the timestamp is apart."""
    view = build_view()
    row = row_of(view, VALUES, 5, 7)
    assert (row.view, row.key, row.body) == (view.id, '["u"]', b"[1]")
    assert (row.timestamp, row.sequence) == (5, 7)
    assert row.ttl_ms == 7 * 86_400_000


def test_recency_is_timestamp_then_sequence_then_bytes() -> None:
    """One total order: later event, later acceptance, greater encoding."""
    view = build_view()
    rows = [
        row_of(view, VALUES, 1, 9),
        row_of(view, VALUES, 2, -5),
        row_of(view, VALUES, 2, 1),
        row_of(view, {**VALUES, "clicked": 2}, 2, 1),
    ]
    for shuffled in permutations(rows):
        assert sorted(shuffled, key=lambda row: row.order) == rows


def test_batch_rows_are_older_than_any_push() -> None:
    """A batch sequence is negative and grows with the run."""
    assert batch_sequence(NOW) < batch_sequence(NOW + timedelta(microseconds=1)) < 0
    assert batch_sequence(datetime(2254, 1, 1, tzinfo=timezone.utc)) < 0


def test_row_outlives_its_ttl_as_garbage_only() -> None:
    """Redis forgets it an hour after the reader does; without a ttl never."""
    view = build_view(ttl=timedelta(seconds=1, microseconds=1))
    row = row_of(view, VALUES, micros_of(NOW))
    served_until = micros_of(NOW) // 1000 + 1001
    assert row.collected_at_ms is not None
    assert row.collected_at_ms >= served_until + GARBAGE_GRACE_MS
    assert row_of(build_view(ttl=None), VALUES, 0).collected_at_ms is None


def test_record_is_stored_in_schema_order() -> None:
    """Canonical JSON, as the push table keeps it."""
    encoded = Record(build_source(), VALUES, ()).encode()
    assert encoded == (b'{"user_id":"u","timestamp":"2023-01-02T00:25:06.000000Z","clicked":1}')


def test_native_values_become_canonical() -> None:
    """Times as text, NaN by name, null as null."""
    fields = [
        Field("at", Timestamp),
        Field("x", Float64),
        Field("n", Int64),
        Field("s", Array(String)),
    ]
    native = {"at": NOW, "x": math.nan, "n": None, "s": ["a", None]}
    assert canonical(fields, native) == {
        "at": "2023-01-03T12:00:00.000000Z",
        "x": "NaN",
        "n": None,
        "s": ["a", None],
    }
