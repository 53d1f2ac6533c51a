"""
`tecton audit`, and how every command that changes something enters it there.
"""

from __future__ import annotations

import click

from tecton.audit import catch_up
from tecton.cli.render import printable, render_table, render_time
from tecton.cli.session import Session, checked_name
from tecton.errors import TectonError
from tecton.stores import AuditEntry


def enter_changes(session: Session) -> None:
    """Enter what was just changed in the audit; the change holds whatever becomes of that."""
    backend = session.backend
    try:
        catch_up(backend.audit, backend.registry, backend.access)
    except TectonError as exc:
        click.echo(
            f"warning: the change holds, but is not in the audit yet ({printable(str(exc))}); a "
            "running service, the next change or `tecton audit` enters it",
            err=True,
        )


@click.command()
@click.option("-w", "--workspace", metavar="W", help="Of this workspace only; default: all.")
@click.option("--limit", type=click.IntRange(1, 10**9), default=20, help="How many; default 20.")
@click.pass_obj
def audit(session: Session, workspace: str | None, limit: int) -> None:
    """Show who did what, newest first."""
    if workspace is not None:
        checked_name(workspace)
    backend = session.backend
    catch_up(backend.audit, backend.registry, backend.access)
    rows = [_row(entry) for entry in backend.audit.newest(limit, workspace)]
    for line in render_table(["Time", "Who", "Workspace", "What", "Details"], rows):
        click.echo(line)


def _row(entry: AuditEntry) -> list[str]:
    who = f"{entry.actor_kind} {entry.actor}"
    what = entry.action if entry.subject is None else f"{entry.action} {entry.subject}"
    if entry.since is None:
        details = entry.details
    else:
        counts = f"{entry.records} records in {entry.requests} requests"
        details = f"{counts} since {render_time(entry.since)}"
    return [render_time(entry.at), who, entry.workspace or "", what, details]
