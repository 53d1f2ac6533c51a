"""
`tecton workspace …`.
"""

from __future__ import annotations

import click
import msgspec

from tecton.applied import WorkspaceState
from tecton.cli.audit import enter_changes
from tecton.cli.session import Session, checked_name, yes_option
from tecton.plan import make_plan
from tecton.resolve import Desired


@click.group()
def workspace() -> None:
    """Create, list, select, show and delete workspaces."""


@workspace.command()
@click.argument("name", metavar="W")
@click.option("--live/--no-live", default=False, help="Materialise and serve; default: do not.")
@click.pass_obj
def create(session: Session, name: str, live: bool) -> None:
    """Create the workspace W and select it."""
    checked_name(name)
    registry = session.backend.registry
    for other in registry.workspaces():
        if other != name and other.casefold() == name.casefold():
            raise click.ClickException(
                f"there is or was a workspace {other}; names must differ by more than case"
            )
    old = registry.latest(name)
    if old is not None and not old.deleted:
        raise click.ClickException(f"there is a workspace {name} already; select it")
    registry.commit(
        WorkspaceState(
            name=name,
            id=session.new_id(),
            live=live,
            version=1 if old is None else old.version + 1,
            applied_at=session.clock(),
            applied_by=session.user,
            comment="created",
        )
    )
    enter_changes(session)
    session.select(name)
    click.echo(f'Created {_kind(live)} workspace "{name}".')
    click.echo(f'Switched to workspace "{name}".')


@workspace.command("list")
@click.pass_obj
def list_(session: Session) -> None:
    """List the workspaces; a star marks the selected one."""
    selected = session.selected()
    states = session.workspaces()
    for live, title in ((True, "Live Workspaces:"), (False, "Development Workspaces:")):
        click.echo(title)
        for state in states:
            if state.live is live:
                click.echo(f"{'*' if state.name == selected else ' '} {state.name}")


@workspace.command()
@click.argument("name", metavar="W")
@click.pass_obj
def select(session: Session, name: str) -> None:
    """Use the workspace W where no -w is given."""
    state = session.workspace(name)
    session.select(state.name)
    click.echo(f'Switched to workspace "{state.name}".')


@workspace.command()
@click.pass_obj
def show(session: Session) -> None:
    """Show the selected workspace."""
    state = session.workspace(None)
    click.echo(f"{state.name} ({_kind(state.live)}, version {state.version})")


@workspace.command()
@click.argument("name", metavar="W")
@yes_option
@click.pass_obj
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete the workspace W with all objects and roles in it."""
    state = session.workspace(name)
    # Refuses what prevent_destroy protects.
    emptied = make_plan(state, Desired(), now=session.clock(), new_id=session.new_id).state
    session.confirm(
        f'Delete workspace "{name}" with {len(state.views)} feature views? Nothing brings it back.',
        yes,
    )
    session.backend.registry.commit(
        msgspec.structs.replace(emptied, deleted=True, applied_by=session.user, comment="deleted")
    )
    enter_changes(session)
    if not session.settings.workspace and session.selected() == name:
        session.select(None)
    click.echo(f'Deleted workspace "{name}".')


def _kind(live: bool) -> str:
    return "live" if live else "development"
