"""
The workspace that is tortured: a view of newest rows, two that aggregate, one with an event key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tecton.applied import AppliedAggregation, AppliedSource, AppliedView, BatchRows, WorkspaceState
from tecton.testing import build_service, build_source, build_state, build_view
from tecton.timestamps import format_micros
from tecton.types import Field, Int64, String, Timestamp

WORKSPACE = "torture"
SERVICE = "all"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

EVENTS = "events"
ORDERS = "orders"
NEWEST = "newest"
WINDOWS = "windows"
COUNTED = "counted"

_EVENT_FIELDS = (Field("user_id", String), Field("timestamp", Timestamp), Field("n", Int64))
_ORDER_FIELDS = (*_EVENT_FIELDS, Field("order", String))


class Sent(NamedTuple):
    """One record or batch row.

    Args:
        source: Its source's name.
        user: Its join key.
        timestamp: µs since the epoch.
        n: Its value, and that of no other.
        order: Tells events of one key and time apart, where the source has an event key.
    """

    source: str
    user: str
    timestamp: int
    n: int
    order: str = ""

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        record = {"user_id": self.user, "timestamp": format_micros(self.timestamp), "n": self.n}
        return {**record, "order": self.order} if self.source == ORDERS else record

    def values(self) -> Mapping[str, Any]:
        """Canonical values by column."""
        return {"n": self.n, "order": self.order} if self.source == ORDERS else {"n": self.n}


def build(batch: Path | None = None) -> WorkspaceState:
    """
    The workspace.

    Args:
        batch: A parquet file with batch rows of the source `events`.
    """
    rows = None
    if batch is not None:
        rows = BatchRows(uri=str(batch), file_format="parquet", timestamp_field="timestamp")
    events = build_source(EVENTS, _EVENT_FIELDS, batch=rows)
    orders = build_source(ORDERS, _ORDER_FIELDS, event_key=("order",))
    views = [
        build_view(events, NEWEST),
        _aggregating(events, WINDOWS),
        _aggregating(orders, COUNTED),
    ]
    services = [build_service(*views, name=SERVICE)]
    return build_state([events, orders], views, services, name=WORKSPACE)


def _aggregating(source: AppliedSource, name: str) -> AppliedView:
    features = (
        _aggregation("n_count_1h", "count", HOUR),
        _aggregation("n_last_3_1d", "last", DAY, n=3),
        _aggregation("n_max_1d", "max", DAY),
        _aggregation("n_mean_1h", "mean", HOUR),
        _aggregation("n_sum_1d", "sum", DAY),
    )
    return build_view(source, name, ttl=None, aggregations=features)


def _aggregation(
    name: str, function: str, window: timedelta, n: int | None = None
) -> AppliedAggregation:
    return AppliedAggregation(name=name, column="n", function=function, time_window=window, n=n)
