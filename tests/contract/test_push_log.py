"""`stores.PushLog`: what every implementation keeps, and what the Delta table keeps besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from deltalake import DeltaTable

from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.documents import Documents
from tecton.adapters.push_log import DeltaPushLog
from tecton.applied import WorkspaceState, push_path
from tecton.errors import StoreUnavailable, WriterFenced
from tecton.stores import LogEntry, PushLog
from tecton.testing import NOW, InMemoryPushLog, build_state

STATE = build_state()


@pytest.fixture
def checkpointer() -> Iterator[Checkpointer]:
    """Ends its process after the test."""
    checkpointer = Checkpointer()
    yield checkpointer
    checkpointer.close()


@pytest.fixture
def open_delta(tmp_path: Path, checkpointer: Checkpointer) -> Callable[[], DeltaPushLog]:
    """Opens the table of writer 0, again and again."""
    return lambda: DeltaPushLog.open(str(tmp_path), STATE, 0, checkpointer)


@pytest.fixture(params=["memory", "delta"])
def log(request: pytest.FixtureRequest) -> PushLog:
    """An empty log."""
    if request.param == "memory":
        return InMemoryPushLog()
    opened: PushLog = request.getfixturevalue("open_delta")()
    return opened


def table_folder(store: Path, state: WorkspaceState = STATE) -> Path:
    return store / push_path(state, 0)


def entries(batch_no: int, *records: bytes) -> list[LogEntry]:
    return [
        LogEntry("source", batch_no * 100 + number, batch_no, 3, record)
        for number, record in enumerate(records)
    ]


def test_batches_come_back_as_they_went_in(log: PushLog) -> None:
    """Every entry, in order, in its batch."""
    first = entries(1, b'{"a":1}', '{"a":"é\\u0000"}'.encode())
    second = entries(2, b"{}")
    log.append(first, NOW)
    log.append(second, NOW + timedelta(days=1))
    assert log.last_batch == 2
    assert list(log.read_after(0)) == [first, second]
    assert list(log.read_after(1)) == [second]
    assert list(log.read_after(2)) == []


def test_reopened_log_goes_on(open_delta: Callable[[], DeltaPushLog]) -> None:
    """Batch numbers are contiguous over restarts."""
    open_delta().append(entries(1, b"{}"), NOW)
    reopened = open_delta()
    assert reopened.last_batch == 1
    reopened.append(entries(2, b"{}"), NOW)
    assert [batch[0].batch_no for batch in reopened.read_after(0)] == [1, 2]


def test_earlier_owner_is_fenced_off(open_delta: Callable[[], DeltaPushLog]) -> None:
    """Whoever opened the log before can append no more, ever."""
    first = open_delta()
    first.append(entries(1, b"{}"), NOW)
    second = open_delta()
    for _ in range(2):
        with pytest.raises(WriterFenced):
            first.append(entries(2, b'"from the first"'), NOW)
    second.append(entries(2, b"{}"), NOW)
    assert [len(batch) for batch in second.read_after(0)] == [1, 1]


def test_silent_owner_looks_again(open_delta: Callable[[], DeltaPushLog], tmp_path: Path) -> None:
    """After an hour the writer reads where the table stands, and goes on."""
    log = open_delta()
    log.append(entries(1, b"{}"), NOW)
    DeltaTable(table_folder(tmp_path)).optimize.compact()
    log.append(entries(2, b"{}"), NOW + timedelta(hours=2))
    assert log.last_batch == 2
    open_delta()
    with pytest.raises(WriterFenced):
        log.append(entries(3, b"{}"), NOW + timedelta(hours=4))


def test_append_goes_on_beside_compaction(
    open_delta: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """Somebody else's commit takes a version, not a batch."""
    log = open_delta()
    log.append(entries(1, b'{"n":1}'), NOW)
    log.append(entries(2, b'{"n":2}'), NOW)
    DeltaTable(table_folder(tmp_path)).optimize.compact()
    log.append(entries(3, b'{"n":3}'), NOW)
    assert [batch[0].record for batch in log.read_after(0)] == [
        b'{"n":1}',
        b'{"n":2}',
        b'{"n":3}',
    ]


def test_protocol_stays_old(open_delta: Callable[[], DeltaPushLog], tmp_path: Path) -> None:
    """Every reader of Delta can read the table."""
    open_delta().append(entries(1, b"{}"), NOW)
    protocol = DeltaTable(table_folder(tmp_path)).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_transaction_versions_tell_where_the_log_stands(
    open_delta: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """`push-<writer>` is the newest batch, `epoch-<writer>` the number of owners so far."""
    open_delta().append(entries(1, b"{}"), NOW)
    open_delta().append(entries(2, b"{}"), NOW)
    table = DeltaTable(table_folder(tmp_path))
    assert table.transaction_version("push-0") == 2
    assert table.transaction_version("epoch-0") == 2


class Flaky(Documents):
    """A store whose put of a log entry ends without an outcome when it is told to."""

    fails = False
    puts_before_failing = True

    def put_if_absent(self, path: str, data: bytes) -> bool:
        if self.fails and "_delta_log" in path:
            if self.puts_before_failing:
                super().put_if_absent(path, data)
            raise StoreUnavailable("no answer in time")
        return super().put_if_absent(path, data)


@pytest.mark.parametrize("puts_before_failing", [True, False])
def test_unknown_outcome_becomes_known(
    tmp_path: Path, checkpointer: Checkpointer, puts_before_failing: bool
) -> None:
    """After an append without an answer the batch is there once, whether it had come through."""
    documents = Flaky(str(table_folder(tmp_path)))
    log = DeltaPushLog.open(str(tmp_path), STATE, 0, checkpointer, lambda _: documents)
    documents.fails, documents.puts_before_failing = True, puts_before_failing
    with pytest.raises(StoreUnavailable):
        log.append(entries(1, b'{"n":1}'), NOW)
    documents.fails = False
    log.append(entries(2, b'{"n":2}'), NOW)
    assert log.last_batch == 2
    assert [[e.record for e in batch] for batch in log.read_after(0)] == [
        [b'{"n":1}'],
        [b'{"n":2}'],
    ]


def test_staged_batch_is_no_part_of_the_log_until_it_is_appended(log: PushLog) -> None:
    """It may be staged before the one before it is appended, and never appended at all."""
    first, second = entries(1, b'{"n":1}'), entries(2, b'{"n":2}')
    staged = [log.stage(batch, NOW) for batch in (first, second, second)]
    assert list(log.read_after(0)) == []
    log.append(first, NOW, staged[0])
    log.append(second, NOW, staged[1])
    assert log.settle(NOW) == 2
    assert list(log.read_after(0)) == [first, second]


def test_entry_that_is_refused_and_not_there_is_no_hole(
    tmp_path: Path, checkpointer: Checkpointer
) -> None:
    """S3 may refuse both of two puts that meet: the version is tried again, never passed by."""

    class Contended(Documents):
        refuses = 0

        def put_if_absent(self, path: str, data: bytes) -> bool:
            if "_delta_log" in path and self.refuses:
                self.refuses -= 1
                return False
            return super().put_if_absent(path, data)

    documents = Contended(str(table_folder(tmp_path)))
    log = DeltaPushLog.open(str(tmp_path), STATE, 0, checkpointer, lambda _: documents)
    documents.refuses = 1
    with pytest.raises(StoreUnavailable):
        log.append(entries(1, b"{}"), NOW)
    log.append(entries(2, b"{}"), NOW)
    assert [batch[0].batch_no for batch in log.read_after(0)] == [1, 2]


def test_wrongly_numbered_entries_are_refused(log: PushLog) -> None:
    """The column `batch_no` and the transaction version can never differ."""
    log.append(entries(1, b"{}"), NOW)
    with pytest.raises(ValueError, match="batch 2"):
        log.append(entries(1, b"{}"), NOW)
    assert log.settle(NOW) == 1


def test_vanished_store_is_not_made_anew(
    open_delta: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """A folder that is unmounted or moved away is an error; when it is back all goes on."""
    log = open_delta()
    log.append(entries(1, b"{}"), NOW)
    push, away = tmp_path / "push", tmp_path / "away"
    push.rename(away)
    with pytest.raises(StoreUnavailable):
        log.append(entries(2, b'{"n":2}'), NOW)
    assert not push.exists()
    away.rename(push)
    log.append(entries(log.settle(NOW) + 1, b'{"n":3}'), NOW)
    assert [batch[0].batch_no for batch in log.read_after(0)] == list(range(1, log.last_batch + 1))


def test_checkpoint_is_written_beside(tmp_path: Path, checkpointer: Checkpointer) -> None:
    """Every hundredth version has a checkpoint, and readers find the same rows."""
    log = DeltaPushLog.open(str(tmp_path), STATE, 0, checkpointer)
    for number in range(1, 105):
        log.append(entries(number, b"{}"), NOW)
    checkpointer.close()
    folder = table_folder(tmp_path) / "_delta_log"
    pointer = msgspec.json.decode((folder / "_last_checkpoint").read_bytes())
    assert pointer["version"] >= 100
    assert len(list(log.read_after(0))) == 104
    assert (folder / f"{0:020d}.json").exists()


def test_writer_that_only_asks_looks_again_too(
    open_delta: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """Log entries that others added may be cleaned up: a put there would be read by nobody."""
    log = open_delta()
    log.append(entries(1, b"{}"), NOW)
    for _ in range(3):
        DeltaTable(table_folder(tmp_path)).alter.set_table_properties({"delta.appendOnly": "false"})
    DeltaTable(table_folder(tmp_path)).create_checkpoint()
    for version in range(1, 4):
        (table_folder(tmp_path) / "_delta_log" / f"{version:020d}.json").unlink()
    for minutes in range(0, 130, 10):
        log.settle(NOW + timedelta(minutes=minutes))
    log.append(entries(2, b'{"n":2}'), NOW + timedelta(minutes=130))
    assert [batch[0].batch_no for batch in log.read_after(0)] == [1, 2]
