"""Push tables read in portions: the same batches and records, however the files lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.push_tables import DeltaPushTables, read_batches, read_records
from tecton.applied import push_path
from tecton.stores import LogEntry
from tecton.testing import NOW, build_state

STATE = build_state()
SIZES = (1, 3, 2, 40, 1, 1, 7, 5, 30, 2)


@pytest.fixture
def batches(tmp_path: Path) -> Iterator[list[list[LogEntry]]]:
    """Ten batches of two sources, over two days, the first of them compacted by source."""
    checkpointer = Checkpointer()
    log = DeltaPushLog.open(str(tmp_path), STATE, 0, checkpointer)
    written = []
    sequence = 0
    for number, size in enumerate(SIZES, 1):
        entries = []
        for _ in range(size):
            sequence += 1
            record = b'{"n":%d}' % sequence
            entries.append(LogEntry(f"source {sequence % 2}", sequence, number, 1, record))
        log.append(entries, NOW + timedelta(days=number // 6))
        written.append(entries)
    first_day = [("accepted_date", "=", NOW.date().isoformat())]
    _table(tmp_path).optimize.z_order(["source"], partition_filters=first_day)
    yield written
    checkpointer.close()


def _table(folder: Path) -> DeltaTable:
    return DeltaTable(folder / push_path(STATE, 0))


@pytest.mark.parametrize("window", [1, 5, 40, 1000])
@pytest.mark.parametrize("after", [0, 1, 4, 5, 7, 10])
def test_batches_are_whole_and_in_order(
    tmp_path: Path, batches: list[list[LogEntry]], after: int, window: int
) -> None:
    """Of compacted files and of others, whatever fits in memory."""
    assert list(read_batches(_table(tmp_path), after, window)) == batches[after:]


@pytest.mark.parametrize("after", [0, 4, 8, 10])
def test_records_come_once_each(tmp_path: Path, batches: list[list[LogEntry]], after: int) -> None:
    """In any order."""
    found = [entry for chunk in read_records(_table(tmp_path), after) for entry in chunk]
    assert sorted(found) == sorted(entry for batch in batches[after:] for entry in batch)


def test_rows_that_were_deleted_leave_the_others(
    tmp_path: Path, batches: list[list[LogEntry]]
) -> None:
    """Old days may be gone: what is there still comes in its order."""
    _table(tmp_path).delete(f"accepted_date = '{NOW.date()}'")
    assert list(read_batches(_table(tmp_path), 0, 5)) == batches[5:]
    assert _table(tmp_path).transaction_version("push-0") == len(SIZES)


def test_greatest_sequence_is_of_all_writers(tmp_path: Path, batches: list[list[LogEntry]]) -> None:
    """The newest batch of each has its greatest."""
    tables = DeltaPushTables(str(tmp_path))
    assert tables.last_sequence(STATE) == batches[-1][-1].sequence
    checkpointer = Checkpointer()
    log = DeltaPushLog.open(str(tmp_path), STATE, 1, checkpointer)
    assert tables.last_sequence(STATE) == batches[-1][-1].sequence
    log.append([LogEntry("s", number, 1, 1, b"{}") for number in (1000, 1001)], NOW)
    assert tables.last_sequence(STATE) == 1001
    assert tables.last_sequence(build_state()) == 0
    checkpointer.close()


def test_greatest_sequence_outlives_its_record(
    tmp_path: Path, batches: list[list[LogEntry]]
) -> None:
    """Whatever was deleted or joined since, in a checkpoint too."""
    last = batches[-1][-1].sequence
    table = _table(tmp_path)
    table.delete(f"sequence > {last - 4}")
    table.optimize.compact()
    table.create_checkpoint()
    assert DeltaPushTables(str(tmp_path)).last_sequence(STATE) == last


def test_greatest_sequence_of_tables_of_former_releases(
    tmp_path: Path, batches: list[list[LogEntry]]
) -> None:
    """Their commits did not tell it: statistics do, or else the records."""
    tables, last = DeltaPushTables(str(tmp_path)), batches[-1][-1].sequence
    logs = sorted((tmp_path / push_path(STATE, 0) / "_delta_log").glob("*.json"))
    for log in logs:
        lines = log.read_text().splitlines()
        log.write_text("\n".join(line for line in lines if "sequence-0" not in line))
    assert _table(tmp_path).transaction_version("sequence-0") is None
    assert tables.last_sequence(STATE) == last
    for log in logs:
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            action.get("add", {}).pop("stats", None)
        log.write_text("\n".join(map(json.dumps, actions)))
    assert tables.last_sequence(STATE) == last
