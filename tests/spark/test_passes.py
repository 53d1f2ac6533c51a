"""Batch sources are read in one pass, as Spark itself has counted it (docs/decisions/0044)."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from tecton.applied import AppliedFunction, AppliedSource, BatchRows, WorkspaceState
from tecton.periods import Period
from tecton.spark.passes import Want
from tecton.testing import build_function_view, build_state, build_view
from tests.spark.scene import DAY, Scene, text, utc

ROWS = 3_000
"""In the source on each day, of which a few feature rows come: what else a job reads is little."""


class Reads:
    """How many rows tasks have read of files since this was made."""

    def __init__(self, spark: SparkSession) -> None:
        self._context: Any = spark.sparkContext._jsc.sc()
        self._gateway: Any = spark.sparkContext._gateway
        self._before = max((stage.stageId() for stage in self._stages()), default=-1)

    def passes(self) -> int:
        """How many times the source's rows that is."""
        stages = self._stages()
        rows = sum(one.inputRecords() for one in stages if one.stageId() > self._before)
        return int(rows) // ROWS

    def _stages(self) -> list[Any]:
        self._context.listenerBus().waitUntilEmpty()
        jvm, double = self._gateway.jvm, self._gateway.jvm.double
        none = jvm.java.util.ArrayList(), self._gateway.new_array(double, 0)
        found = self._context.statusStore().stageList(none[0], False, False, none[1], none[0])
        return [found.apply(number) for number in range(found.size())]


def kept(spark: SparkSession) -> int:
    """How many frames are kept, besides what Delta knows of its tables."""
    names = [one.name() for one in spark.sparkContext._jsc.getPersistentRDDs().values()]
    return sum(not str(name).startswith("Delta Table State") for name in names)


def source_of(scene: Scene, file_format: str, **changes: Any) -> AppliedSource:
    """A source with rows on days 2 and 3, each day's of one identity."""
    rows = [("a", utc(2), 1)] * ROWS + [("a", utc(3), 2)] * ROWS
    path = scene.folder / f"batch.{file_format}"
    if file_format == "parquet":
        scene.write_batch(*rows)
    elif file_format == "csv":
        lines = [f"{user},{text(at)},{clicked}\n" for user, at, clicked in rows]
        path.write_text("user_id,timestamp,clicked\n" + "".join(lines))
    else:
        form = '{"user_id": "%s", "timestamp": "%s", "clicked": %d}\n'
        path.write_text("".join(form % (user, text(at), clicked) for user, at, clicked in rows))
    batch = BatchRows(
        uri=str(path), file_format=file_format, timestamp_field="timestamp", **changes
    )
    return scene.source(batch=batch)


def state_of(source: AppliedSource, views: int) -> WorkspaceState:
    """A workspace with views on one source; every second one is online alone."""
    named = [
        build_view(source, f"view_{number}", offline=number % 2 == 0) for number in range(views)
    ]
    return build_state([source], named, [])


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_views_on_one_source_are_one_pass(file_format: str, scene: Scene) -> None:
    """In a backfill all that there is is read, and in a frontfill once more."""
    state = state_of(source_of(scene, file_format), 2)
    reads = Reads(scene.spark)

    scene.frontfill(state)

    # A parquet file has both days' rows in one row group.
    assert reads.passes() == 2
    scene.clock.advance(DAY)
    reads = Reads(scene.spark)
    scene.frontfill(state)
    assert reads.passes() == 2
    assert kept(scene.spark) == 0
    assert scene.served(state, "a") == [b"[2]"]
    assert scene.offline(state) == [("batch", "a", utc(2), 1), ("batch", "a", utc(3), 2)]


def test_single_view_parses_text_once(scene: Scene) -> None:
    """Rows are counted, written and loaded, what a function makes of them too."""
    source = source_of(scene, "json")
    function = "def fv(record):\n    return record\n"
    view = build_function_view(source, function, source.fields, feature_start_time=utc(1))
    reads = Reads(scene.spark)

    reports = scene.backfill(build_state([source], [view]))

    assert reads.passes() == 2
    assert [report.rows for report in reports[:2]] == [0, ROWS]


MARKING = """
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

def mark(clicked):
    with open({marks!r}, "a") as file:
        file.write("x")
    return True

def post(frame):
    kept = F.udf(mark, BooleanType()).asNondeterministic()(F.col("clicked"))
    return frame.withColumn("clicked", F.when(kept, F.col("clicked")))
"""


def test_post_processor_runs_once(scene: Scene) -> None:
    """Also on parquet; one row in, one mark."""
    marks = scene.folder / "marks"
    text_of = MARKING.format(marks=str(marks))
    function = AppliedFunction(name="post", mode="pyspark", source=text_of)
    state = state_of(source_of(scene, "parquet", post_processor=function), 1)

    scene.backfill(state)

    assert len(marks.read_text()) == 2 * ROWS
    assert scene.served(state, "a") == [b"[1]"]


def test_parquet_of_one_view_is_not_copied(scene: Scene) -> None:
    """What costs more than it saves: keys and times are read for the count, then the rows."""
    state = state_of(source_of(scene, "parquet"), 1)
    source, view = state.sources[0], state.views[0]
    with scene.stores.passes.rows(source, view, Period(utc(1), utc(3))):
        assert kept(scene.spark) == 0
    reads = Reads(scene.spark)
    scene.backfill(state)
    assert reads.passes() == 4


def test_rows_are_kept_on_disk_until_the_last_view_has_ended(scene: Scene) -> None:
    """Never in memory; and after an error of whoever read them nothing is left."""
    state = state_of(source_of(scene, "csv"), 3)
    [source], (first, second, third) = state.sources, state.views
    passes, days = scene.stores.passes, Period(utc(1), utc(3))
    later = Period(utc(3), utc(4))
    wants = [Want(source, first, days), Want(source, second, days), Want(source, third, later)]
    with passes.expect(wants):
        with passes.rows(source, first, days) as found:
            assert found.frame.count() == 2 * ROWS
            infos = scene.spark.sparkContext._jsc.sc().getRDDStorageInfo()
            [info] = [one for one in infos if not one.name().startswith("Delta Table State")]
            assert info.memSize() == 0 < info.diskSize()
        scene.clock.advance(DAY)
        with passes.rows(source, second, days) as again:
            assert again.read_at == found.read_at
        assert kept(scene.spark) == 1
        with passes.rows(source, third, Period(utc(1), utc(2))) as other:
            # Nobody had expected this.
            assert other.frame.where("timestamp IS NOT NULL").count() == 0
        with pytest.raises(ZeroDivisionError), passes.rows(source, third, later):
            raise ZeroDivisionError
        assert kept(scene.spark) == 0
        with passes.rows(source, first, days):
            pass
    assert kept(scene.spark) == 0


def test_what_nobody_came_for_is_released(scene: Scene) -> None:
    """A view that fails before it reads keeps nothing on disk for longer than the job."""
    state = state_of(source_of(scene, "csv"), 2)
    [source], (first, second) = state.sources, state.views
    days = Period(utc(1), utc(3))
    passes = scene.stores.passes
    with passes.expect([Want(source, first, days), Want(source, second, days)]):
        with passes.rows(source, first, days) as found:
            found.frame.count()
        assert kept(scene.spark) == 1
    assert kept(scene.spark) == 0
