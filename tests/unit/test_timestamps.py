"""RFC 3339 texts and microseconds (contract §3, schema)."""

# ruff: noqa: DTZ001 - Hypothesis takes naive bounds, and naive times are what is tested

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecton.timestamps import (
    format_micros,
    from_micros,
    micros_of,
    parse_rfc3339,
    parse_stored,
)

INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(timezone.utc)
)
SECOND_2023 = 1_672_619_106_000_000
"""2023-01-02T00:25:06Z"""


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2023-01-02T00:25:06Z", SECOND_2023),
        ("2023-01-02t00:25:06z", SECOND_2023),
        ("2023-01-02T00:25:06-00:00", SECOND_2023),
        ("2023-01-02T14:25:06+14:00", SECOND_2023),
        ("2023-01-01T23:55:06-00:30", SECOND_2023),
        ("2023-01-02T00:25:06.1Z", SECOND_2023 + 100_000),
        ("2023-01-02T00:25:06.123456Z", SECOND_2023 + 123_456),
        ("2023-01-02T00:25:06.123456999Z", SECOND_2023 + 123_456),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_accepted_spellings(text: str, micros: int) -> None:
    """`T` and `Z` in either case, any offset; digits past microseconds are cut."""
    assert parse_rfc3339(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023-01-02",
        "2023-01-02T00:25:06",
        "2023-01-02 00:25:06Z",
        " 2023-01-02T00:25:06Z",
        "2023-01-02T00:25:06Z\n",
        "2023-01-02T00:25:06 Z",
        "2023-01-02T00:25Z",
        "2023-01-02T00:25:06.Z",
        "2023-01-02T00:25:06,5Z",
        "2023-01-02T00:25:60Z",
        "2023-01-02T24:00:00Z",
        "2023-02-30T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-01-02T00:25:06+24:00",
        "2023-01-02T00:25:06+01:60",
        "2023-01-02T00:25:06+0100",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2023-W01-1T00:00:00Z",
        "٢٠٢٣-01-02T00:25:06Z",
        "1672619106",
    ],
)
def test_refused_spellings(text: str) -> None:
    """No offset, a bare date, a number, spaces, second 60 and impossible dates are refused."""
    assert parse_rfc3339(text) is None


@given(INSTANTS)
def test_text_of_an_instant_is_read_back(at: datetime) -> None:
    """parse(format(x)) = x."""
    micros = micros_of(at)
    assert parse_rfc3339(format_micros(micros)) == micros
    assert from_micros(micros) == at


@given(INSTANTS, st.integers(-23 * 60, 23 * 60))
def test_isoformat_with_any_offset_is_read(at: datetime, offset: int) -> None:
    """What the documentation advises Python clients to send is understood."""
    local = at.astimezone(timezone(timedelta(minutes=offset)))
    assert parse_rfc3339(local.isoformat()) == micros_of(at)


def test_naive_datetime_is_utc() -> None:
    """A naive time means UTC (contract §1)."""
    assert micros_of(datetime(1970, 1, 2)) == 86_400_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2023-01-02T00:25:06.000000Z",
        "1969-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00.000000Z",
        "9999-12-31T23:59:59.999999Z",
        "2023-01-02T00:25:06Z",
        "2023-01-02T00:25:06.000000z",
        "2023-01-02T00:25:06.000000+01:00",
        "2023-01-02 00:25:06.000000Z",
        "2023-W01-1T00:25:06.000000Z",
        "2023-01-02T00:25:06,000000Z",
        "2023-02-30T00:25:06.000000Z",
        "2023-01-02T00:25:06.000000+",
        "20230102T002506Z",
        "",
        "Z",
    ],
)
def test_stored_times_are_read_as_any_other(text: str) -> None:
    """The fast way gives the same answer, whatever it is given."""
    assert parse_stored(text) == parse_rfc3339(text)
