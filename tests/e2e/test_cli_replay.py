"""`tecton replay`: Redis filled by hand from offline and push tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tecton.applied import AppliedView, WorkspaceState
from tecton.rows import encode_key
from tecton.stores import BACKFILL, LogEntry, Run
from tecton.timestamps import format_micros, micros_of
from tests.cli_fixtures import Cli, cli

__all__ = ["cli"]


@pytest.fixture
def prod(cli: Cli) -> Iterator[Cli]:
    """A live workspace whose view is applied; its clock has today's time, as Redis."""
    cli.clock.at = datetime.now(timezone.utc)
    cli.ok("workspace", "create", "prod", "--live")
    yield cli
    cli("redis", "stop")


def applied(line: Cli) -> tuple[WorkspaceState, AppliedView]:
    state = line.backend.registry.latest("prod")
    assert state is not None
    return state, state.views[0]


def end_backfill(line: Cli) -> None:
    """As the job does when it has ended."""
    state, view = applied(line)
    now = line.clock()
    line.backend.runs.record(
        Run(state.folder, view.name, view.id, BACKFILL, now, now, now, now, "")
    )


def push(line: Cli, *users: str) -> None:
    """Log one record for each user, without telling Redis."""
    backend = line.backend
    state, _ = applied(line)
    log = backend.open_push_log(state, 0)
    now = line.clock()
    at = format_micros(micros_of(now))
    entries = [
        LogEntry(
            state.sources[0].id,
            micros_of(now) + number,
            log.last_batch + 1,
            state.version,
            b'{"user_id":"%s","timestamp":"%s","clicked":%d}' % (user.encode(), at.encode(), 7),
        )
        for number, user in enumerate(users)
    ]
    log.append(entries, now)


def test_replay_fills_redis_and_says_what_it_did(prod: Cli) -> None:
    """All that is kept is served again; a second time changes nothing."""
    prod.ok("apply", "-y")
    end_backfill(prod)
    push(prod, "a", "b")
    _, view = applied(prod)
    for _ in range(2):
        assert prod.ok("replay").startswith("clicks: 2 rows offered online, ")
        keys = [(view.id, encode_key([user])) for user in ("a", "b", "c")]
        found = prod.backend.online.read(keys)
        assert [row and row.body for row in found] == [b"[7]", b"[7]", None]


def test_view_that_was_never_loaded_is_left_to_its_backfill(prod: Cli) -> None:
    """Marking it as loaded would serve nulls; the error says what loads it."""
    prod.ok("apply", "-y")
    message = prod.fails("replay")
    assert message == (
        "the backfill of clicks has not ended; run `tecton materialize run-due -w prod`"
    )
    assert prod.backend.online.unloaded([applied(prod)[1].id]) != []


def test_batch_rows_that_only_spark_can_read(prod: Cli) -> None:
    """The command says which job loads the view."""
    batch = (
        "batch_config=__import__('tecton').FileConfig(uri='batch.parquet', "
        "file_format='parquet', timestamp_field='timestamp'),\n    stream_config=PushConfig(),"
    )
    prod.change(
        "definitions.py", {"stream_config=PushConfig(),": batch, "offline=True,": "offline=False,"}
    )
    write_batch(prod)
    prod.ok("apply", "-y")
    end_backfill(prod)
    message = prod.fails("replay")
    assert "the batch rows of clicks are in no offline table" in message
    assert "jobs/backfill.py --workspace prod --feature-view clicks" in message


def write_batch(line: Cli) -> None:
    """A batch file without rows, for the plan to look at."""
    columns = {
        "user_id": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
        "clicked": pa.int64(),
    }
    empty = pa.table({name: pa.array([], kind) for name, kind in columns.items()})
    pq.write_table(empty, line.folder / "batch.parquet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--view", "nothing"), "workspace prod has no feature view nothing"),
        (("-w", "dev"), "dev is a development workspace"),
    ],
)
def test_what_cannot_be_replayed(prod: Cli, arguments: tuple[str, ...], message: str) -> None:
    """One line says why."""
    prod.ok("apply", "-y")
    prod.ok("workspace", "create", "dev")
    prod.ok("workspace", "select", "prod")
    assert message in prod.fails("replay", *arguments)
