"""
`tecton materialize …` and `tecton redis …`: what runs beside the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import click

from tecton.applied import WorkspaceState
from tecton.cli.progress import show_job
from tecton.cli.render import printable, render_count
from tecton.cli.session import Session, workspace_option
from tecton.errors import JobFailed
from tecton.stores import Job
from tecton.timestamps import from_micros, parse_rfc3339


@click.group()
def materialize() -> None:
    """Run materialisation jobs."""


@materialize.command("run-due")
@workspace_option
@click.option("--at", metavar="TIME", help="Which periods have ended (RFC 3339); default: now.")
@click.option("--retry-now", is_flag=True, help="Do not wait between attempts at what fails.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing where nothing is due.")
@click.pass_obj
def run_due(
    session: Session, workspace: str | None, at: str | None, retry_now: bool, quiet: bool
) -> None:
    """Run every job that is due, in every live workspace or in W, and wait for the end."""
    micros = None if at is None else parse_rfc3339(at)
    if at is not None and micros is None:
        raise click.BadParameter(
            f"{at!r} is no RFC 3339 time with an offset, as 2023-01-02T00:00:00Z",
            param_hint="--at",
        )
    moment = session.clock() if micros is None else from_micros(micros)
    states = _live_workspaces(session, workspace)
    if not (states or quiet):
        click.echo("There is no live workspace, nothing is due.")
    asked = _Asked(moment, at, is_patient=not retry_now, is_quiet=quiet)
    failures = [_attempt(session, state, asked) for state in states]
    if any(failures):
        raise JobFailed("; ".join(filter(None, failures)))


class _Asked(NamedTuple):
    """What `run-due` was asked: which periods have ended, and how it shall behave."""

    moment: datetime
    at: str | None
    is_patient: bool
    is_quiet: bool


def _attempt(session: Session, state: WorkspaceState, asked: _Asked) -> str:
    """Run what is due in a workspace; says what failed, so that the others get their turn."""
    try:
        _run_due(session, state, asked)
    except JobFailed as exc:
        return f"workspace {state.name}: {exc}"
    return ""


def _run_due(session: Session, state: WorkspaceState, asked: _Asked) -> None:
    found, derive = session.launching.due(state, asked.moment, asked.is_patient)
    if not found.runs:
        if not asked.is_quiet:
            _say([*found.notes, f'Nothing is due in workspace "{state.name}".'])
        return
    _say(found.notes)
    with session.launching.announced(state, derive) as (announced, arguments):
        _say(announced.refused)
        if not announced.runs:
            click.echo(f'Nothing is left to do in workspace "{state.name}".')
            return
        count = render_count(len(announced.runs), "job")
        click.echo(f'Running what is due in workspace "{state.name}": {count} …')
        arguments = [*arguments, "--at", asked.at] if asked.at is not None else arguments
        job = Job("frontfill", arguments)
        lines = session.backend.launcher.run(job, session.settings.environ())
        show_job("materialize", lines, session.is_terminal)


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(printable(line))


def _live_workspaces(session: Session, name: str | None) -> list[WorkspaceState]:
    if name is None:
        return [state for state in session.workspaces() if state.live]
    state = session.workspace(name)
    if not state.live:
        raise click.ClickException(
            f"{name} is a development workspace and does not materialise; create it with --live"
        )
    return [state]


@click.group()
def redis() -> None:
    """The embedded Redis of a local store."""


@redis.command()
@click.pass_obj
def stop(session: Session) -> None:
    """Stop the embedded Redis, until something needs it.

    A running service, and a later command or job that reads or writes features, starts it again.
    """
    from tecton.adapters.embedded_redis import EmbeddedRedis

    if session.settings.redis_url is not None:
        raise click.ClickException(
            "TECTON_REDIS_URL names the Redis that is used, which is not ours to stop"
        )
    was_running = EmbeddedRedis(session.settings.store).stop()
    click.echo("Redis is stopped." if was_running else "No embedded Redis was running.")
