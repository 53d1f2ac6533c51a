"""Maintenance of push tables beside whatever writes and reads them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Event, Thread

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from tecton import due
from tecton.adapters import maintenance
from tecton.adapters.batch_ledger import DocumentLedger
from tecton.adapters.checkpoints import Checkpointer
from tecton.adapters.delta_logs import StoreDeltaLogs
from tecton.adapters.documents import Documents
from tecton.adapters.joining import Joiner, Layout, files_of
from tecton.adapters.maintenance import MANY_FILES, DeltaCare
from tecton.adapters.push_log import DeltaPushLog
from tecton.adapters.push_tables import read_batches
from tecton.adapters.runs import DeltaRunLog
from tecton.applied import AppliedAggregation, AppliedView, offline_path, push_path
from tecton.due import is_scattered
from tecton.errors import StoreUnavailable
from tecton.maintain import (
    MARGIN,
    kept_since,
    leftovers,
    maintain_push_tables,
    maintain_store,
    taken_by_all,
)
from tecton.stores import Kept, LogEntry, Run, Tidied
from tecton.testing import build_source, build_state, build_view

DAY = timedelta(days=1)
NOW = datetime.now(timezone.utc)
"""The real one: what is removed now must stay for a week."""

TODAY = NOW.date()
STATE = build_state()
PATH = push_path(STATE, 0)
FOR_EVER = Kept(None, 0)


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[Callable[[], DeltaPushLog]]:
    """Takes over the push table of writer 0."""
    checkpointer = Checkpointer()
    yield lambda: DeltaPushLog.open(str(tmp_path), STATE, 0, checkpointer)
    checkpointer.close()


def push(log: DeltaPushLog, at: datetime, count: int = 1) -> None:
    """So many batches of one record of either source."""
    for _ in range(count):
        number = log.last_batch + 1
        sources = ("source b", "source a")
        entries = [
            LogEntry(source, number * 10 + place, number, 1, b'{"n":%d}' % number)
            for place, source in enumerate(sources)
        ]
        log.append(entries, at)


def numbers(batches: Iterator[Sequence[LogEntry]]) -> list[int]:
    """The numbers of whole batches."""
    found = []
    for batch in batches:
        assert len(batch) == 2
        found.append(batch[0].batch_no)
    return found


def files(folder: Path) -> list[str]:
    return sorted(path.rpartition("/")[0][-10:] for path in DeltaTable(folder / PATH).file_uris())


def test_closed_days_are_joined_and_the_open_one_left_alone(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """By source, without a change for readers; a second time there is nothing to do."""
    log = open_log()
    for day in (2, 1, 0):
        push(log, NOW - day * DAY, 3)
    care = DeltaCare(str(tmp_path))
    assert care.push_table(PATH, NOW, FOR_EVER) == Tidied(PATH, 6, 0, 0)
    days = [str(TODAY - day * DAY) for day in (2, 1, 0, 0, 0)]
    assert files(tmp_path) == days
    assert numbers(log.read_after(0)) == list(range(1, 10))
    table = DeltaTable(tmp_path / PATH)
    first_day = pc.field("accepted_date") == TODAY - 2 * DAY
    rows = table.to_pyarrow_dataset().to_table(filter=first_day)
    assert rows.column("source").to_pylist() == ["source a"] * 3 + ["source b"] * 3
    version, protocol = table.version(), table.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert care.push_table(PATH, NOW, FOR_EVER) == Tidied(PATH, 0, 0, 0)
    assert DeltaTable(tmp_path / PATH).version() == version
    push(log, NOW)
    assert numbers(open_log().read_after(8)) == [9, 10]


NOON = datetime.combine(TODAY, datetime.min.time(), timezone.utc) + timedelta(hours=12)


def test_open_day_is_joined_but_for_its_last_hour(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """Once there are many files; whoever has begun to read, or reads on from a batch, has all."""
    log = open_log()
    push(log, NOON - timedelta(hours=2), MANY_FILES - 1)
    care = DeltaCare(str(tmp_path))
    assert care.push_table(PATH, NOON, FOR_EVER).joined == 0
    push(log, NOON - timedelta(hours=1))
    push(log, NOON - timedelta(minutes=59), 3)
    pinned, reading = DeltaTable(tmp_path / PATH), log.read_after(0)
    begun = next(reading)
    assert care.push_table(PATH, NOON, FOR_EVER).joined == MANY_FILES
    assert len(files(tmp_path)) == 4
    last = MANY_FILES + 3
    assert [*numbers(iter([begun])), *numbers(reading)] == list(range(1, last + 1))
    assert numbers(read_batches(pinned, 0)) == list(range(1, last + 1))
    for after in (0, 1, 20, MANY_FILES, last):
        assert numbers(log.read_after(after)) == list(range(after + 1, last + 1))
    assert care.push_table(PATH, NOON, FOR_EVER).joined == 0
    push(log, NOON)
    assert numbers(open_log().read_after(last)) == [last + 1]


def test_files_are_joined_so_many_at_once(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, memory is bounded; the next time the joined ones are joined."""
    monkeypatch.setattr(maintenance, "JOINED_FILES", 3)
    log = open_log()
    push(log, NOW - DAY, 8)
    care = DeltaCare(str(tmp_path))
    for joined, left in ((8, 3), (3, 1), (0, 1)):
        assert care.push_table(PATH, NOW, FOR_EVER).joined == joined
        assert len(files(tmp_path)) == left
        assert numbers(log.read_after(0)) == list(range(1, 9))


class Counting(Documents):
    """Counts what is put."""

    puts = 0

    def put_if_absent(self, path: str, data: bytes) -> bool:
        self.puts += 1
        return super().put_if_absent(path, data)


def test_writer_at_full_speed_is_caught_up_with(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """What it commits while files are joined is read past; only then is anything put."""
    log = open_log()
    push(log, NOW, 5)
    table = DeltaTable(tmp_path / PATH)
    documents = Counting(str(tmp_path / PATH))
    push(log, NOW, 30)
    Joiner(table, documents, NOW, Layout()).join(files_of(table))
    assert documents.puts == 2, "the joined file and one entry"
    assert numbers(log.read_after(0)) == list(range(1, 36))
    assert len(files(tmp_path)) == 31


def test_many_files_cannot_wait(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one push table."""
    monkeypatch.setattr(due, "MANY_FILES", 3)
    logs = StoreDeltaLogs(str(tmp_path))
    assert not is_scattered(logs, STATE)
    assert logs.files(PATH) == 0
    log = open_log()
    push(log, NOW - DAY, 3)
    assert not is_scattered(logs, STATE)
    push(log, NOW - DAY)
    assert is_scattered(logs, STATE)
    DeltaCare(str(tmp_path)).push_table(PATH, NOW, FOR_EVER)
    assert not is_scattered(logs, STATE)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=2)])
def test_writer_never_fails_beside_maintenance(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path, ahead: timedelta
) -> None:
    """Appends go on in a thread, over three days that become old one by one; none is lost."""
    log, stop = open_log(), Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            while not stop.is_set() and log.last_batch < 2000:
                push(log, NOW - DAY * (log.last_batch % 3))
        except BaseException as exc:
            failures.append(exc)
            raise

    writer = Thread(target=write)
    writer.start()
    care = DeltaCare(str(tmp_path))
    joined = 0
    while writer.is_alive() and joined < 100:
        joined += care.push_table(PATH, NOW + ahead, FOR_EVER).joined
    stop.set()
    writer.join()
    assert failures == []
    assert joined > 0
    assert numbers(log.read_after(0)) == list(range(1, log.last_batch + 1))
    assert numbers(open_log().read_after(0)) == list(range(1, log.last_batch + 1))


def test_two_at_once_do_no_harm(open_log: Callable[[], DeltaPushLog], tmp_path: Path) -> None:
    """The later one fails in one line or finds nothing left."""
    log = open_log()
    push(log, NOW - DAY, 30)
    outcomes: list[object] = []

    def maintain() -> None:
        try:
            outcomes.append(DeltaCare(str(tmp_path)).push_table(PATH, NOW, FOR_EVER))
        except StoreUnavailable as exc:
            outcomes.append(str(exc))

    threads = [Thread(target=maintain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3
    assert any(isinstance(outcome, Tidied) and outcome.joined for outcome in outcomes)
    assert numbers(log.read_after(0)) == list(range(1, 31))
    assert DeltaCare(str(tmp_path)).push_table(PATH, NOW, FOR_EVER).joined == 0


def test_old_days_go_when_all_have_taken_them(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """Whole days, never one with a batch that somebody lacks; batch numbers go on."""
    log = open_log()
    for day in (9, 8, 7, 0):
        push(log, NOW - day * DAY, 2)
    care = DeltaCare(str(tmp_path))
    since = TODAY - 7 * DAY
    assert care.push_table(PATH, NOW, Kept(since, 3)).forgotten == 2
    assert numbers(log.read_after(0)) == list(range(3, 9))
    assert care.push_table(PATH, NOW, Kept(since, 100)).forgotten == 1
    assert numbers(log.read_after(0)) == list(range(5, 9))
    push(log, NOW)
    assert numbers(open_log().read_after(0)) == list(range(5, 10))


def test_table_that_has_lost_all_records_goes_on(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """The log still knows the number of its newest batch."""
    push(open_log(), NOW - 30 * DAY, 3)
    DeltaCare(str(tmp_path)).push_table(PATH, NOW, Kept(TODAY, 100))
    log = open_log()
    assert (log.last_batch, numbers(log.read_after(0))) == (3, [])
    push(log, NOW)
    assert numbers(log.read_after(0)) == [4]


def age(folder: Path, days: int) -> None:
    """Make every file of the push table older."""
    at = time.time() - days * 86_400
    for path in (folder / PATH).rglob("*"):
        if path.is_file():
            os.utime(path, (at, at))


def test_files_of_no_use_are_removed_after_a_week(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """Never earlier, and never what a writer has put and not committed yet."""
    log = open_log()
    push(log, NOW - DAY, 3)
    orphan = tmp_path / PATH / f"accepted_date={TODAY}" / "put-and-not-committed.parquet"
    orphan.parent.mkdir()
    orphan.write_bytes(b"")
    care = DeltaCare(str(tmp_path))
    assert care.push_table(PATH, NOW, FOR_EVER).removed == 0
    assert len(list((tmp_path / PATH).rglob("*.parquet"))) == 5
    age(tmp_path, 8)
    backdate_removals(tmp_path, 8)
    assert care.push_table(PATH, NOW, FOR_EVER).removed == 3
    assert orphan.exists()
    assert numbers(log.read_after(0)) == [1, 2, 3]


def backdate_removals(folder: Path, days: int) -> None:
    """Let the log say that files were removed some days ago."""
    for entry in (folder / PATH / "_delta_log").glob("*.json"):
        lines = []
        for line in entry.read_bytes().splitlines():
            action = msgspec.json.decode(line)
            if "remove" in action:
                action["remove"]["deletionTimestamp"] -= days * 86_400_000
            lines.append(msgspec.json.encode(action))
        entry.write_bytes(b"\n".join(lines))


def test_log_is_cleaned_up_only_where_all_has_been_taken(
    open_log: Callable[[], DeltaPushLog], tmp_path: Path
) -> None:
    """Entries of a month ago go, if no frontfill needs them; the table stands as before."""
    log = open_log()
    push(log, NOW - 40 * DAY, 15)
    DeltaTable(tmp_path / PATH).create_checkpoint()
    age(tmp_path, 40)
    push(log, NOW, 11)
    care = DeltaCare(str(tmp_path))
    entries = tmp_path / PATH / "_delta_log"
    care.push_table(PATH, NOW, Kept(None, 14))
    assert (entries / f"{0:020d}.json").exists()
    push(log, NOW, 11)
    care.push_table(PATH, NOW, Kept(None, 15))
    assert not (entries / f"{0:020d}.json").exists()
    assert numbers(log.read_after(0)) == list(range(1, 38))
    push(log, NOW)
    assert numbers(open_log().read_after(36)) == [37, 38]


def window(length: timedelta) -> AppliedAggregation:
    return AppliedAggregation(name="clicks", column="clicked", function="sum", time_window=length)


SOURCE = build_source()


@pytest.mark.parametrize(
    ("views", "reach"),
    [
        ([build_view(SOURCE, ttl=3 * DAY), build_view(SOURCE, "b", ttl=9 * DAY)], 9 * DAY),
        ([build_view(SOURCE, ttl=None, aggregations=(window(30 * DAY),))], 30 * DAY),
        ([build_view(SOURCE), build_view(SOURCE, "b", ttl=None)], None),
        ([build_view(SOURCE, ttl=timedelta(days=999_999))], None),
        ([], None),
    ],
)
def test_longest_reach_of_all_views_decides(
    views: list[AppliedView], reach: timedelta | None
) -> None:
    """No ttl, or no view that says how long: for ever."""
    state = build_state([SOURCE], views, [])
    expected = None if reach is None else (NOW - reach - MARGIN).date()
    assert kept_since(state, NOW) == expected


def test_log_offline_keeps_all_records() -> None:
    """As `PushConfig(log_offline=True)` promises."""
    source = build_source(log_offline=True)
    assert kept_since(build_state([source], [build_view(source)], []), NOW) is None


def test_the_slowest_offline_table_decides(tmp_path: Path) -> None:
    """One that does not exist yet has taken nothing; views that are online only do not count."""
    views = [build_view(SOURCE, name) for name in ("first", "second")]
    online = build_view(SOURCE, "online", offline=False)
    state = build_state([SOURCE], [*views, online], [])
    logs = StoreDeltaLogs(str(tmp_path))
    rows = {"user_id": ["a"]}
    for view, taken in zip(views, (7, 4), strict=True):
        assert taken_by_all(logs, state, "0") == 0
        write_deltalake(
            str(tmp_path / offline_path(state, view)),
            pa.table(rows),
            commit_properties=CommitProperties(app_transactions=[Transaction("push/0", taken)]),
        )
    assert taken_by_all(logs, state, "0") == 4
    assert taken_by_all(logs, state, "1") == 0
    assert taken_by_all(logs, build_state([SOURCE], [online], []), "0") > 10**18


def test_every_writer_has_its_turn(tmp_path: Path) -> None:
    """A report for each push table of the workspace."""
    checkpointer = Checkpointer()
    for writer in (0, 3):
        log = DeltaPushLog.open(str(tmp_path), STATE, writer, checkpointer)
        push(log, NOW - DAY, 2)
    logs, care = StoreDeltaLogs(str(tmp_path)), DeltaCare(str(tmp_path))
    reports = list(maintain_push_tables(logs, care, STATE, NOW))
    assert [str(report) for report in reports] == [
        f"{push_path(STATE, 0)}: 2 files joined",
        f"{push_path(STATE, 3)}: 2 files joined",
    ]
    again = maintain_push_tables(logs, care, STATE, NOW)
    assert {str(report).partition(": ")[2] for report in again} == {"nothing to do"}


def test_many_small_files_of_the_runs_become_one(tmp_path: Path) -> None:
    """Every run is still there, and more can be added."""
    runs = DeltaRunLog(str(tmp_path))
    times = [NOW + timedelta(seconds=number) for number in range(MANY_FILES + 1)]
    for at in times[:-1]:
        runs.record(Run("w", "v", "1", "period", at, at, at, at, ""))
    (report,) = maintain_store(DeltaCare(str(tmp_path)), NOW)
    assert report == Tidied("runs", MANY_FILES, 0, 0)
    at = times[-1]
    runs.record(Run("w", "v", "1", "period", at, at, at, at, ""))
    assert [run.ended for run in runs.of("w")] == times


def test_what_belongs_to_nothing_is_named(tmp_path: Path) -> None:
    """Folders of deleted workspaces and of earlier generations of views."""
    gone = build_state(name="gone")
    old = build_view(SOURCE, "old")
    state = build_state([SOURCE], [build_view(SOURCE, "old"), build_view(SOURCE, "new")], [])
    paths = [
        push_path(gone, 0),
        push_path(state, 0),
        offline_path(state, old),
        *(offline_path(state, view) for view in state.views),
    ]
    for path in paths:
        (tmp_path / path / "_delta_log").mkdir(parents=True)
        (tmp_path / path / "_delta_log" / "0.json").touch()
    ledger = DocumentLedger(Documents(str(tmp_path)))
    for where, view in ((gone, old), (state, old), *((state, view) for view in state.views)):
        ledger.enter(where, view, 1)
    found = list(leftovers(StoreDeltaLogs(str(tmp_path)), [state]))
    unused = f"filled/{state.folder}/{old.online_id}"
    assert found == [
        f"push/{gone.folder}",
        f"filled/{gone.folder}",
        offline_path(state, old),
        unused,
    ]
    assert DeltaCare(str(tmp_path)).remove(unused) == 1
    assert set(ledger.of(state)) == {view.online_id for view in state.views}
