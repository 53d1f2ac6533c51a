"""
The commands about the repo and this installation: init, log, version, whoami.
"""

from __future__ import annotations

from itertools import islice

import click

from tecton.applied import WorkspaceState
from tecton.cli.render import printable, render_count, render_time
from tecton.cli.session import SELECTED, Session, workspace_option
from tecton.settings import DEFAULT_STORE, REPO_MARK, find_repo
from tecton.version import __version__

_IGNORED = (f"{DEFAULT_STORE}/", SELECTED)


@click.command()
@click.pass_obj
def init(session: Session) -> None:
    """Make the current folder a feature repo."""
    root = find_repo(session.folder)
    if root is not None and root != session.folder:
        raise click.ClickException(
            f"{session.folder} is inside the feature repo {root} already; run tecton there, or "
            "init elsewhere"
        )
    (session.folder / REPO_MARK).touch()
    ignore = session.folder / ".gitignore"
    # As bytes: what is there may be in any encoding and stays as it is.
    text = ignore.read_bytes() if ignore.exists() else b""
    missing = [line for line in _IGNORED if line.encode() not in text.splitlines()]
    if missing:
        end = b"\n" if text and not text.endswith(b"\n") else b""
        ignore.write_bytes(text + end + "".join(f"{line}\n" for line in missing).encode())
    click.echo(f"{session.folder} is a feature repo. `tecton workspace create W` comes next.")


@click.command()
@workspace_option
@click.option("--limit", type=click.IntRange(1, 10**9), default=10, help="How many; default 10.")
@click.pass_obj
def log(session: Session, workspace: str | None, limit: int) -> None:
    """Show what was applied, newest first."""
    state = session.workspace(workspace)
    for version in islice(session.versions(state), limit):
        what = version.comment or ("deleted" if version.deleted else "")
        click.echo(
            f"version {version.version}  {render_time(version.applied_at)}  "
            f"{printable(version.applied_by) or '-'}  {_counts(version)}"
            f"{f'  ({printable(what)})' if what else ''}"
        )


def _counts(state: WorkspaceState) -> str:
    counts = (
        render_count(len(state.entities), "entity", "entities"),
        render_count(len(state.sources), "source"),
        render_count(len(state.views), "view"),
        render_count(len(state.services), "service"),
    )
    return ", ".join(counts)


@click.command()
def version() -> None:
    """Show the version of this software."""
    click.echo(f"Version: {__version__}")


@click.command()
@click.pass_obj
def whoami(session: Session) -> None:
    """Show who works on which store."""
    click.echo(f"User: {session.user} (the local command line acts as admin)")
    click.echo(f"Store: {session.settings.store}")
    click.echo(f"Workspace: {session.selected() or 'none selected'}")
