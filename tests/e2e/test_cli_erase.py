"""`tecton delete-keys`: what it deletes, asks and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from tecton.rows import encode_key
from tecton.stores import BACKFILL, LogEntry, Run
from tecton.timestamps import format_micros, micros_of
from tests.cli_fixtures import Cli, cli

__all__ = ["cli"]


@pytest.fixture
def prod(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A live workspace with a record of each of three users, served."""
    monkeypatch.setattr("tecton.erase.SETTLE", timedelta(0))
    cli.clock.at = datetime.now(timezone.utc)
    cli.ok("workspace", "create", "prod", "--live")
    cli.ok("apply", "-y")
    state = cli.backend.registry.latest("prod")
    assert state is not None
    view, now = state.views[0], cli.clock()
    run = Run(state.folder, view.name, view.id, BACKFILL, now, now, now, now, "")
    cli.backend.runs.record(run)
    log = cli.backend.open_push_log(state, 0)
    at = format_micros(micros_of(now))
    entries = [
        LogEntry(
            state.sources[0].id,
            micros_of(now) + number,
            1,
            state.version,
            json.dumps({"user_id": user, "timestamp": at, "clicked": 7}).encode(),
        )
        for number, user in enumerate("abc")
    ]
    log.append(entries, now)
    cli.ok("replay")
    cli.clock.advance(timedelta(seconds=1))
    yield cli
    cli("redis", "stop")


def served(line: Cli) -> list[bool]:
    """Which of the three are served."""
    state = line.backend.registry.latest("prod")
    assert state is not None
    keys = [(state.views[0].id, encode_key([user])) for user in "abc"]
    return [row is not None for row in line.backend.online.read(keys)]


def test_keys_of_options_and_file_are_deleted(prod: Cli) -> None:
    """A replay does not bring them back."""
    (prod.folder / "keys.json").write_text('[{"user_id": "b"}]')
    arguments = ("delete-keys", "clicks", "--key", '{"user_id": "a"}', "--file", "keys.json")
    out = prod.ok(*arguments, "-y")
    assert out.splitlines() == [
        "clicks: 0 rows deleted offline",
        "impressions: 2 pushed records deleted",
        "clicks: 2 join keys deleted online",
    ]
    assert served(prod) == [False, False, True]
    prod.ok("replay")
    assert served(prod) == [False, False, True]


def test_online_alone(prod: Cli) -> None:
    """The push table keeps the record, and a replay does not serve it."""
    out = prod.ok("delete-keys", "clicks", "--key", '{"user_id": "a"}', "--online-only", "-y")
    assert out == "clicks: 1 join keys deleted online\n"
    prod.ok("replay")
    assert served(prod) == [False, True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clicks", "--key", '{"user_id": "a"}'), "add -y"),
        (("clicks",), "no join keys are given"),
        (("nope", "--key", "{}"), "no feature view nope"),
        (("clicks", "--key", "{}"), "must have the join keys user_id"),
        (("clicks", "--key", "x"), "are no JSON"),
        (("clicks", "--online-only", "--offline-only"), "exclude each other"),
    ],
)
def test_what_is_refused(prod: Cli, arguments: tuple[str, ...], message: str) -> None:
    """One line says why, and nothing is deleted."""
    assert message in prod.fails("delete-keys", *arguments)
    assert served(prod) == [True, True, True]
