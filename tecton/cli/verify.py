"""
`tecton verify-consistency`: does Redis answer what the offline rows say?
"""

from __future__ import annotations

import click

from tecton.cli.progress import show_job
from tecton.cli.session import Session, workspace_option
from tecton.errors import NotFound
from tecton.stores import Job


@click.command("verify-consistency")
@click.argument("view", metavar="FV")
@click.option(
    "--sample", type=click.IntRange(1, 100_000), default=1000, help="Join keys; default 1000."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Decides which keys.")
@workspace_option
@click.pass_obj
def verify_consistency(
    session: Session, view: str, sample: int, seed: int, workspace: str | None
) -> None:
    """Compare what feature view FV answers online now with its offline rows at the same instant.

    Fails if an answer is another, is missing or should not be there. Join keys are shown.
    """
    state = session.workspace(workspace)
    if not state.live:
        raise click.ClickException(f"{state.name} is a development workspace and serves nothing")
    found = state.view_by_name.get(view)
    if found is None:
        raise NotFound(f"workspace {state.name} has no feature view {view}")
    if not found.online:
        raise click.ClickException(f"feature view {view} has no online=True")
    arguments = ["--workspace", state.name, "--feature-view", view]
    arguments += ["--sample", str(sample), "--seed", str(seed)]
    lines = session.backend.launcher.run(Job("verify", arguments), session.settings.environ())
    show_job("verify-consistency", lines, session.is_terminal)
