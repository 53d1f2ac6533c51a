"""Applied values: what they say of themselves, and that old documents are still read."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tecton.applied import AppliedAggregation, WorkspaceState
from tecton.schema import RecordChecker
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import format_micros
from tecton.types import Array, Field, Float64, Int64, String, Timestamp

HOUR = 3_600_000_000
NOW = 1_700_000_000_000_000
CLICKS = build_source()
FIELDS = [
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("clicked", Int64),
    Field("url", String),
]


def aggregation(
    name: str, function: str, column: str = "clicked", hours: int = 1, n: int = 0
) -> AppliedAggregation:
    """An aggregation; *n* 0 stands for none."""
    window = timedelta(hours=hours)
    return AppliedAggregation(
        name=name, column=column, function=function, time_window=window, n=n or None
    )


SUM = aggregation("clicked_sum_1h_continuous", "sum")
MEAN = aggregation("clicked_mean_2h_continuous", "mean", hours=2)


def test_features_of_an_aggregating_view_are_its_aggregations() -> None:
    """Sorted by name, with the types of the functions' results (contract §1)."""
    listed = (
        aggregation("d", "last", "url"),
        aggregation("c", "last_distinct", "url", n=3),
        aggregation("b", "approx_count_distinct", "url"),
        MEAN,
        SUM,
    )
    view = build_view(build_source(fields=FIELDS), ttl=None, aggregations=listed)
    assert view.features == (
        Field("b", Int64),
        Field("c", Array(String)),
        Field("clicked_mean_2h_continuous", Float64),
        Field("clicked_sum_1h_continuous", Int64),
        Field("d", String),
    )
    assert [field.name for field in view.value_fields] == ["clicked", "url"]


@pytest.mark.parametrize(
    ("changes", "oldest"),
    [
        ({"ttl": None}, None),
        ({"ttl": timedelta(hours=1)}, NOW - HOUR),
        ({"ttl": None, "aggregations": (SUM, MEAN)}, NOW - 2 * HOUR + 1),
    ],
)
def test_read_sees_a_ttl_inclusive_and_a_window_exclusive(
    changes: dict[str, object], oldest: int | None
) -> None:
    """Age is at most ttl; of windows it is t − window < timestamp (contract §1, values)."""
    assert build_view(**changes).oldest_seen(NOW) == oldest


@pytest.mark.parametrize(
    ("age", "is_taken"), [(2 * HOUR - 1, True), (2 * HOUR, False), (2 * HOUR + 1, False)]
)
@pytest.mark.parametrize("online", [True, False])
def test_record_that_no_window_could_hold_is_refused(
    age: int, is_taken: bool, online: bool
) -> None:
    """For an aggregating view when timestamp ≤ now − its longest window (contract §3)."""
    view = build_view(CLICKS, ttl=None, online=online, aggregations=(SUM, MEAN))
    checker = RecordChecker(CLICKS, [view], timedelta(minutes=10))
    record = {"user_id": "a", "timestamp": format_micros(NOW - age), "clicked": 1}
    checked = checker.check(record, 0, NOW)
    if is_taken or not online:
        assert not isinstance(checked, list)
    else:
        assert [problem.message for problem in checked] == [
            "timestamp value is outside of the serving TTL defined for Feature View click_events_fv"
        ]


def test_state_from_before_aggregations_is_read() -> None:
    """A document that does not speak of them has none; one that does keeps them."""
    plain = build_state()
    document = msgspec.json.encode(plain)
    assert b"aggregations" not in document
    assert msgspec.json.decode(document, type=WorkspaceState) == plain
    state = build_state(views=[build_view(ttl=None, aggregations=(SUM, MEAN))])
    assert msgspec.json.decode(msgspec.json.encode(state), type=WorkspaceState) == state
