"""`tecton service-account`, `access-control` and `api-key` (contract §2)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tecton.access import Role, authenticate, role_in
from tecton.cli.main import run
from tests.cli_fixtures import Cli, cli

__all__ = ["cli"]

CREATED = re.compile(
    r"Save this API Key - you will not be able to get it again\.\n"
    r"API Key: (\S+)\n"
    r"Service Account ID: ([0-9a-f]{16})\n"
)


@pytest.fixture
def two(cli: Cli) -> Cli:
    """A repo with the workspaces `prod` and `dev`; `dev` is selected."""
    cli.ok("workspace", "create", "prod", "--live")
    cli.ok("workspace", "create", "dev")
    return cli


def role(cli: Cli, account: str, workspace: str) -> Role | None:
    """The role that services would see."""
    state = cli.backend.registry.latest(workspace)
    assert state is not None
    return role_in(cli.backend.access.latest(), account, state.id)


def test_create_prints_the_documented_lines(cli: Cli) -> None:
    """The key is shown once, and only its hash is stored."""
    out = cli.ok(
        "service-account", "create", "--name", "stream-ingest", "--description", "A sample"
    )
    match = CREATED.fullmatch(out)
    assert match is not None
    key, account_id = match.groups()
    found = authenticate(cli.backend.access.latest(), key)
    assert found is not None
    assert (found.id, found.name, found.description) == (account_id, "stream-ingest", "A sample")
    stored = b"".join(cli.files().values())
    assert key.encode() not in stored
    assert key.split("_")[2].encode() not in stored


def test_create_as_json(cli: Cli) -> None:
    """`--json-out` prints JSON for scripts."""
    created = cli.service_account()
    assert set(created) == {"name", "api_key", "service_account_id"}
    assert authenticate(cli.backend.access.latest(), created["api_key"]) is not None


@pytest.mark.parametrize(
    "text", ["a\nb", "a\tb", "\x1b[2J", "a\0", "a\u2028b", "\udcff", "x" * 1001]
)
def test_texts_that_would_break_the_list(cli: Cli, text: str) -> None:
    """A name is one printable line, and there is one; a description may be empty."""
    before = cli.files()
    create = ["service-account", "create"]
    for name in (text, "", " ", "x" * 129):
        assert "'-n' / '--name'" in cli.fails(*create, "-n", name)
    assert "'-d' / '--description'" in cli.fails(*create, "-n", "a", "-d", text)
    assert cli.files() == before
    cli.ok(*create, "-n", "Zoë's 鍵 (1)", "-d", "x" * 1000)
    cli.ok(*create, "-n", "a", "-d", "")
    assert len(cli.ok("service-account", "list").splitlines()) == 3


def test_list_deactivate_activate_delete(two: Cli) -> None:
    """An inactive key opens nothing; a deleted account loses its roles."""
    created = two.service_account()
    key, account = created["api_key"], created["service_account_id"]
    two.ok("access-control", "assign-role", "-r", "editor", "-w", "prod", "-s", account)
    assert f"{account}  svc   active  2023-01-03T12:00:00Z\n" in two.ok("service-account", "list")
    two.ok("service-account", "deactivate", account)
    assert authenticate(two.backend.access.latest(), key) is None
    assert f"{account}  svc   inactive" in two.ok("service-account", "list")
    assert "Active: no" in two.ok("api-key", "introspect", key)
    two.ok("service-account", "activate", account)
    assert authenticate(two.backend.access.latest(), key) is not None
    two.ok("service-account", "delete", account)
    assert authenticate(two.backend.access.latest(), key) is None
    assert role(two, account, "prod") is None
    assert account not in two.ok("service-account", "list")
    for command in ("activate", "deactivate", "delete"):
        assert "tecton service-account list" in two.fails("service-account", command, account)


def test_roles_are_assigned_and_taken(two: Cli) -> None:
    """Exactly the documented answer; in the selected workspace, in one, or in all."""
    account = two.service_account()["service_account_id"]
    documented = ["--role", "editor", "--workspace", "prod", "--service-account", account]
    assert two.ok("access-control", "assign-role", *documented) == "Successfully updated role.\n"
    assert (role(two, account, "prod"), role(two, account, "dev")) == (Role.EDITOR, None)
    two.ok("access-control", "assign-role", "-r", "viewer", "-s", account)
    assert role(two, account, "dev") is Role.VIEWER
    two.ok("access-control", "assign-role", "-r", "admin", "--all-workspaces", "-s", account)
    assert role(two, account, "dev") is Role.ADMIN
    assert two.ok("access-control", "get-roles", "-s", account) == (
        "Workspace       Role\n"
        "all workspaces  admin\n"
        "dev             viewer\n"
        "prod            editor\n"
    )
    two.ok("access-control", "unassign-role", "-r", "admin", "--all-workspaces", "-s", account)
    assert two.ok("access-control", "unassign-role", *documented) == "Successfully updated role.\n"
    assert (role(two, account, "prod"), role(two, account, "dev")) == (None, Role.VIEWER)
    assert "was not given" in two.fails("access-control", "unassign-role", *documented)


def test_role_of_an_unknown_account_or_workspace(two: Cli) -> None:
    """Nothing is granted to nobody."""
    account = two.service_account()["service_account_id"]
    assign = ["access-control", "assign-role", "-r", "viewer"]
    assert "no service account" in two.fails(*assign, "-s", "0" * 16)
    assert "no workspace x" in two.fails(*assign, "-s", account, "-w", "x")
    assert "not both" in two.fails(*assign, "-s", account, "-w", "dev", "--all-workspaces")
    assert two.backend.access.latest().grants == ()


def test_deleted_workspace_takes_its_roles_along(two: Cli) -> None:
    """Its successor of the same name inherits none."""
    account = two.service_account()["service_account_id"]
    two.ok("access-control", "assign-role", "-r", "owner", "-w", "prod", "-s", account)
    two.ok("workspace", "delete", "prod", "-y")
    two.ok("workspace", "create", "prod", "--live")
    assert role(two, account, "prod") is None
    assert "owner" not in two.ok("access-control", "get-roles", "-s", account)


def test_introspect_says_whose_key_it_is(two: Cli) -> None:
    """And what it may; a wrong key is nobody's."""
    created = two.service_account()
    account = created["service_account_id"]
    two.ok("access-control", "assign-role", "-r", "consumer", "-w", "prod", "-s", account)
    assert two.ok("api-key", "introspect", created["api_key"]) == (
        f"Service Account ID: {account}\nName: svc\nActive: yes\nRole: consumer in prod\n"
    )
    assert "no service account" in two.fails("api-key", "introspect", created["api_key"] + "0")


def test_changes_at_once_are_all_kept(two: Cli) -> None:
    """Whoever is second tries again on the newer version."""
    sessions = [two.session() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        codes = pool.map(
            lambda session: run(["service-account", "create", "-n", "x", "--json-out"], session),
            sessions,
        )
    assert list(codes) == [0, 0, 0, 0]
    access = two.backend.access.latest()
    assert (access.version, len(access.accounts)) == (4, 4)
