"""What a running service knows: fresh where it can be read, the last known where it cannot."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tecton.access import AccessState, ServiceAccount, new_key
from tecton.applied import WorkspaceState
from tecton.catalog import Catalog
from tecton.errors import AuthenticationFailed, StoreFormatError
from tecton.testing import NOW, InMemoryAccess, InMemoryRegistry, build_state, next_version


class Damaged(InMemoryRegistry):
    """One workspace's newest document cannot be read."""

    damaged = ""

    def latest(self, workspace: str) -> WorkspaceState | None:
        if workspace == self.damaged:
            raise StoreFormatError("half a document")
        return super().latest(workspace)


def test_unreadable_workspace_freezes_nothing_else() -> None:
    """Keys and the other workspaces stay fresh; the damaged one stays as it was last known."""
    made = new_key()
    account = ServiceAccount(
        id=made.account_id, name="a", secret_sha256=made.secret_sha256, created_at=NOW
    )
    access = InMemoryAccess(AccessState(version=1, accounts=(account,)))
    fine, other = build_state(name="fine"), build_state(name="other")
    registry = Damaged(fine, other)
    catalog = Catalog(registry, access, timedelta(minutes=10))
    catalog.refresh()
    assert catalog.authenticate(made.api_key) == account

    registry.damaged = "other"
    access.commit(AccessState(version=2))
    registry.commit(next_version(fine, views=()))
    with pytest.raises(StoreFormatError):
        catalog.refresh()

    with pytest.raises(AuthenticationFailed):
        catalog.authenticate(made.api_key)
    assert catalog.workspace("fine") == registry.latest("fine")
    assert catalog.workspace("other") == other


def test_deleted_workspace_is_gone() -> None:
    """Its last version says so."""
    state = build_state()
    registry = InMemoryRegistry(state)
    catalog = Catalog(registry, InMemoryAccess(), timedelta(minutes=10))
    catalog.refresh()
    registry.commit(next_version(state, deleted=True))
    catalog.refresh()
    assert catalog.workspace(state.name) is None
