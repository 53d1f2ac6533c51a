"""
`tecton materialization-status` and `tecton freshness`: what jobs did, and how new the rows are.
"""

from __future__ import annotations

import click

from tecton.cli.render import printable
from tecton.cli.session import Session, workspace_option
from tecton.errors import NotFound
from tecton.materialization import MaterializationJobs
from tecton.statuses import (
    FRESHNESS_HEADINGS,
    freshness_rows,
    status_headings,
    status_rows,
    table,
)


@click.command("materialization-status")
@click.argument("feature_view", metavar="FV")
@workspace_option
@click.option("--limit", type=click.IntRange(min=1), default=100, help="How many rows at most.")
@click.option("--errors-only", is_flag=True, help="Only attempts that failed.")
@click.option("-v", "--verbose", is_flag=True, help="With rows and messages.")
@click.pass_obj
def materialization_status(
    session: Session,
    feature_view: str,
    workspace: str | None,
    limit: int,
    errors_only: bool,
    verbose: bool,
) -> None:
    """Show the materialization jobs of the feature view FV, the newest first."""
    state = session.workspace(workspace)
    view = state.view_by_name.get(feature_view)
    if view is None:
        raise NotFound(f"workspace {state.name} has no feature view {feature_view}")
    runs = MaterializationJobs(session.launching, state, view).runs()
    click.echo("Times are in UTC.")
    rows = status_rows(runs, verbose, limit, errors_only)
    for line in table(status_headings(verbose), rows):
        click.echo(printable(line))


@click.command()
@workspace_option
@click.pass_obj
def freshness(session: Session, workspace: str | None) -> None:
    """Show how old the newest materialized features of each feature view are."""
    state = session.workspace(workspace)
    attempts = session.launching.journal().attempts(state.folder, is_merged=True)
    for line in table(FRESHNESS_HEADINGS, freshness_rows(state, attempts, session.clock())):
        click.echo(line)
