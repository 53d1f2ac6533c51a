"""`tecton workspace …` (contract §2)."""

from __future__ import annotations

from tests.cli_fixtures import Cli, cli

__all__ = ["cli"]


def test_created_workspace_is_selected(cli: Cli) -> None:
    """A development workspace by default; `--live` for one that materialises."""
    out = cli.ok("workspace", "create", "dev")
    assert 'Created development workspace "dev".\nSwitched to workspace "dev".\n' == out
    assert (cli.folder / ".tecton_workspace").read_text() == "dev\n"
    assert 'Created live workspace "prod".' in cli.ok("workspace", "create", "prod", "--live")
    assert cli.ok("workspace", "show") == "prod (live, version 1)\n"
    assert cli.ok("workspace", "list") == (
        "Live Workspaces:\n* prod\nDevelopment Workspaces:\n  dev\n"
    )


def test_selection_can_be_overruled(cli: Cli) -> None:
    """`-w` wins over TECTON_WORKSPACE, which wins over the selected one."""
    for name in ("a", "b", "c"):
        cli.ok("workspace", "create", name)
    cli.ok("workspace", "select", "a")
    assert 'Using workspace "a"' in cli.ok("plan")
    cli.environ["TECTON_WORKSPACE"] = "b"
    assert 'Using workspace "b"' in cli.ok("plan")
    assert 'Using workspace "c"' in cli.ok("plan", "-w", "c")


def test_nothing_selected(cli: Cli) -> None:
    """The error says the ways to name one."""
    message = cli.fails("plan")
    for way in ("tecton workspace select", "-w W", "TECTON_WORKSPACE"):
        assert way in message


def test_names_that_could_not_be_a_path(cli: Cli) -> None:
    """Workspaces are folders and parts of keys."""
    for name in ("", "..", "a/b", "a b", "é", "x" * 200, ".a"):
        assert "cannot be a workspace's name" in cli.fails("workspace", "create", name)


def test_existing_name_is_refused(cli: Cli) -> None:
    """So is one that differs in case alone: some disks do not tell them apart."""
    cli.ok("workspace", "create", "prod")
    assert "already" in cli.fails("workspace", "create", "prod")
    assert "differ by more than case" in cli.fails("workspace", "create", "Prod")


def test_workspace_lives_again_with_another_id(cli: Cli) -> None:
    """Deletion is a version; what is created again never sees old data."""
    cli.ok("workspace", "create", "prod", "--live")
    cli.ok("apply", "-y")
    registry = cli.backend.registry
    first = registry.latest("prod")
    assert "add -y" in cli.fails("workspace", "delete", "prod")
    assert cli.ok("workspace", "delete", "prod", "-y") == 'Deleted workspace "prod".\n'
    assert not (cli.folder / ".tecton_workspace").exists()
    assert "there is no workspace prod" in cli.fails("plan", "-w", "prod")
    assert "prod" not in cli.ok("workspace", "list")
    deleted = registry.latest("prod")
    cli.ok("workspace", "create", "prod")
    second = registry.latest("prod")
    assert first is not None
    assert deleted is not None
    assert second is not None
    assert (first.version, deleted.version, second.version) == (2, 3, 4)
    assert deleted.deleted
    assert list(deleted.objects()) == []
    assert second.id != first.id
    assert not second.live
    assert "+ Create" in cli.ok("plan")


def test_protected_objects_keep_their_workspace(cli: Cli) -> None:
    """`prevent_destroy` holds against deleting everything, too."""
    cli.change("definitions.py", {"ttl=": "prevent_destroy=True, ttl="})
    cli.ok("workspace", "create", "prod")
    cli.ok("apply", "-y")
    result = cli("workspace", "delete", "prod", "-y")
    assert result.code == 1
    assert "prevent_destroy" in result.err
    assert "prod" in cli.ok("workspace", "list")
