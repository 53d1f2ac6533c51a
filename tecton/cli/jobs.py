"""
`tecton materialize …` and `tecton redis …`: what runs beside the service.
"""

from __future__ import annotations

import click

from tecton.applied import WorkspaceState
from tecton.cli.progress import show_job
from tecton.cli.session import Session, workspace_option
from tecton.errors import JobFailed
from tecton.stores import Job
from tecton.timestamps import parse_rfc3339


@click.group()
def materialize() -> None:
    """Run materialisation jobs."""


@materialize.command("run-due")
@workspace_option
@click.option("--at", metavar="TIME", help="Which periods have ended (RFC 3339); default: now.")
@click.pass_obj
def run_due(session: Session, workspace: str | None, at: str | None) -> None:
    """Run every job that is due, in every live workspace or in W, and wait for the end."""
    if at is not None and parse_rfc3339(at) is None:
        raise click.BadParameter(
            f"{at!r} is no RFC 3339 time with an offset, as 2023-01-02T00:00:00Z",
            param_hint="--at",
        )
    states = _live_workspaces(session, workspace)
    if not states:
        click.echo("There is no live workspace, nothing is due.")
    failures = []
    for state in states:
        arguments = ["--workspace", state.name, "--maintain"]
        arguments += ["--at", at] if at is not None else []
        click.echo(f'Running what is due in workspace "{state.name}" …')
        lines = session.backend.launcher.run(
            Job("frontfill", arguments), session.settings.environ()
        )
        try:
            show_job("materialize", lines, session.is_terminal)
        except JobFailed as exc:
            failures.append(f"workspace {state.name}: {exc}")
    if failures:
        raise JobFailed("; ".join(failures))


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
