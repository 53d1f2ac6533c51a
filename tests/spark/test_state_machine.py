"""Pushes, jobs, batch files, losses and maintenance in any order give what a dict gives."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from pyspark.sql import SparkSession

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import AppliedView
from tecton.periods import Period
from tecton.spark.backfill import backfill, rerun
from tecton.spark.frontfill import frontfill
from tecton.spark.maintain import maintain
from tecton.spark.point_in_time import ViewPart
from tecton.spark.training import features_for_events
from tecton.timestamps import from_micros, micros_of
from tests.machine import Machine, play
from tests.machine_hosts import DAY, HOUR, MICROSECOND, SECOND, USERS
from tests.machine_requests import HOSTS, REQUESTS, Drawn
from tests.model import Generation
from tests.spark.scene import NOW, Scene

MOST_JOBS = 4
"""Of an example: each is some seconds of Spark."""


class BatchRow(NamedTuple):
    """A row of the batch file; some belong to nobody."""

    user: str | None
    back: timedelta
    part: str
    amount: int | None


_ROWS = st.lists(
    st.builds(
        BatchRow,
        st.sampled_from([*USERS, *USERS, None]),
        st.sampled_from([9 * HOUR, 12 * HOUR, 25 * HOUR, 3 * DAY, -HOUR, -DAY]),
        st.sampled_from("ab"),
        st.none() | st.integers(-2, 9),
    ),
    max_size=6,
)
_HOURS = st.lists(st.integers(0, 80), min_size=1, max_size=4)


class JobsMachine(Machine):
    """All that the services do, and the jobs between."""

    def __init__(self, spark: SparkSession, folder: Path, redis_url: str) -> None:
        self.scene = Scene(spark, folder, redis_url, RedisOnlineStore.connect(redis_url))
        self.jobs = 0
        batch = self.scene.source().batch
        super().__init__(folder, redis_url, NOW, batch=batch)
        self.base = self.now
        self.model.files["clicks"] = []
        self.write_file([])

    def teardown(self) -> None:
        """See whether training frames are right at the end too."""
        if self.jobs and sys.exc_info()[0] is None:
            self.compare_frames([0, 1, 5])
        super().teardown()

    def views(self, views: Sequence[AppliedView]) -> list[AppliedView]:
        """Periods of different lengths."""
        return [
            msgspec.structs.replace(view, batch_schedule=(1 + number) * DAY)
            for number, view in enumerate(views)
        ]

    def advance(self, by: timedelta = SECOND) -> None:
        """The jobs' clock too."""
        super().advance(by)
        self.scene.clock.at = self.now

    @initialize(rows=_ROWS, is_loaded=st.booleans())
    def begin(self, rows: Sequence[BatchRow], is_loaded: bool) -> None:
        """There is a batch file; all is loaded, or nothing is."""
        self.change_file(rows, None, True)
        if is_loaded:
            self.run_due(0, [])

    @rule(rows=_ROWS, gone=st.none() | st.integers(0, 9), is_corrected=st.booleans())
    def change_file(self, rows: Sequence[BatchRow], gone: int | None, is_corrected: bool) -> None:
        """Rows come, are corrected or vanish."""
        self.advance()
        kept = list(self.model.files["clicks"])
        if gone is not None and gone < len(kept):
            old = kept.pop(gone)
            if is_corrected:
                kept.append({**old, "amount": 77})
        hour = self.base.replace(minute=0)
        kept += [
            {
                "user_id": row.user,
                "timestamp": micros_of(hour - row.back),
                "part": row.part,
                "amount": row.amount,
            }
            for row in rows
        ]
        self.write_file(kept)

    def write_file(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the batch file anew."""
        self.model.files["clicks"] = list(rows)
        named = [{**row, "timestamp": from_micros(row["timestamp"])} for row in rows]
        pq.write_table(pa.Table.from_pylist(named, _FILE), self.scene.batch_uri)

    @precondition(lambda self: self.jobs < MOST_JOBS)
    @rule(view=st.integers(0, 9), host=HOSTS, drawn=REQUESTS)
    def backfill(self, view: int, host: int, drawn: Sequence[Drawn]) -> None:
        """A whole view, again or for the first time; requests come while it runs."""
        self.begin_job()
        one = self.model.views[self.state.views[view % len(self.state.views)].name]
        self.empty([one])
        self.model.backfill_batch(one, self.end(one, self.now))

        def wait(_: datetime) -> None:
            self.ingest(host, drawn, False)
            self.refresh()

        list(backfill(self.scene.stores, self.state, one.view, wait))
        self.refresh()
        self.model.finish_backfill(one)

    @precondition(lambda self: self.jobs < MOST_JOBS)
    @rule(view=st.integers(0, 9), days=st.integers(1, 3))
    def rerun(self, view: int, days: int) -> None:
        """Some periods of a view, again."""
        self.begin_job()
        one = self.model.views[self.state.views[view % len(self.state.views)].name]
        if one.view.source not in self.model.files:
            return
        end = from_micros(self.end(one, self.now))
        period = Period(end - days * one.view.batch_schedule, end)
        self.empty([one])
        list(rerun(self.scene.stores, self.state, one.view, [period]))
        self.model.replace(one, *map(micros_of, period))
        self.trust([one])

    @precondition(lambda self: self.jobs < MOST_JOBS)
    @rule(days=st.sampled_from([0, 0, 1, -2]), drawn=st.just([]) | REQUESTS)
    def run_due(self, days: int, drawn: Sequence[Drawn]) -> None:
        """All that is due, by a clock that is right or not; requests come while it runs."""
        self.begin_job()
        at = self.now + days * DAY
        self.refresh()
        ones = [self.model.views[view.name] for view in self.state.views]
        self.empty(ones)
        lacking = [
            one for one in ones if not one.is_backfilled or (one.view.online and not one.is_loaded)
        ]
        for one in ones:
            # A lost view is filled from its offline table, which a changed file leaves as it is.
            if one in lacking and not (one.is_backfilled and one.view.offline):
                self.model.backfill_batch(one, self.end(one, at))
            elif one.view.source in self.model.files:
                self.model.replace(one, one.view.start_micros, self.end(one, at), is_due=True)
        for _ in frontfill(self.scene.stores, self.state, self.state.views, at, lambda _: None):
            if drawn:
                self.ingest(0, drawn, False)
                drawn = []
        for one in lacking:
            self.model.finish_backfill(one)
        self.trust(ones)

    @precondition(lambda self: self.jobs < MOST_JOBS)
    @rule()
    def maintain_all(self) -> None:
        """Offline tables too."""
        self.begin_job()
        backend = self.scene.backend
        list(maintain(self.scene.stores, backend.care, self.state, [self.state]))
        self.check_what_was_dropped()

    @rule()
    def lose_checkpoints(self) -> None:
        """Those of the streams."""
        self.advance()
        shutil.rmtree(self.folder / "store" / "checkpoints", ignore_errors=True)

    @precondition(lambda self: 0 < self.jobs < MOST_JOBS)
    @rule(hours=_HOURS)
    def train(self, hours: Sequence[int]) -> None:
        """Training frames."""
        self.begin_job()
        self.compare_frames(hours)

    def begin_job(self) -> None:
        """Count a job."""
        self.advance()
        self.jobs += 1

    def end(self, one: Generation, at: datetime) -> int:
        """Where the last period ends that has ended, in µs."""
        schedule = one.view.batch_schedule // MICROSECOND
        return micros_of(at) // schedule * schedule

    def compare_frames(self, hours: Iterable[int]) -> None:
        """Features at times before the clock, and now, are what the model says."""
        self._compare([one for one in self.model.views.values() if one.view.offline], hours)
        # Without an offline table only what the push tables still keep can be asked for.
        self._compare([one for one in self.model.views.values() if not one.view.offline], [0])

    def _compare(self, ones: Iterable[Generation], hours: Iterable[int]) -> None:
        ones = [one for one in ones if one.is_backfilled]
        if not ones:
            return
        times = sorted(
            {self.micros - hour * 3_600_000_000 - edge for hour in hours for edge in (0, 1)}
        )
        asked = [(user, at) for user in USERS for at in times]
        events = pd.DataFrame(
            {
                "user_id": [user for user, _ in asked],
                "timestamp": pd.to_datetime([from_micros(at) for _, at in asked], utc=True),
            }
        )
        parts = [
            ViewPart(
                one.view,
                one.view.name,
                [feature.name for feature in one.view.features],
                {"user_id": "user_id"},
            )
            for one in ones
        ]
        frame = features_for_events(self.scene.stores, self.state, parts, events).to_pandas()
        rows = frame.to_dict("records")
        for (user, at), row in zip(asked, rows, strict=True):
            for one in ones:
                expected = self.model.trained(one, user, at) or {}
                for feature in one.view.features:
                    got = _native(row[f"{one.view.name}__{feature.name}"])
                    assert expected.get(feature.name) == got, (
                        one.view.name,
                        feature.name,
                        user,
                        at,
                    )


_FILE = pa.schema(
    [
        ("user_id", pa.string()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("part", pa.string()),
        ("amount", pa.int64()),
    ]
)


def _native(value: Any) -> Any:
    if isinstance(value, list) or hasattr(value, "tolist"):
        return list(value)
    return None if pd.isna(value) else value


def test_store_is_a_dict(spark: SparkSession, tmp_path: Path, redis_url: str) -> None:
    """Contract §1, §5 and §6, whatever comes between."""
    folders = count()

    def machine() -> JobsMachine:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        return JobsMachine(spark, folder, redis_url)

    run_state_machine_as_test(machine, settings=play(examples=2, steps=22))


def test_one_play_with_everything_between_frontfills(
    spark: SparkSession, tmp_path: Path, redis_url: str
) -> None:
    """What short random plays seldom hold: several frontfills, with pushes and changes between."""
    machine = JobsMachine(spark, tmp_path, redis_url)
    pushed = [Drawn(0, "u1", "a", 3, HOUR // MICROSECOND, None, False)]
    pushed += [Drawn(1, user, "a", 4, 0, None, False) for user in USERS]
    rows = [BatchRow(USERS[0], 25 * HOUR, part, 5) for part in "ab"]
    steps: list[Callable[[], None]] = [
        lambda: machine.begin(rows, False),
        # A backfill brings what Redis has lost, and what a service pushes that knows an older view.
        lambda: machine.ingest(0, pushed, False),
        machine.flush,
        lambda: machine.apply("newest", True),
        lambda: machine.backfill(len(machine.state.views) - 1, 1, pushed),
        lambda: machine.run_due(0, []),
        lambda: machine.ingest(1, pushed, True),
        lambda: machine.run_due(1, pushed),
        lambda: machine.change_file(rows[:1], 0, True),
        machine.save,
        lambda: machine.rerun(len(machine.state.views) - 1, 3),
        lambda: machine.restore(0, []),
        lambda: machine.look(0),
        lambda: machine.reload(0),
        machine.lose_checkpoints,
        machine.maintain_all,
        lambda: machine.ingest(0, pushed, False),
        machine.save,
        lambda: machine.erase(len(machine.state.views) - 1, USERS[0], (True, False)),
        lambda: machine.erase(len(machine.state.views) - 1, USERS[1], (True, True)),
        lambda: machine.restore(1, pushed),
        lambda: machine.look(1),
        lambda: machine.run_due(0, []),
    ]
    try:
        for step in steps:
            step()
            machine.agrees()
    finally:
        machine.teardown()
