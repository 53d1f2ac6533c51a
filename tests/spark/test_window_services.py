"""Aggregating views in feature services: several keys and views, kept in one store or the other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tecton.applied import AppliedAggregation, AppliedView, BatchRows
from tecton.errors import NotFound
from tecton.reload import Reloaded, reload_lost
from tecton.rows import encode_key
from tecton.spark.point_in_time import ViewPart
from tecton.spark.training import features_for_events
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import micros_of
from tecton.types import Field, Float64, Int64, String, Timestamp
from tests.spark.scene import DAY, MINUTE, Scene, utc

HOUR = timedelta(hours=1)
FIELDS = [
    Field("user_id", String),
    Field("shop_id", Int64),
    Field("timestamp", Timestamp),
    Field("item", String),
    Field("amount", Float64),
]
AT = utc(2, 12)


def aggregation(column: str, function: str, window: timedelta, **parts: Any) -> AppliedAggregation:
    return AppliedAggregation(
        name=f"{column}_{function}", column=column, function=function, time_window=window, **parts
    )


class Shops:
    """One source with batch rows, and views of it with other keys, windows and stores."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        # When the day of the events has just ended, so that all of them are loaded.
        scene.clock.at = utc(3, 0, 1)
        batch = BatchRows(uri=scene.batch_uri, file_format="parquet", timestamp_field="timestamp")
        source = build_source("purchases", FIELDS, event_key=("item",), batch=batch)

        def view(name: str, keys: tuple[str, ...], **changes: Any) -> AppliedView:
            windows = tuple(sorted(changes.pop("windows", ()), key=lambda a: a.name))
            ttl = None if windows else DAY
            changes = {"feature_start_time": utc(-5), "ttl": ttl, **changes}
            return build_view(source, name, keys, aggregations=windows, **changes)

        self.spending = view(
            "spending",
            ("user_id", "shop_id"),
            windows=[
                aggregation("amount", "sum", HOUR),
                aggregation("item", "last_distinct", DAY, n=2),
            ],
        )
        self.visits = view(
            "visits",
            ("user_id",),
            offline=False,
            windows=[aggregation("shop_id", "first_distinct", DAY, n=3)],
        )
        self.unserved = view(
            "unserved", ("shop_id",), online=False, windows=[aggregation("item", "count", HOUR)]
        )
        self.newest = view("newest", ("shop_id",))
        self.views = [self.spending, self.visits, self.unserved, self.newest]
        self.state = build_state([source], self.views)

    def parts(self) -> list[ViewPart]:
        """A service: one feature of a view under another name, keys under other names."""
        return [
            ViewPart(self.spending, "spent", ["amount_sum"], _same("user_id", "shop_id")),
            ViewPart(self.spending, "bought", ["item_last_distinct"], _same("user_id", "shop_id")),
            ViewPart(self.newest, "newest", ["amount"], {"shop_id": "shop_id"}),
            ViewPart(self.unserved, "unserved", ["item_count"], {"shop_id": "other_shop"}),
            ViewPart(self.visits, "visits", ["shop_id_first_distinct"], {"user_id": "buyer"}),
        ]

    def write_batch(self, *rows: tuple[Any, ...]) -> None:
        schema = pa.schema([(field.name, field.dtype.arrow()) for field in FIELDS])
        listed = [dict(zip(schema.names, row, strict=True)) for row in rows]
        pq.write_table(pa.Table.from_pylist(listed, schema), self.scene.batch_uri)

    def train(self, events: Any, parts: list[ViewPart] | None = None, **options: Any) -> Any:
        parts = parts or self.parts()
        stores = self.scene.stores
        return features_for_events(stores, self.state, parts, events, "at", **options).to_pandas()

    def online(self, view: AppliedView, *key: Any, at: datetime = AT) -> Any:
        [found] = self.scene.online.aggregate([(view, encode_key(list(key)))], micros_of(at))
        return found and dict(found.values)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def asked(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Events with the keys of the service."""
    columns = list(zip(*rows, strict=True))
    frame = pd.DataFrame(
        {
            "user_id": pd.Series(columns[0], dtype=object),
            "shop_id": pd.Series(columns[1], dtype="Int64"),
            "other_shop": pd.Series(columns[2], dtype="Int64"),
            "buyer": pd.Series(columns[3], dtype=object),
            "at": pd.Series(columns[4], dtype="datetime64[ns, UTC]"),
        }
    )
    # An index is kept, whatever it is.
    return frame.set_axis([7] * len(rows))


def answers(frame: pd.DataFrame) -> list[list[Any]]:
    names = [name for name in frame.columns if "__" in name]
    rows = frame[names].astype(object).itertuples(index=False)
    return [[_plain(value) for value in row] for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, np.ndarray)):
        return list(value)
    return None if pd.isna(value) else value


BATCH = [
    ("u", 1, AT - 50 * MINUTE, "tea", 2.5),
    ("u", 1, AT - 50 * MINUTE, "cup", 4.0),
    ("u", 2, AT - 40 * MINUTE, "tea", 100.0),
    ("v", 1, AT - 30 * MINUTE, "pot", 7.0),
    ("u", 1, AT - 5 * HOUR, "tea", 1.0),
    (None, 1, AT - 5 * MINUTE, "lost", 1.0),
    ("u", None, AT - 5 * MINUTE, "lost", 1.0),
]
PUSHED = [
    ("u", 1, AT - 50 * MINUTE, "cup", 40.0),
    ("u", 2, AT - 40 * MINUTE, "tea", 100.0),
    ("w", 2, AT - 10 * MINUTE, "jam", None),
]
QUESTIONS = asked(
    ("u", 1, 1, "u", AT),
    ("u", 1, 2, "v", AT - 50 * MINUTE - timedelta(microseconds=1)),
    ("u", 1, 2, "u", AT - 50 * MINUTE),
    ("w", 2, 2, "w", AT + 50 * MINUTE - timedelta(microseconds=1)),
    (None, 1, None, None, AT),
    ("u", None, 3, "nobody", AT),
    ("u", 1, 1, "u", pd.NaT),
    ("u", 1, 1, "u", AT),
)


@pytest.fixture
def shops(scene: Scene) -> Shops:
    """Batch rows that are backfilled, and nothing pushed yet."""
    shops = Shops(scene)
    shops.write_batch(*BATCH)
    return shops


EXPECTED = [
    # spent, bought, newest, unserved, visits
    [42.5, ["tea", "cup"], 1.0, 4, [1, 2]],
    [None, ["tea"], 1.0, None, None],
    [42.5, ["tea", "cup"], 40.0, None, [1]],
    [None, ["jam"], None, 1, [2]],
    [None, None, 1.0, None, None],
    [None, None, None, None, None],
    [None, None, None, None, None],
    [42.5, ["tea", "cup"], 1.0, 4, [1, 2]],
]


def test_views_of_one_source_with_keys_of_their_own(shops: Shops) -> None:
    """Before and after a frontfill, materialised or computed, in one frame with repeated rows."""
    scene = shops.scene
    for view in shops.views:
        scene.backfill(shops.state, view)
    scene.push(shops.state, *PUSHED)
    before = shops.train(QUESTIONS)
    pd.testing.assert_frame_equal(before[list(QUESTIONS.columns)], QUESTIONS)
    assert answers(before) == EXPECTED
    assert answers(shops.train(QUESTIONS, from_source=True)) == EXPECTED
    kept = [part for part in shops.parts() if part.view.offline]
    # Without the pushed records the batch rows of one time are in the order of their bytes.
    assert answers(shops.train(QUESTIONS[:1], kept, from_source=False)) == [
        [6.5, ["cup", "tea"], 1.0, 4]
    ]
    with pytest.raises(NotFound, match="feature view visits has no materialised data"):
        shops.train(QUESTIONS, from_source=False)
    scene.frontfill(shops.state)
    assert answers(shops.train(QUESTIONS)) == EXPECTED


def test_what_was_accepted_later_is_not_known(shops: Shops) -> None:
    """`as_known`: a correction counts from its acceptance on, until then what it corrects does."""
    for view in shops.views:
        shops.scene.backfill(shops.state, view)
    accepted = [AT - 20 * MINUTE, AT - 20 * MINUTE, AT + 5 * MINUTE]
    sequences = [micros_of(at) + place for place, at in enumerate(accepted)]
    shops.scene.push(shops.state, *PUSHED, sequences=sequences)
    asked_at = [AT - 21 * MINUTE, AT - 19 * MINUTE, AT, AT + 6 * MINUTE]
    questions = asked(*(("u", 1, 2, "w", at) for at in asked_at))
    spent = [ViewPart(shops.spending, "s", ["amount_sum"], _same("user_id", "shop_id"))]
    unserved = [ViewPart(shops.unserved, "u", ["item_count"], {"shop_id": "other_shop"})]
    visits = [ViewPart(shops.visits, "v", ["shop_id_first_distinct"], {"user_id": "buyer"})]
    known = shops.train(questions, [*spent, *unserved, *visits], as_known=True)
    assert answers(known) == [
        [6.5, 1, None],
        [42.5, 1, None],
        [42.5, 1, None],
        [42.5, 2, [2]],
    ]


def test_a_view_without_offline_table_is_loaded_by_jobs(shops: Shops) -> None:
    """Batch rows and pushed ones, and again after Redis was emptied."""
    scene = shops.scene
    scene.push(shops.state, *PUSHED)
    scene.backfill(shops.state, shops.visits)
    assert shops.online(shops.visits, "u") == {"shop_id_first_distinct": [1, 2]}
    assert shops.online(shops.visits, "w") == {"shop_id_first_distinct": [2]}
    scene.online.client.flushall()
    backend = scene.backend
    lost = reload_lost(scene.online, backend.history, backend.runs, [shops.state], scene.clock())
    assert [Reloaded("visits", None)] == list(lost)
    state = build_state(shops.state.sources, [shops.visits], [], id=shops.state.id)
    scene.frontfill(state)
    assert shops.online(shops.visits, "u") == {"shop_id_first_distinct": [1, 2]}


def test_the_batch_source_brings_what_was_pushed(shops: Shops) -> None:
    """The same events from both, in any order of jobs, count once, online and offline."""
    scene, view = shops.scene, shops.spending
    scene.backfill(shops.state, view)
    scene.push(shops.state, *PUSHED[:2])
    shops.write_batch(*BATCH, *PUSHED[2:], ("u", 1, AT - 20 * MINUTE, "new", 0.5))
    # A backfill anew offers everything a second time.
    scene.backfill(shops.state, view)
    scene.frontfill(build_state(shops.state.sources, [view], [], id=shops.state.id))
    expected = {"amount_sum": 43.0, "item_last_distinct": ["cup", "new"]}
    assert shops.online(view, "u", 1) == expected
    part = [ViewPart(view, "s", [*expected], _same("user_id", "shop_id"))]
    for source in (None, True, False):
        frame = shops.train(QUESTIONS[:1], part, from_source=source)
        assert answers(frame) == [[43.0, ["cup", "new"]]]
