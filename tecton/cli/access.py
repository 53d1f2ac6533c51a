"""
`tecton service-account …`, `tecton access-control …` and `tecton api-key …`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import click
import msgspec

from tecton.access import (
    ROLES,
    AccessState,
    Grant,
    ServiceAccount,
    authenticate,
    new_key,
)
from tecton.cli.audit import enter_changes
from tecton.cli.render import printable, render_table, render_time
from tecton.cli.session import Session, workspace_option
from tecton.errors import Conflict
from tecton.types import show

ATTEMPTS = 10
"""How often a change of access is tried when others change it at the same time."""

UPDATED = "Successfully updated role."

_account_option = click.option(
    "-s", "--service-account", "account_id", metavar="ID", required=True, help="Whose role."
)
_role_option = click.option(
    "-r", "--role", type=click.Choice(sorted(ROLES, key=lambda name: -ROLES[name])), required=True
)
_all_option = click.option("--all-workspaces", is_flag=True, help="In every workspace.")


def _change(session: Session, change: Callable[[AccessState], AccessState]) -> None:
    """Commit the next version of who may do what; *change* may run more than once."""
    store = session.backend.access
    for attempt in range(1, ATTEMPTS + 1):
        state = store.latest()
        following = msgspec.structs.replace(
            change(state),
            version=state.version + 1,
            applied_at=session.clock(),
            applied_by=session.user,
        )
        try:
            store.commit(following)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
        else:
            enter_changes(session)
            return


def _one_line(shortest: int, longest: int) -> Callable[..., str]:
    """A check of texts for people: lists show each in one line."""

    def check(context: click.Context, parameter: click.Parameter, text: str) -> str:
        if not text.isprintable() or len(text) > longest or len(text.strip()) < shortest:
            raise click.BadParameter(
                f"expected {shortest} to {longest} printable characters on one line, saw "
                f"{show(text)}"
            )
        return text

    return check


@click.group("service-account")
def service_account() -> None:
    """Create, list, activate, deactivate and delete callers of the HTTP API."""


@service_account.command()
@click.option("-n", "--name", required=True, callback=_one_line(1, 128), help="For people.")
@click.option("-d", "--description", default="", callback=_one_line(0, 1000), help="For people.")
@click.option("--json-out", is_flag=True, help="Print JSON.")
@click.pass_obj
def create(session: Session, name: str, description: str, json_out: bool) -> None:
    """Create a service account and show its API key, once."""
    key = new_key()
    account = ServiceAccount(
        id=key.account_id,
        name=name,
        description=description,
        secret_sha256=key.secret_sha256,
        created_at=session.clock(),
    )
    _change(
        session,
        lambda state: msgspec.structs.replace(state, accounts=(*state.accounts, account)),
    )
    if json_out:
        shown = {"name": name, "api_key": key.api_key, "service_account_id": key.account_id}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    click.echo("Save this API Key - you will not be able to get it again.")
    click.echo(f"API Key: {key.api_key}")
    click.echo(f"Service Account ID: {key.account_id}")


@service_account.command("list")
@click.pass_obj
def list_(session: Session) -> None:
    """List the service accounts."""
    accounts = session.backend.access.latest().accounts
    rows = [
        [
            account.id,
            account.name,
            "active" if account.active else "inactive",
            render_time(account.created_at),
            account.description,
        ]
        for account in sorted(accounts, key=lambda account: account.created_at)
    ]
    for line in render_table(["ID", "Name", "State", "Created", "Description"], rows):
        click.echo(line)


@service_account.command()
@click.argument("account_id", metavar="ID")
@click.pass_obj
def activate(session: Session, account_id: str) -> None:
    """Let an account's key be used again."""
    _set_active(session, account_id, True)
    click.echo(f"Service account {account_id} is active.")


@service_account.command()
@click.argument("account_id", metavar="ID")
@click.pass_obj
def deactivate(session: Session, account_id: str) -> None:
    """Refuse an account's key until it is activated."""
    _set_active(session, account_id, False)
    click.echo(f"Service account {account_id} is inactive.")


def _set_active(session: Session, account_id: str, active: bool) -> None:
    def change(state: AccessState) -> AccessState:
        changed = msgspec.structs.replace(state.account(account_id), active=active)
        others = (changed if one.id == account_id else one for one in state.accounts)
        return msgspec.structs.replace(state, accounts=tuple(others))

    _change(session, change)


@service_account.command()
@click.argument("account_id", metavar="ID")
@click.pass_obj
def delete(session: Session, account_id: str) -> None:
    """Delete an account with its roles; its key is refused for ever."""

    def change(state: AccessState) -> AccessState:
        state.account(account_id)
        return msgspec.structs.replace(
            state,
            accounts=tuple(one for one in state.accounts if one.id != account_id),
            grants=tuple(one for one in state.grants if one.service_account != account_id),
        )

    _change(session, change)
    click.echo(f"Deleted service account {account_id}.")


@click.group("access-control")
def access_control() -> None:
    """Assign, unassign and show roles."""


@access_control.command("assign-role")
@_role_option
@workspace_option
@_all_option
@_account_option
@click.pass_obj
def assign_role(
    session: Session, role: str, workspace: str | None, all_workspaces: bool, account_id: str
) -> None:
    """Give a service account a role in one workspace or in all."""
    grant = Grant(account_id, role, _scope(session, workspace, all_workspaces))

    def change(state: AccessState) -> AccessState:
        state.account(account_id)
        others = tuple(one for one in state.grants if one != grant)
        return msgspec.structs.replace(state, grants=(*others, grant))

    _change(session, change)
    click.echo(UPDATED)


@access_control.command("unassign-role")
@_role_option
@workspace_option
@_all_option
@_account_option
@click.pass_obj
def unassign_role(
    session: Session, role: str, workspace: str | None, all_workspaces: bool, account_id: str
) -> None:
    """Take a role from a service account, where it was given."""
    grant = Grant(account_id, role, _scope(session, workspace, all_workspaces))

    def change(state: AccessState) -> AccessState:
        state.account(account_id)
        if grant not in state.grants:
            raise click.ClickException(
                f"service account {account_id} was not given the role {role} there; `tecton "
                f"access-control get-roles -s {account_id}` shows its roles"
            )
        others = tuple(one for one in state.grants if one != grant)
        return msgspec.structs.replace(state, grants=others)

    _change(session, change)
    click.echo(UPDATED)


def _scope(session: Session, workspace: str | None, all_workspaces: bool) -> str | None:
    """The id of this life of the workspace, so that its successor inherits no role."""
    if not all_workspaces:
        return session.workspace(workspace).id
    if workspace is not None:
        raise click.UsageError("give -w or --all-workspaces, not both")
    return None


@access_control.command("get-roles")
@_account_option
@click.pass_obj
def get_roles(session: Session, account_id: str) -> None:
    """Show the roles of a service account."""
    state = session.backend.access.latest()
    state.account(account_id)
    for line in render_table(["Workspace", "Role"], _roles(session, state, account_id)):
        click.echo(line)


def _roles(session: Session, state: AccessState, account_id: str) -> list[list[str]]:
    """Workspace and role of each grant; a deleted workspace's are gone with it."""
    names: dict[str | None, str] = {one.id: one.name for one in session.workspaces()}
    names[None] = "all workspaces"
    return sorted(
        [names[grant.workspace], grant.role]
        for grant in state.grants
        if grant.service_account == account_id and grant.workspace in names
    )


@click.group("api-key")
def api_key() -> None:
    """Ask about API keys."""


@api_key.command()
@click.argument("key")
@click.pass_obj
def introspect(session: Session, key: str) -> None:
    """Show whose KEY it is and what it may."""
    state = session.backend.access.latest()
    # An inactive account's owner is to see that it is inactive.
    active = tuple(msgspec.structs.replace(one, active=True) for one in state.accounts)
    found = authenticate(msgspec.structs.replace(state, accounts=active), key)
    if found is None:
        raise click.ClickException("no service account has this API key; check that it is whole")
    account = state.account(found.id)
    click.echo(f"Service Account ID: {account.id}")
    click.echo(f"Name: {printable(account.name)}")
    click.echo(f"Active: {'yes' if account.active else 'no'}")
    for name, role in _roles(session, state, account.id):
        click.echo(f"Role: {role} in {name}")
