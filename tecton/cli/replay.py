"""
`tecton replay`: the online store filled again from what is kept of feature views elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import click

from tecton.applied import AppliedView, WorkspaceState
from tecton.cli.progress import show_job
from tecton.cli.session import Session, workspace_option
from tecton.errors import JobFailed, NotFound
from tecton.lapse import told
from tecton.reload import is_kept
from tecton.reload import replay as replay_view
from tecton.stores import is_backfilled


@click.command()
@workspace_option
@click.option("--view", "names", multiple=True, metavar="FV", help="Only these feature views.")
@click.pass_obj
def replay(session: Session, workspace: str | None, names: Sequence[str]) -> None:
    """Offer Redis every row that offline and push tables keep, whether it lacks any or not.

    Safe beside a running service: the more recent row stays.
    """
    state = session.workspace(workspace)
    if not state.live:
        raise click.ClickException(f"{state.name} is a development workspace and serves nothing")
    views = _views(state, names)
    if not views:
        click.echo(f'No feature view of workspace "{state.name}" has online=True.')
    left: list[str] = []
    show_job("replay", _reports(session, state, views, left), session.is_terminal)
    if left:
        raise JobFailed("; ".join(left))


def _views(state: WorkspaceState, names: Sequence[str]) -> list[AppliedView]:
    views = []
    for name in dict.fromkeys(names):
        view = state.view_by_name.get(name)
        if view is None:
            raise NotFound(f"workspace {state.name} has no feature view {name}")
        if not view.online:
            raise click.ClickException(f"feature view {name} has no online=True")
        views.append(view)
    return views if names else [view for view in state.views if view.online]


def _reports(
    session: Session, state: WorkspaceState, views: Sequence[AppliedView], left: list[str]
) -> Iterator[str]:
    """A line for each view that is filled; those that cannot be are added to *left*."""
    backend = session.backend
    runs = backend.runs.of(state.folder)
    for view in views:
        if not is_backfilled(runs, view):
            left.append(
                f"the backfill of {view.name} has not ended; run `tecton materialize run-due -w "
                f"{state.name}`"
            )
        elif not is_kept(state, view, runs):
            left.append(
                f"the batch rows of {view.name} are in no offline table; run `spark-submit "
                f"jobs/backfill.py --workspace {state.name} --feature-view {view.name}`"
            )
        else:
            began = time.monotonic()
            now = session.clock()
            done = replay_view(
                backend.online,
                backend.history,
                state,
                view,
                now,
                partial(told, ledger=backend.ledger, erasures=backend.erasures, now=now),
            )
            seconds = time.monotonic() - began
            yield f"{view.name}: {done.rows:,} rows offered online, {seconds:.1f} s"
