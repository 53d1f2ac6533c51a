"""
The commands that change what is applied: plan, apply, destroy, restore.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

import click
import msgspec

from tecton.applied import WorkspaceState
from tecton.cli.audit import enter_changes
from tecton.cli.progress import show_job
from tecton.cli.render import plan_json, printable, render_count, render_plan
from tecton.cli.session import Session, workspace_option, write_json, yes_option
from tecton.errors import JobFailed, NotFound
from tecton.plan import Plan, desired_of, make_plan
from tecton.repo import load_repo
from tecton.resolve import Desired
from tecton.stores import Job

SHOWN_VERSIONS = 10
"""How many versions an error names."""

_json_option = click.option(
    "--json-out", metavar="FILE", type=click.Path(dir_okay=False), help="Write the plan as JSON."
)
_no_wait_option = click.option(
    "--no-wait", is_flag=True, help="Leave the backfills to themselves and return."
)


@click.command()
@workspace_option
@_json_option
@click.pass_obj
def plan(session: Session, workspace: str | None, json_out: str | None) -> None:
    """Show what `tecton apply` would change; change nothing."""
    state = session.workspace(workspace)
    _show(session, state, _local(session, state), json_out)


@click.command()
@workspace_option
@yes_option
@_no_wait_option
@_json_option
@click.pass_obj
def apply(
    session: Session, workspace: str | None, yes: bool, no_wait: bool, json_out: str | None
) -> None:
    """Make the workspace what the feature repo says."""
    state = session.workspace(workspace)
    made = _show(session, state, _local(session, state), json_out)
    _carry_out(session, made, yes, no_wait)


@click.command()
@workspace_option
@yes_option
@_json_option
@click.pass_obj
def destroy(session: Session, workspace: str | None, yes: bool, json_out: str | None) -> None:
    """Delete every object of the workspace."""
    state = session.workspace(workspace)
    made = _show(session, state, Desired(), json_out)
    _carry_out(session, made, yes, no_wait=True)


@click.command()
@click.argument("version", type=click.IntRange(min=1))
@workspace_option
@yes_option
@_no_wait_option
@_json_option
@click.pass_obj
def restore(
    session: Session,
    version: int,
    workspace: str | None,
    yes: bool,
    no_wait: bool,
    json_out: str | None,
) -> None:
    """Apply again what was applied as VERSION (see `tecton log`).

    It becomes a new version. Views that differ from today's are computed anew.
    """
    state = session.workspace(workspace)
    old = session.backend.registry.at(state.name, version)
    if old is None:
        raise NotFound(f"workspace {state.name} has no version {version}; `tecton log` shows them")
    if old.deleted:
        raise click.ClickException(
            f"version {version} is the deletion of workspace {state.name}, there is nothing in it "
            f"to restore; these versions can be restored: {_restorable(session, state)}"
        )
    made = _show(session, state, Desired.of(old), json_out)
    _carry_out(session, made, yes, no_wait, comment=f"restored version {version}")


def _restorable(session: Session, state: WorkspaceState) -> str:
    """The newest versions that `restore` takes."""
    older = islice(session.versions(state), 1, None)
    numbers = [str(one.version) for one in older if not one.deleted]
    more = " and older ones" if len(numbers) > SHOWN_VERSIONS else ""
    return ", ".join(numbers[:SHOWN_VERSIONS]) + more


def _local(session: Session, state: WorkspaceState) -> Desired:
    """What the feature repo says; prints what was read."""
    click.echo(f'Using workspace "{state.name}" in the store {session.settings.store}')
    repo = load_repo(session.root)
    for warning in repo.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    settings = session.settings
    desired = desired_of(repo, settings.batch_roots, settings.functions)
    for warning in desired.warnings:
        click.echo(f"warning: {warning}", err=True)
    modules = render_count(len(repo.files), "Python module")
    click.echo(f"✅ Imported {modules} from the feature repository {repo.root}")
    collected = (
        render_count(len(desired.entities), "entity", "entities"),
        render_count(len(desired.sources), "source"),
        render_count(len(desired.views), "feature view"),
        render_count(len(desired.services), "feature service"),
    )
    click.echo(f"✅ Collected local feature declarations: {', '.join(collected)}")
    return desired


def _show(session: Session, state: WorkspaceState, desired: Desired, json_out: str | None) -> Plan:
    made = make_plan(state, desired, now=session.clock(), new_id=session.new_id)
    for line in render_plan(made):
        click.echo(line)
    if json_out is not None:
        write_json(json_out, plan_json(made))
    return made


def _carry_out(
    session: Session, made: Plan, is_sure: bool, no_wait: bool, comment: str = ""
) -> None:
    """Ask, commit, and start the jobs."""
    if made.is_empty:
        return
    session.confirm(f'Apply this plan to workspace "{made.state.name}"?', is_sure)
    state = _stamped(made.state, session.clock())
    state = msgspec.structs.replace(state, applied_by=session.user, comment=comment)
    session.backend.registry.commit(state)
    enter_changes(session)
    click.echo(f'Applied version {state.version} of workspace "{state.name}".')
    if made.backfills:
        _start_backfills(session, state, made, no_wait)


def _stamped(state: WorkspaceState, now: datetime) -> WorkspaceState:
    """The version as applied *now*: the answer may have come long after the plan."""
    views = (
        msgspec.structs.replace(view, applied_at=now)
        if view.since_version == state.version
        else view
        for view in state.views
    )
    return msgspec.structs.replace(state, applied_at=now, views=tuple(views))


def _start_backfills(session: Session, state: WorkspaceState, made: Plan, no_wait: bool) -> None:
    """All of one apply are one job, so that they share one Spark application."""
    names = list(dict.fromkeys(backfill.view for backfill in made.backfills))
    launching = session.launching
    derive = launching.lacking(state, [state.view_by_name[name] for name in names])
    sys.stdout.flush()
    try:
        if no_wait:
            announced, log = launching.start(state, "backfill", derive)
            _say(announced.refused)
            if announced.runs:
                click.echo(f"The backfill of {', '.join(names)} is under way; its log: {log}")
            return
        with launching.announced(state, derive) as (announced, arguments):
            _say(announced.refused)
            if not announced.runs:
                return
            click.echo(f"Backfilling {', '.join(names)} …")
            job = Job("backfill", arguments)
            lines = session.backend.launcher.run(job, session.settings.environ())
            show_job("backfill", lines, session.is_terminal)
    except (JobFailed, KeyboardInterrupt) as exc:
        reason = str(exc) or "interrupted"
        raise JobFailed(
            f"version {state.version} is applied, but its backfill failed: {reason}; correct "
            f"the cause, then `tecton materialize run-due -w {state.name} --retry-now` tries again"
        ) from exc
    click.echo("✅ The backfill has ended.")


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)
