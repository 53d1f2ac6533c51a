"""What the Spark tests play on: a fresh store, batch files, pushed records, jobs run in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import AppliedSource, AppliedView, BatchRows, WorkspaceState
from tecton.bootstrap import Backend, open_online
from tecton.locations import BatchRules
from tecton.rows import canonical, encode_key
from tecton.settings import Settings
from tecton.spark.backfill import backfill
from tecton.spark.frontfill import frontfill
from tecton.spark.point_in_time import ViewPart
from tecton.spark.tables import JobStores
from tecton.spark.training import TectonDataFrame, features_for_events
from tecton.stores import LogEntry, PushLog
from tecton.testing import FixedClock, build_source, build_state, build_view
from tecton.timestamps import from_micros, micros_of

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


# Redis forgets by the real clock, so the play is set around today; its "now" is tomorrow noon.
_FIRST_DAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - DAY


def utc(day: int, hour: int = 0, minute: int = 0, micros: int = 0) -> datetime:
    """A moment of the play; day 1 was yesterday."""
    return _FIRST_DAY + timedelta(day - 1, hours=hour, minutes=minute, microseconds=micros)


NOW = utc(3, 12)
"""What the play's clock shows at first."""


def text(at: datetime) -> str:
    """A moment as reports and SQL spell it, to the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Scene:
    """A store, a Redis and a clock that stands at noon of day 3."""

    def __init__(
        self, spark: SparkSession, folder: Path, redis_url: str, online: RedisOnlineStore
    ) -> None:
        self.spark = spark
        self.folder = folder
        self.online = online
        self.clock = FixedClock(NOW)
        self.redis_url = redis_url
        self.backend = Backend(Settings(store=str(folder / "store"), redis_url=redis_url))
        self._logs: dict[tuple[str, int], PushLog] = {}
        self._sequence = 0
        self.rules = BatchRules()

    @property
    def batch_uri(self) -> str:
        """Where `write_batch` puts its file."""
        return str(self.folder / "batch.parquet")

    @property
    def stores(self) -> JobStores:
        """What jobs work on."""
        store = self.backend.settings.store
        opens = partial(open_online, self.redis_url)
        logs, runs = self.backend.delta_logs, self.backend.runs
        return JobStores(
            self.spark,
            store,
            logs,
            runs,
            opens,
            self.clock,
            rules=self.rules,
            erasures=self.backend.erasures,
            ledger=self.backend.ledger,
        )

    def source(self, **changes: Any) -> AppliedSource:
        """The documentation's source, with a batch file."""
        batch = BatchRows(uri=self.batch_uri, file_format="parquet", timestamp_field="timestamp")
        return build_source(**{"batch": batch, **changes})

    def example(self, event_key: tuple[str, ...] = (), **changes: Any) -> WorkspaceState:
        """A workspace with the documentation's source and view; *changes* are the view's.

        A backfill is one run, unless they say otherwise.
        """
        source = self.source(event_key=event_key)
        changes = {"max_backfill_interval": 36_500 * DAY, **changes}
        return build_state([source], [build_view(source, **changes)])

    def write_batch(self, *rows: tuple[Any, ...]) -> None:
        """Write the batch file of the documentation's source: (user_id, timestamp, clicked)."""
        users, times, clicks = zip(*rows, strict=True) if rows else ((), (), ())
        table = pa.table(
            {
                "user_id": pa.array(users, pa.string()),
                "timestamp": pa.array(times, pa.timestamp("us", "UTC")),
                "clicked": pa.array(clicks, pa.int64()),
            }
        )
        pq.write_table(table, self.batch_uri)

    def push(
        self,
        state: WorkspaceState,
        *records: tuple[Any, ...] | Mapping[str, Any],
        source: AppliedSource | None = None,
        writer: int = 0,
        sequences: Sequence[int] | None = None,
        version: int = 1,
    ) -> None:
        """Accept records as one batch, as a service that knows *version* would."""
        from tecton.rows import _encode

        source = source or state.sources[0]
        log = self._logs.get((state.id, writer))
        if log is None:
            log = self._logs[state.id, writer] = self.backend.open_push_log(state, writer)
        names = [field.name for field in source.fields]
        entries = []
        for number, record in enumerate(records):
            native = (
                record if isinstance(record, Mapping) else dict(zip(names, record, strict=True))
            )
            sequence = self._next() if sequences is None else sequences[number]
            body = _encode(canonical(source.fields, native))
            entries.append(LogEntry(source.id, sequence, log.last_batch + 1, version, body))
        log.append(entries, self.clock())

    def _next(self) -> int:
        self._sequence = max(self._sequence + 1, micros_of(self.clock()))
        return self._sequence

    def backfill(self, state: WorkspaceState, view: AppliedView | None = None) -> list[Any]:
        """Run a view's backfill; returns its reports."""
        return list(backfill(self.stores, state, view or state.views[0], lambda _: None))

    def frontfill(self, state: WorkspaceState, at: datetime | None = None) -> list[Any]:
        """Run all that is due; returns the reports."""
        return list(frontfill(self.stores, state, state.views, at or self.clock(), lambda _: None))

    def offline(
        self, state: WorkspaceState, view: AppliedView | None = None
    ) -> list[tuple[Any, ...]]:
        """The offline table's rows: origin, then the row's columns, sorted."""
        view = view or state.views[0]
        table = self.stores.offline_table(state, view)
        version = table.version()
        if version is None:
            return []
        values = [field.name for field in view.value_fields]
        keys = [field.name for field in view.key_fields]
        # As a number: PySpark gives times as naive ones of the machine's zone.
        micros = F.unix_micros(view.timestamp_field)
        rows = table.read(version).select("_origin", *keys, micros, *values).collect()
        at = 1 + len(keys)
        return sorted((*row[:at], from_micros(row[at]), *row[at + 1 :]) for row in rows)

    def served(self, state: WorkspaceState, *keys: Any) -> list[bytes | None]:
        """The bodies that the online store holds for some keys of the first view."""
        view = state.views[0]
        stored = self.online.read([(view.online_id, encode_key([key])) for key in keys])
        return [None if row is None else row.body for row in stored]

    def train(
        self, state: WorkspaceState, events: Any, timestamp_key: str | None = None, **options: Any
    ) -> TectonDataFrame:
        """A training frame of the first view."""
        view = state.views[0]
        features = [feature.name for feature in view.features]
        keys = {field.name: field.name for field in view.key_fields}
        part = ViewPart(view, view.name, features, keys)
        return features_for_events(self.stores, state, [part], events, timestamp_key, **options)


def events_of(*rows: tuple[Any, datetime]) -> pd.DataFrame:
    """A pandas frame of (user_id, timestamp)."""
    users, times = zip(*rows, strict=True) if rows else ((), ())
    return pd.DataFrame(
        {
            "user_id": pd.Series(users, dtype=object),
            "timestamp": pd.Series(times, dtype="datetime64[us, UTC]"),
        }
    )
