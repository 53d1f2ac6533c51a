"""Functions on batch data, as plans see them: what is kept, what is refused, what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tecton.applied import AppliedSource
from tecton.errors import DefinitionError
from tecton.plan import Action, desired_of, make_plan
from tecton.repo import load_repo
from tecton.resolve import Desired
from tecton.testing import NOW, build_state

REPO = """
from datetime import datetime, timedelta
from tecton import Entity, FileConfig, PushConfig, StreamFeatureView, StreamSource
from tecton.types import Field, Int64, String, Timestamp

COLUMN = "clicks"

def rename(frame):
    # for history
    return frame.withColumnRenamed(COLUMN, "clicked")

source = StreamSource(
    name="impressions",
    schema=[Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)],
    stream_config=PushConfig(),
    batch_config=FileConfig(
        uri="s3://b/x", file_format="json", post_processor=rename, data_delay=timedelta(0)
    ),
)
view = StreamFeatureView(
    name="clicks", source=source, entities=[Entity(name="user", join_keys="user_id")],
    online=True, feature_start_time=datetime(2022, 1, 1),
)
"""


def desired(folder: Path, *changes: tuple[str, str], **options: Any) -> Desired:
    folder.mkdir(exist_ok=True)
    text = REPO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "features.py").write_text(text)
    return desired_of(load_repo(folder), **options)


def changed(folder: Path, *changes: tuple[str, str]) -> list[tuple[Action, str, str]]:
    ids = iter(f"{number:016}" for number in range(10))
    state = build_state([], [], [], entities=())
    first = make_plan(state, desired(folder / "1"), now=NOW, new_id=lambda: next(ids))
    after = desired(folder / "2", *changes)
    plan = make_plan(first.state, after, now=NOW, new_id=lambda: next(ids))
    return [(one.action, one.name, "\n".join(one.details)) for one in plan.changes]


def test_post_processor_is_kept_as_text(tmp_path: Path) -> None:
    """With what it uses, as the functions of views are."""
    [source] = desired(tmp_path).sources
    assert source.batch is not None
    function = source.batch.post_processor
    assert function is not None
    assert ("rename", "pyspark") == (function.name, function.mode)
    assert 'COLUMN = "clicks"\n' in function.source
    assert source == msgspec.json.decode(msgspec.json.encode(source), type=AppliedSource)


def test_what_cannot_be_captured_is_refused_with_its_line(tmp_path: Path) -> None:
    """And where functions are off, all are."""
    with pytest.raises(DefinitionError) as error:
        desired(tmp_path, ('COLUMN = "clicks"', "COLUMN = str(datetime.now())"))
    [problem] = error.value.problems
    assert "batch_config.post_processor" == problem.field
    assert problem.message.startswith("features.py:6: `COLUMN` is computed")
    with pytest.raises(DefinitionError, match="TECTON_FUNCTIONS=off"):
        desired(tmp_path, are_functions_on=False)


def test_changed_post_processor_recreates_the_view(tmp_path: Path) -> None:
    """It shows how, at the source and at its views."""
    [of_source, of_view] = changed(tmp_path, ('"clicks"\n', '"clicks2"\n'))
    assert (Action.UPDATE, "impressions") == of_source[:2]
    assert of_source[2].startswith("post_processor rename: changed\n")
    assert '+COLUMN = "clicks2"' in of_source[2]
    assert (Action.RECREATE, "clicks") == of_view[:2]
    assert '+COLUMN = "clicks2"' in of_view[2]


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("# for history", "# for a history", "post_processor rename: layout and comments alone"),
        ("timedelta(0)", "timedelta(hours=1)", "batch data_delay: 0 days → 1 hour"),
        (
            "timedelta(0)",
            "timedelta(0), datetime_partition_columns=[DatetimePartitionColumn('d', 'date')]",
            "batch partitions: none → name=d part=date",
        ),
    ],
)
def test_what_touches_no_value_recreates_nothing(
    tmp_path: Path, old: str, new: str, detail: str
) -> None:
    """Comments, when rows are complete, which folders a run passes over."""
    imported = ("import Entity,", "import DatetimePartitionColumn, Entity,")
    [(action, name, details)] = changed(tmp_path, (old, new), imported)
    assert (Action.UPDATE, "impressions") == (action, name)
    assert details.startswith(detail)


def test_other_ways_to_read_recreate_the_view(tmp_path: Path) -> None:
    """What is read can differ."""
    [_, of_view] = changed(tmp_path, ('"json",', '"json", timestamp_format="yyyyMMdd",'))
    assert (Action.RECREATE, "clicks") == of_view[:2]
    assert (
        "batch rows of StreamSource impressions: batch timestamp_format: none → yyyyMMdd"
        in (of_view[2])
    )
