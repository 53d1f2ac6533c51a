"""How texts spell values, and what plan sees of the first rows of csv and json files."""

from __future__ import annotations

import gzip
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tecton import DatetimePartitionColumn, FileConfig, PushConfig, StreamSource
from tecton.batch_config import batch_rows, schema_json
from tecton.batch_text import (
    JsonLine,
    is_cell,
    names_zone,
    pattern_fault,
    spark_pattern,
    with_times_as_text,
)
from tecton.checks import check
from tecton.types import (
    Array,
    Bool,
    DataType,
    Field,
    Float64,
    Int64,
    Map,
    String,
    Struct,
    Timestamp,
    ValueMismatch,
)

SCHEMA = [Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)]


@pytest.mark.parametrize(
    ("dtype", "right", "wrong"),
    [
        (Bool, ["true", "FALSE"], ["1", "yes", "true "]),
        (Int64, ["0", "-9223372036854775808", "+7", "007"], ["1.0", "9223372036854775808", "1e3"]),
        (Float64, ["1", "-.5", "1.", "2e-3", "NaN", "-Infinity"], ["1,5", "0x1p3", "1d", "∞", ""]),
        (
            Timestamp,
            ["2024-01-02T03:04:05Z", "2024-01-02 03:04", "2024-01-02 03:04:05.123456789+0200"],
            ["2024-01-02", "1704164645", "2024-1-2 3:04", "02/01/2024 03:04"],
        ),
    ],
    ids=str,
)
def test_cells(dtype: DataType, right: list[str], wrong: list[str]) -> None:
    """What a cell of a type looks like; nothing is guessed."""
    assert [True] * len(right) == [is_cell(dtype, text) for text in right]
    assert [False] * len(wrong) == [is_cell(dtype, text) for text in wrong]


def test_json_lines_have_the_types_of_pushed_records() -> None:
    """Integers are exact, other columns are passed over, what is missing is null."""
    fields = [
        Field("i", Int64),
        Field("f", Float64),
        Field("at", Timestamp),
        Field("s", Struct([Field("a", Array(Timestamp)), Field("m", Map(String, Bool))])),
        Field("none", String),
    ]
    line = (
        b'{"x": 1, "f": "NaN", "i": 9007199254740993, "at": "2024", '
        b'"s": {"a": ["t"], "m": {"k": true}}}'
    )

    i, f, at, nested, none = JsonLine(fields).read(line)

    assert (9007199254740993, "2024", {"a": ["t"], "m": [("k", True)]}, None) == (
        i,
        at,
        nested,
        none,
    )
    assert math.isnan(f)
    assert Array(Struct([Field("t", String)])) == with_times_as_text(
        Array(Struct([Field("t", Timestamp)]))
    )


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"[1]", ""),
        (b'{"i": 1', ""),
        (b'{"i": 1.0}', "i"),
        (b'{"i": "1"}', "i"),
        (b'{"i": 9223372036854775808}', "i"),
        (b'{"at": 1704164645}', "at"),
        (b'{"a": [1, "x"]}', "a[1]"),
        (b'{"i": 1, "s": "\xff"}', ""),
    ],
)
def test_json_lines_of_other_types_are_refused(line: bytes, path: str) -> None:
    """A wrong value is an error with its place, never null."""
    fields = [Field("i", Int64), Field("at", Timestamp), Field("a", Array(Int64))]
    with pytest.raises(ValueMismatch) as failure:
        JsonLine(fields).read(line)
    assert path == failure.value.path


def test_json_times_are_numbers_where_the_format_says_so() -> None:
    """`timestamp_format="epoch_millis"`."""
    assert ["1704164645000"] == JsonLine(SCHEMA[1:2], "epoch_millis").read(
        b'{"timestamp": 1704164645000}'
    )


@pytest.mark.parametrize(
    ("given", "pattern", "is_zoned"),
    [
        ("yyyy-MM-dd'T'hh:mm:ss.SSS'Z'", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", False),
        ("dd/MM/yyyy hh:mm a", "dd/MM/yyyy hh:mm a", False),
        ("'hh' yyyy-MM-dd KK XXX", "'hh' yyyy-MM-dd HH XXX", True),
    ],
)
def test_hours_without_a_half_of_the_day(given: str, pattern: str, is_zoned: bool) -> None:
    """The documentation's own example says `hh` and no `a`: noon would be midnight."""
    assert pattern_fault(given) is None
    assert (pattern, is_zoned) == (spark_pattern(given), names_zone(given))


@pytest.mark.parametrize("given", ["yyyy-MM-dd'T", "YYYY-MM-dd", "HH:mm", "%Y-%m-%d", "yyyy-MM-cc"])
def test_formats_that_tell_no_time(given: str) -> None:
    """An unknown letter, an open quote, no day."""
    assert pattern_fault(given) is not None


def _found(root: Path, are_functions_on: bool = True, **arguments: Any) -> list[str]:
    config = FileConfig(**{"uri": "data", "file_format": "csv", **arguments})
    one = StreamSource(name="s", schema=SCHEMA, stream_config=PushConfig(), batch_config=config)
    problems = check([one], root, are_functions_on=are_functions_on)
    return [f"{problem.field}: {problem.message}" for problem in problems]


def test_plan_reads_the_head_of_csv(tmp_path: Path) -> None:
    """Missing columns and the first wrong cell of each; compressed files too."""
    text = 'user_id,timestamp,clicked,more\r\n"a, ""b""\r\nc",2024-01-02T03:04:05Z,1,x\r\n'
    (tmp_path / "data").write_bytes(gzip.compress(b"no gzip by name"))
    assert len(_found(tmp_path)) == 1
    (tmp_path / "data").write_text(text)
    assert [] == _found(tmp_path)
    with gzip.open(tmp_path / "data.csv.gz", "wt") as file:
        file.write(text + "b,2024-01-02,,\n,,1.5,\n")
    found = _found(tmp_path, uri="data.csv.gz")
    place = f"of {tmp_path}/data.csv.gz: expected"
    assert [
        f"batch_config.uri: column `timestamp` {place} Timestamp (as 2023-01-02T00:25:06Z), saw "
        '"2024-01-02"; correct one of them',
        f"batch_config.uri: column `clicked` {place} Int64 (an integer in ±2^63), saw "
        '"1.5"; correct one of them',
    ] == found
    assert len(_found(tmp_path, uri="data.csv.gz", timestamp_format="yyyy-MM-dd")) == 1
    (tmp_path / "data").write_text("user_id,clicked\n")
    assert ["timestamp" in message for message in _found(tmp_path)] == [True]
    (tmp_path / "data").write_text("")
    assert ["is empty" in message for message in _found(tmp_path)] == [True]


def test_plan_reads_the_head_of_json(tmp_path: Path) -> None:
    """Lines that are none, and values of other types."""
    file = tmp_path / "data" / "day=1" / "part"
    file.parent.mkdir(parents=True)
    file.write_text('{"user_id": "a", "clicked": 1}\n\n{"clicked": null}\n')
    assert [] == _found(tmp_path, file_format="json")
    file.write_text('{"user_id": 1}\n')
    [message] = _found(tmp_path, file_format="json")
    assert f"column `user_id` of {file}: expected String, saw 1" in message
    file.write_text("user_id,clicked\n")
    [message] = _found(tmp_path, file_format="json")
    assert "holds a line that is not JSON" in message


def test_plan_leaves_what_functions_and_schemas_change(tmp_path: Path) -> None:
    """With a schema_override the columns in the files are not those of the schema."""
    (tmp_path / "data").write_text("other\n1\n")
    assert [] == _found(tmp_path, schema_override=_StructType())
    assert len(_found(tmp_path)) == 3


def test_partition_columns_and_functions_are_checked(tmp_path: Path) -> None:
    """Each wrong argument is named."""
    (tmp_path / "data").write_text("user_id,timestamp,clicked\n")
    right = DatetimePartitionColumn("day", "date", format_string="%Y-%m-%d")
    assert [] == _found(tmp_path, datetime_partition_columns=[right])
    for wrong, field in (
        (3, ""),
        (["day"], ""),
        ([DatetimePartitionColumn("day", "week")], ".datepart"),
        ([DatetimePartitionColumn("day", "date", format_string="%j")], ".format_string"),
        ([DatetimePartitionColumn("", "date")], ".column_name"),
    ):
        [message] = _found(tmp_path, datetime_partition_columns=wrong)
        assert message.startswith(f"batch_config.datetime_partition_columns{field}: expected")
    [message] = _found(tmp_path, post_processor=lambda frame: frame)
    assert message.startswith("batch_config.post_processor: ")
    [message] = _found(tmp_path, are_functions_on=False, post_processor=lambda frame: frame)
    assert "TECTON_FUNCTIONS=off" in message


class _StructType:
    """As `pyspark.sql.types.StructType` describes itself."""

    def jsonValue(self) -> dict[str, Any]:
        """Its JSON."""
        return {"type": "struct", "fields": []}


def test_schema_override_is_kept_as_json(tmp_path: Path) -> None:
    """No Spark is needed to apply it."""
    config = FileConfig(
        uri="data",
        file_format="csv",
        schema_override=_StructType(),
        data_delay=timedelta(hours=1),
        datetime_partition_columns=[DatetimePartitionColumn("day", "date")],
    )
    rows = batch_rows(config, "timestamp", None, tmp_path)
    assert '{"fields":[],"type":"struct"}' == rows.schema_override
    assert [("day", "date", None)] == [(p.name, p.part, p.format) for p in rows.partitions]
    assert schema_json([Field("x", Int64)]) is None
