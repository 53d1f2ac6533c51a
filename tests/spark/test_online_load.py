"""What a job offers to the online store of a view's rows."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, cast
from uuid import uuid4

from pyspark.sql import SparkSession

from tecton.applied import AppliedAggregation
from tecton.rows import FeatureRow, row_of
from tecton.spark.online_load import load_online
from tecton.stores import OnlineStore
from tecton.testing import build_source, build_view
from tecton.timestamps import from_micros, micros_of

NOW = datetime(2023, 1, 3, tzinfo=timezone.utc)
T = micros_of(NOW)
HOUR = 3_600_000_000
SUM = AppliedAggregation(
    name="clicks", column="clicked", function="sum", time_window=timedelta(hours=1)
)


class Offered(NamedTuple):
    """An online store that only writes down what it is offered."""

    folder: Path

    def __call__(self) -> OnlineStore:
        """Connect to it."""
        return cast(OnlineStore, self)

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Write rows down."""
        (self.folder / uuid4().hex).write_bytes(pickle.dumps(list(rows)))

    def tidy(self) -> int:
        """Nothing is untidy."""
        return 0

    def rows(self) -> list[FeatureRow]:
        """What was offered."""
        chunks = [pickle.loads(file.read_bytes()) for file in self.folder.iterdir()]  # noqa: S301
        return sorted((row for chunk in chunks for row in chunk), key=lambda row: row.order)


def test_every_event_of_an_aggregating_view_is_offered(spark: SparkSession, tmp_path: Path) -> None:
    """Those that its longest window still sees, each with its sequence and rank."""
    source = build_source(event_key=("clicked",))
    view = build_view(source, ttl=None, aggregations=(SUM,))
    events = [(T - HOUR + 1, 1, -9, 0), (T, 2, -9, 0), (T, 3, -9, 1), (T, None, 5, 0)]
    rows = [
        ("a", from_micros(at), clicked, sequence, tie)
        for at, clicked, sequence, tie in [(T - HOUR, 7, 5, 0), *events]
    ]
    schema = "user_id string, timestamp timestamp, clicked bigint, _sequence bigint, _tie int"
    store = Offered(tmp_path)

    assert load_online(spark.createDataFrame(rows, schema), view, NOW, store) == 4

    wanted = [
        row_of(view, {"user_id": "a", "clicked": clicked}, at, sequence, tie)
        for at, clicked, sequence, tie in events
    ]
    assert store.rows() == sorted(wanted, key=lambda row: row.order)
