"""`tecton audit`, and that every command that changes something is in it."""

from __future__ import annotations

import pytest

from tests.cli_fixtures import Cli, cli

__all__ = ["cli"]


def entries(cli: Cli) -> list[list[str]]:
    """What `tecton audit` lists, oldest first: what, workspace, details."""
    return [
        [entry.action, entry.workspace or "", entry.details]
        for entry in reversed(cli.backend.audit.newest(100))
    ]


def test_every_change_is_in_the_audit(cli: Cli) -> None:
    """One entry each, with who did it, in the order of their doing."""
    cli.ok("workspace", "create", "prod", "--live")
    cli.ok("apply", "-y", "--no-wait")
    account = cli.service_account()["service_account_id"]
    role = ("--role", "editor", "-w", "prod", "--service-account", account)
    cli.ok("access-control", "assign-role", *role)
    cli.ok("access-control", "unassign-role", *role)
    cli.ok("access-control", "assign-role", "-r", "admin", "--all-workspaces", "-s", account)
    cli.ok("service-account", "deactivate", account)
    cli.ok("service-account", "activate", account)
    cli.ok("service-account", "delete", account)
    cli.ok("destroy", "-y")
    cli.ok("restore", "2", "-y", "--no-wait")
    cli.ok("workspace", "delete", "prod", "-y")
    created = (
        "+ Entity user, + StreamSource impressions, + StreamFeatureView clicks, "
        "+ FeatureService svc"
    )
    assert sorted(entries(cli)) == sorted(
        [
            ["created workspace", "prod", "live"],
            ["applied version 2", "prod", created],
            ["created service account", "", "svc"],
            ["granted role", "prod", "editor"],
            ["revoked role", "prod", "editor"],
            ["granted role", "", "admin in all workspaces"],
            ["deactivated service account", "", "svc"],
            ["activated service account", "", "svc"],
            ["deleted service account", "", "svc"],
            ["applied version 3", "prod", created.replace("+ ", "- ")],
            ["applied version 4", "prod", f"{created} (restored version 2)"],
            ["deleted workspace", "prod", "with 1 feature views"],
        ]
    )
    user = cli.session().user
    assert {entry.actor for entry in cli.backend.audit.newest(100)} == {user}


def test_reading_is_no_entry(cli: Cli) -> None:
    """Only what changes something is entered."""
    cli.ok("workspace", "create", "prod")
    cli.ok("plan")
    cli.ok("log")
    cli.ok("service-account", "list")
    assert len(entries(cli)) == 1


def test_list_shows_the_newest_first(cli: Cli) -> None:
    """Time, who, workspace, what, details; `-w` and `--limit` choose."""
    cli.ok("workspace", "create", "one")
    cli.ok("workspace", "create", "two")
    user = cli.session().user
    lines = cli.ok("audit", "-w", "two").splitlines()
    assert lines[0].split() == ["Time", "Who", "Workspace", "What", "Details"]
    at = "2023-01-03T12:00:00Z"
    who = f"command line {user}"
    assert lines[1].split() == f"{at} {who} two created workspace development".split()
    assert len(lines) == 2
    assert len(cli.ok("audit").splitlines()) == 3
    assert len(cli.ok("audit", "--limit", "1").splitlines()) == 2


def test_no_secret_is_in_the_audit(cli: Cli) -> None:
    """Neither the key nor its hash."""
    made = cli.service_account()
    (account,) = cli.backend.access.latest().accounts
    audited = b"".join(data for name, data in cli.files().items() if name.startswith("audit/"))
    assert made["service_account_id"].encode() in audited
    assert made["api_key"].split("_")[2].encode() not in audited
    assert account.secret_sha256.encode() not in audited


def test_change_holds_when_the_audit_fails_and_is_entered_later(cli: Cli) -> None:
    """A warning, exit code 0; `tecton audit` makes up for it."""
    store = cli.folder / ".tecton_store"
    cli.ok("workspace", "create", "first")
    hidden = store / "hidden"
    (store / "audit").rename(hidden)
    (store / "audit").write_text("in the way")
    result = cli("workspace", "create", "second")
    assert result.code == 0
    assert result.err.startswith("warning: the change holds, but is not in the audit yet (the ")
    assert result.err.count("\n") == 1
    assert cli.fails("audit").startswith("the audit in the store cannot be read")
    (store / "audit").unlink()
    hidden.rename(store / "audit")
    assert "second" in cli.ok("audit")
    assert [entry[1] for entry in entries(cli)] == ["first", "second"]


@pytest.mark.parametrize("command", [("destroy", "-y"), ("apply", "-y", "--no-wait")])
def test_change_that_fails_is_no_entry(cli: Cli, command: tuple[str, ...]) -> None:
    """A version that could not be committed was never there."""
    cli.ok("workspace", "create", "prod")
    cli.ok("apply", "-y", "--no-wait")
    before = entries(cli)
    cli.change("definitions.py", {"clicked": "clicked_"} if command[0] == "apply" else {})
    taken = cli.folder / ".tecton_store/registry/prod/000000003.json"
    taken.touch()
    cli.fails(*command)
    taken.unlink()
    assert entries(cli) == before


def test_terminal_escapes_never_reach_the_terminal(cli: Cli) -> None:
    """In names that are wrong, in descriptions of a repo, in what stands in the store."""
    evil = "\x1b]0;owned\x07\r\n\x9b2J"
    for arguments in (
        ("workspace", "create", evil),
        ("workspace", "select", evil),
        ("apply", "-w", evil),
        ("service-account", "delete", evil),
        ("api-key", "introspect", evil),
        (evil,),
    ):
        assert cli.fails(*arguments).isprintable()
    cli.ok("workspace", "create", "prod")
    text = "The count of ad clicks for a user"
    cli.change("definitions.py", {text: evil.encode("unicode_escape").decode()})
    planned = cli.ok("plan")
    assert "owned" in planned
    assert planned.replace("\n", "").isprintable()
    cli.change(
        "definitions.py", {'name="user"': f'name="{evil.encode("unicode_escape").decode()}"'}
    )
    result = cli("plan")
    assert "owned" in result.err
    assert result.err.replace("\n", "").isprintable()
