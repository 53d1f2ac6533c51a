"""Which entries of the audit a change makes, and that none is lost or doubled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from tecton.access import AccessState, Grant, ServiceAccount
from tecton.applied import WorkspaceState
from tecton.audit import access_changes, catch_up, workspace_change
from tecton.errors import StoreUnavailable
from tecton.stores import AuditEntry
from tecton.testing import (
    NOW,
    InMemoryAccess,
    InMemoryAudit,
    InMemoryRegistry,
    build_source,
    build_state,
    build_view,
    next_version,
)

SECRET = "5ec3e7" * 10


def account(name: str = "svc", **changes: object) -> ServiceAccount:
    attributes = {"id": name * 5, "name": name, "secret_sha256": SECRET, "created_at": NOW}
    return ServiceAccount(**{**attributes, **changes})


def access(version: int, *accounts: ServiceAccount, grants: Sequence[Grant] = ()) -> AccessState:
    return AccessState(
        version=version,
        applied_at=NOW,
        applied_by="alice",
        accounts=accounts,
        grants=tuple(grants),
    )


def told(entry: AuditEntry) -> tuple[str | None, ...]:
    """What tells entries apart here."""
    assert (entry.actor_kind, entry.actor) == ("command line", "alice")
    return (entry.action, entry.subject, entry.workspace, entry.details)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            access(0),
            access(1, account()),
            [("created service account", "svc" * 5, None, "svc")],
        ),
        (
            access(1, account()),
            access(2, account(active=False)),
            [("deactivated service account", "svc" * 5, None, "")],
        ),
        (
            access(1, account(active=False)),
            access(2, account()),
            [("activated service account", "svc" * 5, None, "")],
        ),
        (
            access(1, account(), grants=[Grant("svc" * 5, "viewer")]),
            access(2),
            [("deleted service account", "svc" * 5, None, "svc")],
        ),
        (
            access(1, account()),
            access(2, account(), grants=[Grant("svc" * 5, "editor", "id of prod")]),
            [("granted role", "svc" * 5, "prod", "editor")],
        ),
        (
            access(1, account(), grants=[Grant("svc" * 5, "admin")]),
            access(2, account()),
            [("revoked role", "svc" * 5, None, "admin in all workspaces")],
        ),
        (access(1, account()), access(2, account()), []),
    ],
)
def test_change_of_access(
    before: AccessState, after: AccessState, expected: list[tuple[str | None, ...]]
) -> None:
    """Who, what, to whom; never the hash of a secret."""
    entries = list(access_changes(before, after, {"id of prod": "prod"}))
    seen = [(e.action, e.subject, e.workspace) for e in entries]
    assert seen == [one[:3] for one in expected]
    for entry, one in zip(entries, expected, strict=True):
        assert one[3] in entry.details
        assert SECRET not in str(entry)


def history() -> list[WorkspaceState]:
    """A workspace's versions: created, applied, changed, deleted, created again."""
    empty = build_state([], [], [], applied_by="alice")
    source = build_source()
    applied = next_version(empty, sources=(source,), views=(build_view(source),))
    described = msgspec.structs.replace(source, description="new")
    changed = next_version(applied, sources=(described,), views=(), comment="restored version 1")
    deleted = next_version(changed, deleted=True)
    again = next_version(deleted, id="f" * 16, deleted=False, live=False, sources=())
    return [empty, applied, changed, deleted, again]


def test_versions_of_a_workspace() -> None:
    """Each version is one entry with a summary in one line."""
    versions = history()
    entries = [
        told(entry)
        for before, after in zip([None, *versions], versions, strict=False)
        for entry in workspace_change(before, after)
    ]
    source, view = "StreamSource impressions_event_source", "StreamFeatureView click_events_fv"
    assert entries == [
        ("created workspace", None, "prod", "live"),
        ("applied version 2", None, "prod", f"+ {source}, + {view}"),
        ("applied version 3", None, "prod", f"~ {source}, - {view} (restored version 1)"),
        ("deleted workspace", None, "prod", "with 0 feature views"),
        ("created workspace", None, "prod", "development"),
    ]


def test_summary_of_a_great_apply_is_cut() -> None:
    """The entry is no copy of the repo."""
    empty = build_state([], [], [])
    sources = tuple(build_source(f"s{number:02}") for number in range(30))
    (entry,) = workspace_change(empty, next_version(empty, sources=sources))
    assert entry.details.endswith("+ StreamSource s09 and 20 more")


def test_audit_catches_up_with_all_that_was_missed() -> None:
    """Changes while the audit was down are entered later, each once, whoever does it."""
    audit, registry, roles = InMemoryAudit(), InMemoryRegistry(), InMemoryAccess()
    versions = history()
    registry.commit(versions[0])
    audit.is_down = True
    with pytest.raises(StoreUnavailable):
        catch_up(audit, registry, roles)
    audit.is_down = False
    for state in versions[1:]:
        registry.commit(state)
    roles.commit(access(1, account()))
    roles.commit(access(2, account(), grants=[Grant("svc" * 5, "editor", "f" * 16)]))
    for _ in range(3):
        catch_up(audit, registry, roles)
    assert [entry.action for entry in audit.entries] == [
        "created workspace",
        "applied version 2",
        "applied version 3",
        "deleted workspace",
        "created workspace",
        "created service account",
        "granted role",
    ]
    assert audit.entries[-1].workspace == "prod"


def test_one_unreadable_workspace_keeps_nothing_else_out() -> None:
    """Its failure is raised when all others are entered."""

    class Damaged(InMemoryRegistry):
        def latest(self, workspace: str) -> WorkspaceState | None:
            if workspace == "bad":
                raise StoreUnavailable("damaged")
            return super().latest(workspace)

    audit = InMemoryAudit()
    states = [build_state([], [], [], name=name) for name in ("bad", "good")]
    with pytest.raises(StoreUnavailable, match="damaged"):
        catch_up(audit, Damaged(*states), InMemoryAccess())
    assert [entry.workspace for entry in audit.entries] == ["good"]
