"""Maintenance of offline tables, and of push tables that frontfills read (contract §6)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from deltalake import DeltaTable

from tecton.adapters import maintenance
from tecton.adapters.launchers.local import LocalLauncher
from tecton.adapters.maintenance import DeltaCare
from tecton.applied import WorkspaceState, push_path
from tecton.errors import JobFailed, StoreUnavailable
from tecton.reload import reload_lost
from tecton.spark.maintain import FEW_FILES, maintain
from tecton.spark.push_tables import pin_push_tables, read_pushed
from tecton.stores import Job, Kept, Tidied
from tecton.testing import build_source, build_state, build_view
from tests.spark.scene import DAY, Scene, events_of, utc


@pytest.fixture
def state() -> WorkspaceState:
    """A workspace of pushed records alone; a read sees three days."""
    source = build_source()
    return build_state([source], [build_view(source, ttl=3 * DAY)])


def maintained(scene: Scene, state: WorkspaceState) -> dict[str, Any]:
    """The reports of a maintenance, by the first folder of the table."""
    reports = list(maintain(scene.stores, scene.backend.care, state, [state]))
    return {str(report).partition("/")[0]: report for report in reports}


def push_table(scene: Scene, state: WorkspaceState) -> DeltaTable:
    return DeltaTable(f"{scene.stores.store}/{push_path(state, 0)}")


def test_offline_tables_are_compacted(scene: Scene, state: WorkspaceState) -> None:
    """Small files of a day become one, in their partitions; a second time nothing is to do."""
    scene.backfill(state)
    for number in range(FEW_FILES + 1):
        scene.push(state, (f"u{number}", utc(2), number))
        scene.frontfill(state)
    before = scene.offline(state)
    report = maintained(scene, state)["offline"]
    assert (report.joined, report.removed) == (FEW_FILES + 1, 0)
    table = DeltaTable(scene.stores.offline_table(state, state.views[0]).url)
    (file,) = table.file_uris()
    assert f"/_origin=push/_date={utc(2).date()}/" in file
    protocol = table.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert table.transaction_version("push/0") == FEW_FILES + 1
    assert before == scene.offline(state)
    assert maintained(scene, state)["offline"].joined == 0
    scene.push(state, ("later", utc(2), 1))
    scene.frontfill(state)
    assert len(scene.offline(state)) == FEW_FILES + 2


def test_retention_waits_for_the_frontfill(scene: Scene, state: WorkspaceState) -> None:
    """Old records go once every offline table has them; every read answers as before."""
    scene.backfill(state)
    scene.push(state, ("old", utc(1), 1), ("both", utc(1), 2))
    scene.clock.advance(10 * DAY)
    scene.push(state, ("new", utc(12), 3), ("both", utc(12), 4))
    asked = events_of(*((user, at) for user in ("old", "new", "both") for at in (utc(2), utc(13))))

    assert maintained(scene, state)["push"].forgotten == 0
    before = answers(scene, state, asked)
    scene.frontfill(state)
    assert maintained(scene, state)["push"].forgotten == 1
    assert maintained(scene, state)["push"].forgotten == 0
    assert before == answers(scene, state, asked)
    scene.push(state, ("last", utc(12), 5))
    scene.frontfill(state)
    assert [row[1:] for row in scene.offline(state)] == [
        ("both", utc(1), 2),
        ("both", utc(12), 4),
        ("last", utc(12), 5),
        ("new", utc(12), 3),
        ("old", utc(1), 1),
    ]
    scene.online.client.flushall()
    backend = scene.backend
    list(reload_lost(scene.online, backend.history, backend.runs, [state], scene.clock()))
    assert scene.served(state, "old", "new", "both", "last") == [None, b"[3]", b"[4]", b"[5]"]


def answers(scene: Scene, state: WorkspaceState, asked: Any) -> list[int | None]:
    """A training frame's values, 0 for none."""
    frame = scene.train(state, asked).to_pandas()
    values: list[int | None] = frame["click_events_fv__clicked"].fillna(0).tolist()
    return values


def test_frontfill_outlives_a_log_that_was_cleaned_up(scene: Scene, state: WorkspaceState) -> None:
    """Its stream's offset is in no log any more: what it has not taken is read from the table."""
    scene.backfill(state)
    scene.push(state, ("a", utc(2), 1))
    scene.frontfill(state)
    for number in range(15):
        scene.push(state, (f"u{number}", utc(2), number))
    table = push_table(scene, state)
    table.create_checkpoint()
    forget_log(scene, state, table.version())
    scene.push(state, ("b", utc(2), 2))

    scene.frontfill(state)

    users = sorted(row[1] for row in scene.offline(state))
    assert users == sorted(["a", "b", *(f"u{number}" for number in range(15))])
    scene.push(state, ("c", utc(2), 3))
    scene.frontfill(state)
    assert len(scene.offline(state)) == len(users) + 1


def forget_log(scene: Scene, state: WorkspaceState, before: int) -> None:
    """Remove the push table's log entries, as a cleanup after a month would."""
    folder = scene.folder / "store" / push_path(state, 0) / "_delta_log"
    old = time.time() - 40 * 86_400
    for entry in folder.iterdir():
        if entry.name[:20].isdigit() and int(entry.name[:20]) <= before:
            os.utime(entry, (old, old))
    push_table(scene, state).cleanup_metadata()
    assert not (folder / f"{2:020d}.json").exists()


def test_frontfill_outlives_files_that_were_removed(scene: Scene, state: WorkspaceState) -> None:
    """It stood still for over a week, and what it would have read next was joined meanwhile."""
    scene.backfill(state)
    scene.push(state, ("a", utc(2), 1))
    scene.frontfill(state)
    for number in range(3):
        scene.push(state, (f"u{number}", utc(3), number))
    scene.clock.advance(DAY)
    assert maintained(scene, state)["push"].joined == 4
    kept = {uri.rpartition("/")[2] for uri in push_table(scene, state).file_uris()}
    for file in (scene.folder / "store" / push_path(state, 0)).rglob("0*.parquet"):
        if file.parent.name != "_delta_log" and file.name not in kept:
            file.unlink()
    scene.push(state, ("b", utc(4), 2))

    scene.frontfill(state)
    scene.frontfill(state)

    assert sorted(row[1] for row in scene.offline(state)) == ["a", "b", "u0", "u1", "u2"]


def test_compaction_and_retention_between_frontfills(scene: Scene, state: WorkspaceState) -> None:
    """The stream passes rewritten and deleted files by; each record is taken once."""
    scene.backfill(state)
    for number in range(3):
        scene.push(state, (f"a{number}", utc(3), number))
    scene.frontfill(state)
    for number in range(3):
        scene.push(state, (f"b{number}", utc(3), number))
    scene.clock.advance(timedelta(days=1))
    assert maintained(scene, state)["push"].joined == 6
    scene.push(state, ("c", utc(4), 9))
    scene.frontfill(state)
    scene.clock.advance(timedelta(days=9))
    scene.push(state, ("d", utc(13), 9))
    assert maintained(scene, state)["push"].forgotten == 2
    scene.frontfill(state)
    expected = sorted([*(f"{name}{number}" for name in "ab" for number in range(3)), "c", "d"])
    assert sorted(row[1] for row in scene.offline(state)) == expected


def test_open_day_is_joined_under_a_stream_and_a_reader(
    scene: Scene, state: WorkspaceState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pinned before is read whole, and the stream brings each record once."""
    monkeypatch.setattr(maintenance, "MANY_FILES", 4)
    scene.backfill(state)
    scene.push(state, ("before", utc(3), 1))
    scene.frontfill(state)
    users = ["u1", "u2", "u3"]
    for user in users:
        scene.push(state, (user, utc(3), 1))
    pinned = pin_push_tables(scene.backend.delta_logs, state)
    read = read_pushed(scene.spark, scene.stores.store, pinned, {"0": 1})
    scene.clock.advance(timedelta(hours=2))
    assert maintained(scene, state)["push"].joined == len(users) + 1
    scene.push(state, ("after", utc(3), 1))

    assert read is not None
    assert len(users) == read.count()
    (report,) = scene.frontfill(state)
    assert len(users) + 1 == report.offline
    assert sorted(["before", "after", *users]) == [row[1] for row in scene.offline(state)]


class Broken(DeltaCare):
    """Cannot maintain push tables."""

    def push_table(self, path: str, now: Any, kept: Kept) -> Tidied:
        raise StoreUnavailable(f"{path} cannot be maintained: no reason")


def test_failure_is_said_when_the_rest_is_done(scene: Scene, state: WorkspaceState) -> None:
    """What else there is to do is done; then the job fails with a line for each reason."""
    scene.backfill(state)
    scene.push(state, ("a", utc(2), 1))
    reports: list[object] = []

    def run() -> Iterator[object]:
        for report in maintain(scene.stores, Broken(scene.stores.store), state, [state]):
            reports.append(report)
            yield report

    with pytest.raises(JobFailed, match=r"^push tables: push/.* cannot be maintained: no reason$"):
        list(run())
    assert [str(report).partition("/")[0] for report in reports] == [
        "offline",
        "runs: nothing to do",
    ]


def test_jobs_maintain(scene: Scene, state: WorkspaceState) -> None:
    """`jobs/maintain.py` for all workspaces, and after a frontfill; a line for each table."""
    scene.backend.registry.commit(state)
    scene.backfill(state)
    scene.clock.at -= 2 * DAY
    for number in range(3):
        scene.push(state, (f"a{number}", utc(1), number))
    environ = scene.backend.settings.environ()
    joined = f"{push_path(state, 0)}: 3 files joined"
    assert joined in list(LocalLauncher("1g").run(Job("maintain", []), environ))
    arguments = ["--workspace", "prod", "--maintain"]
    lines = list(LocalLauncher("1g").run(Job("frontfill", arguments), environ))
    assert f"{push_path(state, 0)}: nothing to do" in lines
    assert any("3 rows added offline" in line for line in lines)
