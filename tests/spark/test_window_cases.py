"""The case tables by way of Spark: backfill, frontfill, training frames, and Redis filled again.

All cases are keys of two views, so that a handful of jobs runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tecton.applied import AppliedView, BatchRows, WorkspaceState
from tecton.reload import reload_lost
from tecton.rows import encode_key
from tecton.spark.frames import to_arrow
from tecton.spark.point_in_time import ViewPart
from tecton.spark.training import features_for_events
from tecton.testing import build_state
from tecton.timestamps import micros_of
from tests.spark.scene import Scene, utc
from tests.window_cases import (
    CASES,
    EVENT_KEYS,
    FIELDS,
    Case,
    Query,
    Row,
    native,
    source_of,
    view_of,
    wrong,
)

MOMENT = utc(2, 12)
"""Times of the cases are before or after this."""


class Arrival(NamedTuple):
    """A case whose records come as batch rows, or pushed."""

    case: Case
    is_batch: bool

    @property
    def key(self) -> str:
        """Its join key: both arrivals of a case are in one view."""
        return f"{'batch' if self.is_batch else 'pushed'}: {self.case.name}"

    def batch(self) -> Iterable[Row]:
        """What the batch source holds."""
        return [*self.case.batch, *(self.case.records if self.is_batch else ())]


ARRIVALS = [
    *(Arrival(case, True) for case in CASES if case.can_be_batch),
    *(Arrival(case, False) for case in CASES if case.can_be_pushed),
]
Answers = Callable[[AppliedView, list[tuple[str, datetime]]], list[dict[str, Any]]]


class Tables:
    """The cases on a scene.

    Args:
        scene: An empty store and an empty Redis.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        # So early that no event of the cases is too old to be loaded.
        scene.clock.at = utc(3, 0, 1)
        sources = []
        for event_key in EVENT_KEYS:
            uri = str(scene.folder / f"{'_'.join(['batch', *event_key])}.parquet")
            rows = BatchRows(uri=uri, file_format="parquet", timestamp_field="timestamp")
            sources.append(source_of(event_key, batch=rows))
        views = [view_of(source, feature_start_time=utc(-30)) for source in sources]
        self.state: WorkspaceState = build_state(sources, views)

    def arrivals(self, view: AppliedView) -> list[Arrival]:
        return [arrival for arrival in ARRIVALS if arrival.case.event_key == view.event_key]

    def write_batch(self) -> None:
        schema = pa.schema([(field.name, field.dtype.arrow()) for field in FIELDS])
        for view in self.state.views:
            rows = [
                {**native(row, MOMENT), "user_id": arrival.key}
                for arrival in self.arrivals(view)
                for row in arrival.batch()
            ]
            batch = self.state.source_by_name[view.source].batch
            assert batch is not None
            pq.write_table(pa.Table.from_pylist(rows, schema), batch.uri)

    def push(self) -> None:
        for view in self.state.views:
            records = [
                {**native(row, MOMENT), "user_id": arrival.key}
                for arrival in self.arrivals(view)
                if not arrival.is_batch
                for row in arrival.case.records
            ]
            self.scene.push(self.state, *records, source=self.state.source_by_name[view.source])

    def online(
        self, view: AppliedView, asked: list[tuple[str, datetime]]
    ) -> Iterator[dict[str, Any]]:
        nothing = dict.fromkeys((feature.name for feature in view.features), None)
        for key, at in asked:
            [found] = self.scene.online.aggregate([(view, encode_key([key]))], micros_of(at))
            yield nothing if found is None else dict(found.values)

    def offline(
        self, view: AppliedView, asked: list[tuple[str, datetime]], from_source: bool | None = None
    ) -> Iterator[dict[str, Any]]:
        keys, times = zip(*asked, strict=True)
        events = pd.DataFrame(
            {
                "user_id": pd.Series(keys, dtype=object),
                "timestamp": pd.Series(times, dtype="datetime64[us, UTC]"),
                "place": range(len(asked)),
            }
        )
        names = [feature.name for feature in view.features]
        part = ViewPart(view, view.name, names, {"user_id": "user_id"})
        scene = self.scene
        frame = features_for_events(
            scene.stores, self.state, [part], events, "timestamp", from_source
        )
        table = to_arrow(frame.to_spark()).sort_by("place")
        for row in table.to_pylist():
            got = {feature: row[f"{view.name}__{feature.name}"] for feature in view.features}
            yield {
                feature.name: None if value is None else feature.dtype.from_native(value)
                for feature, value in got.items()
            }

    def differences(self, answers: Any, arrivals: Callable[[Arrival], bool], online: bool) -> Any:
        """What is not answered as written, of some arrivals."""
        found = []
        for view in self.state.views:
            asked = [
                (arrival.key, query)
                for arrival in self.arrivals(view)
                if arrivals(arrival)
                for query in _queries(arrival.case, online)
            ]
            answered = answers(view, [(key, MOMENT + query.at) for key, query in asked])
            for (key, query), got in zip(asked, answered, strict=True):
                if is_wrong := wrong(query.expected, got):
                    found.append((key, str(query.at), is_wrong))
        return found


def _queries(case: Case, online: bool) -> Iterable[Query]:
    return case.online_queries() if online else case.queries


def test_cases_hold_by_every_job(scene: Scene) -> None:
    """
    Batch rows after a backfill, online and offline; pushed ones before and after a frontfill; all
    of them online again after Redis was emptied.
    """
    tables = Tables(scene)
    tables.write_batch()
    for view in tables.state.views:
        scene.backfill(tables.state, view)
    assert [] == tables.differences(tables.online, lambda arrival: arrival.is_batch, online=True)

    tables.push()
    assert [] == tables.differences(tables.offline, lambda _: True, online=False)

    scene.frontfill(tables.state)
    assert [] == tables.differences(tables.offline, lambda _: True, online=False)

    scene.online.client.flushall()
    backend = scene.backend
    reports = reload_lost(
        scene.online, backend.history, backend.runs, [tables.state], scene.clock()
    )
    assert 2 == len(list(reports))
    assert [] == tables.differences(tables.online, lambda _: True, online=True)
