"""
What only Spark can tell: training frames, and jobs that are run again; one session for all rounds.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from tecton.applied import AppliedView, offline_path
from tecton.bootstrap import open_online
from tecton.locations import BatchRules
from tecton.spark.frontfill import frontfill
from tecton.spark.point_in_time import ViewPart
from tecton.spark.session import get_session, quiet
from tecton.spark.tables import JobStores
from tecton.spark.training import features_for_events
from tecton.timestamps import from_micros
from tests.torture.checker import Checker, Kind, Violation
from tests.torture.load import HOUR
from tests.torture.stage import JAVA_OPTIONS, Stage


def open_session() -> SparkSession:
    """A session as the tests have it."""
    os.environ.setdefault("JDK_JAVA_OPTIONS", JAVA_OPTIONS)
    session = get_session(os.environ, "1g")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    quiet(session)
    return session


def run_due(stage: Stage, spark: SparkSession) -> None:
    """All that is due, backfills included."""
    stores = _stores(stage, spark)
    state, now = stage.state, datetime.now(timezone.utc)
    for _ in frontfill(stores, state, state.views, now, lambda _: None):
        pass


def frame_violations(
    stage: Stage, spark: SparkSession, checker: Checker, rng: random.Random
) -> Iterator[Violation]:
    """
    What training frames and offline tables say and brute force does not.

    Every key is asked for now and for moments before: nothing may depend on what came after.
    """
    for view in stage.state.views:
        yield from _frame(stage, spark, checker, view, rng)
        yield from _table(stage, view)


def _frame(
    stage: Stage, spark: SparkSession, checker: Checker, view: AppliedView, rng: random.Random
) -> Iterator[Violation]:
    now = time.time_ns() // 1000
    asked = [
        (user, at)
        for user in stage.users
        for at in (now, now - rng.randrange(HOUR // 2), now - rng.randrange(30 * HOUR))
    ]
    events = pd.DataFrame(
        {
            "user_id": pd.Series([user for user, _ in asked], dtype=object),
            "timestamp": pd.Series(
                [from_micros(at) for _, at in asked], dtype="datetime64[us, UTC]"
            ),
        }
    )
    names = [feature.name for feature in view.features]
    part = ViewPart(view, view.name, names, {field.name: field.name for field in view.key_fields})
    frame = features_for_events(_stores(stage, spark), stage.state, [part], events).to_pandas()
    for (user, at), (_, row) in zip(asked, frame.iterrows(), strict=True):
        got = {name: _canonical(row[f"{view.name}__{name}"]) for name in names}
        yield from checker.compare("training frame", view, user, got, at)


def _table(stage: Stage, view: AppliedView) -> Iterator[Violation]:
    """A pushed record is in an offline table once."""
    path = f"{stage.store}/{offline_path(stage.state, view)}"
    if not DeltaTable.is_deltatable(path):
        return
    rows = DeltaTable(path).to_pyarrow_table(columns=["_sequence", "_origin"])
    pushed = rows.filter(pc.field("_origin") == "push").column("_sequence")
    extra = len(pushed) - len(pushed.unique())
    if extra:
        yield Violation(Kind.DOUBLED, f"{extra} pushed rows are twice in {view.name}'s table")


def _stores(stage: Stage, spark: SparkSession) -> JobStores:
    backend = stage.backend
    return JobStores(
        spark,
        str(stage.store),
        backend.delta_logs,
        backend.runs,
        partial(open_online, stage.redis.url),
        _now,
        rules=BatchRules(),
        erasures=backend.erasures,
    )


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _canonical(value: Any) -> Any:
    if isinstance(value, (list, np.ndarray)):
        return [int(item) for item in value]
    if value is None or pd.isna(value):
        return None
    return float(value) if isinstance(value, (float, np.floating)) else int(value)
