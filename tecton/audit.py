"""
Who changed or sent what: the entries of the audit, and how it keeps up with what was done.

A version of the registry or of access says by itself who made it and when, and is kept for ever.
The audit's entries of changes are worked out from two successive versions, by whoever comes
first after the change: none is lost when the one who made it could not write the audit, and none
is there for a change that failed (docs/decisions/0023-the-audit-follows-the-versions.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tecton.access import AccessState, Grant, ServiceAccount
from tecton.applied import Described, WorkspaceState
from tecton.errors import TectonError
from tecton.stores import AccessStore, AuditEntry, AuditLog, Registry
from tecton.timestamps import EPOCH

COMMAND_LINE = "command line"
SERVICE_ACCOUNT = "service account"
ACCESS_STREAM = "access"
MAX_NAMED = 10
"""How many objects of one apply are named."""


def catch_up(audit: AuditLog, registry: Registry, access: AccessStore) -> None:
    """
    Add the entries of all changes that the audit does not know yet.

    May be called by many at once and at any time; each change is entered once.

    Raises:
        TectonError: Of some changes it could not be done; of the others it was.
    """
    failures: list[TectonError] = []
    names: dict[str, str] = {}
    latest: dict[str, int] = {}
    for name in registry.workspaces():
        try:
            state = registry.latest(name)
        except TectonError as exc:
            failures.append(exc)
            continue
        if state is not None:
            names[state.id] = name
            latest[name] = state.version
    newest = access.latest().version
    known = audit.last([ACCESS_STREAM, *map(_stream, latest)])
    for name, version in latest.items():
        first = known[_stream(name)] + 1
        entries = (entry for one in range(first, version + 1) for entry in _of(registry, name, one))
        _add(audit, entries, _stream(name), version if version >= first else 0, failures)
    first = known[ACCESS_STREAM] + 1
    entries = (
        entry for one in range(first, newest + 1) for entry in _of_access(access, one, names)
    )
    _add(audit, entries, ACCESS_STREAM, newest if newest >= first else 0, failures)
    for failure in failures:
        raise failure


def workspace_change(
    previous: WorkspaceState | None, state: WorkspaceState
) -> Iterator[AuditEntry]:
    """
    What one version of a workspace changed.

    Args:
        previous: The version before; None for the first.
        state: The version.
    """
    if state.deleted:
        count = 0 if previous is None else len(previous.views)
        action, details = "deleted workspace", f"with {count} feature views"
    elif previous is None or previous.id != state.id:
        action, details = "created workspace", "live" if state.live else "development"
    else:
        action, details = f"applied version {state.version}", _summary(previous, state)
        details += f" ({state.comment})" if state.comment else ""
    yield AuditEntry(
        at=state.applied_at,
        actor_kind=COMMAND_LINE,
        actor=state.applied_by,
        workspace=state.name,
        workspace_id=state.id,
        action=action,
        details=details,
    )


def access_changes(
    previous: AccessState, state: AccessState, names: Mapping[str, str]
) -> Iterator[AuditEntry]:
    """
    What one version of access changed.

    Args:
        previous: The version before.
        state: The version.
        names: Of the workspaces that are known, by id.
    """
    before = {account.id: account for account in previous.accounts}
    after = {account.id: account for account in state.accounts}
    for account in after.values():
        action = _account_action(before.get(account.id), account)
        if action is not None:
            yield _access_entry(state, action, account.id, details=account.name)
    for account in before.values():
        if account.id not in after:
            yield _access_entry(state, "deleted service account", account.id, details=account.name)
    for grants, others, action in (
        (state.grants, previous.grants, "granted role"),
        (previous.grants, state.grants, "revoked role"),
    ):
        for grant in grants:
            # The roles of an account that is deleted go with it.
            if grant not in others and grant.service_account in after:
                yield _role_entry(state, action, grant, names)


def _stream(workspace: str) -> str:
    return f"registry/{workspace}"


def _of(registry: Registry, name: str, version: int) -> Iterator[AuditEntry]:
    state = registry.at(name, version)
    if state is not None:
        yield from workspace_change(registry.at(name, version - 1), state)


def _of_access(access: AccessStore, version: int, names: Mapping[str, str]) -> Iterator[AuditEntry]:
    state = access.at(version)
    if state is not None:
        yield from access_changes(access.at(version - 1) or AccessState(), state, names)


def _add(
    audit: AuditLog,
    entries: Iterator[AuditEntry],
    stream: str,
    number: int,
    failures: list[TectonError],
) -> None:
    if not number:
        return
    try:
        audit.record(list(entries), stream, number)
    except TectonError as exc:
        failures.append(exc)


def _summary(previous: WorkspaceState, state: WorkspaceState) -> str:
    """The objects that an apply touched, in one line."""
    before, after = _by_name(previous), _by_name(state)
    touched = [f"+ {kind} {name}" for kind, name in after if (kind, name) not in before]
    touched += [
        f"~ {kind} {name}"
        for (kind, name), value in after.items()
        if (kind, name) in before and before[kind, name] != value
    ]
    touched += [f"- {kind} {name}" for kind, name in before if (kind, name) not in after]
    more = len(touched) - MAX_NAMED
    return ", ".join(touched[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _by_name(state: WorkspaceState) -> dict[tuple[str, str], Described]:
    return {(kind, value.name): value for kind, value in state.objects()}


def _account_action(before: ServiceAccount | None, account: ServiceAccount) -> str | None:
    if before is None:
        return "created service account"
    if before.active == account.active:
        return None
    return "activated service account" if account.active else "deactivated service account"


def _access_entry(state: AccessState, action: str, account: str, **more: Any) -> AuditEntry:
    return AuditEntry(
        at=state.applied_at or EPOCH,
        actor_kind=COMMAND_LINE,
        actor=state.applied_by,
        action=action,
        subject=account,
        **more,
    )


def _role_entry(
    state: AccessState, action: str, grant: Grant, names: Mapping[str, str]
) -> AuditEntry:
    scope = grant.workspace
    where = {} if scope is None else {"workspace": names.get(scope, ""), "workspace_id": scope}
    details = f"{grant.role} in all workspaces" if scope is None else grant.role
    return _access_entry(state, action, grant.service_account, details=details, **where)
