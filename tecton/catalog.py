"""
What is applied and who may do what, as a running service knows it: read once, kept fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Lock

import msgspec

from tecton.access import AccessState, Role, ServiceAccount, authenticate, role_in
from tecton.applied import AppliedSource, Replaced, WorkspaceState
from tecton.errors import AuthenticationFailed, AuthorizationFailed, StoreUnavailable, TectonError
from tecton.schema import RecordChecker, RecordLimits
from tecton.stores import AccessStore, Registry
from tecton.sweep import obsolete_in, standing_in


class Catalog:
    """The newest state of all workspaces and of access; safe to use from many threads.

    Args:
        registry: What is applied.
        access: Who may do what.
        future_tolerance: How far ahead of the clock an event timestamp may be.
        limits: How much a record may hold.
        unloaded: Which of some views (by `online_id`) the online store does not hold; asked only
            while a view is filled anew. None: replaced generations are nobody's matter here.
    """

    def __init__(
        self,
        registry: Registry,
        access: AccessStore,
        future_tolerance: timedelta,
        limits: RecordLimits = RecordLimits(),  # noqa: B008  # immutable
        unloaded: Callable[[Sequence[str]], Sequence[str]] | None = None,
    ) -> None:
        self._registry = registry
        self._access_store = access
        self._tolerance = future_tolerance
        self._limits = limits
        self._unloaded = unloaded
        self._obsolete: tuple[str, ...] = ()
        self._workspaces: dict[str, WorkspaceState] = {}
        self._access = AccessState()
        self._checkers: dict[tuple[str, int, str], RecordChecker] = {}
        self._refreshing = Lock()

    def refresh(self) -> None:
        """
        Read what has changed since the last time.

        Raises:
            TectonError: Something could not be read. What is known of it stays in force, and
                everything else is fresh.
        """
        with self._refreshing:
            failures: list[TectonError] = []
            try:
                self._access = self._access_store.latest()
            except TectonError as exc:
                failures.append(exc)
            found = dict(self._workspaces)
            obsolete: list[str] = []
            for name in self._registry.workspaces():
                self._read(name, found, obsolete, failures)
            versions = {(state.id, state.version) for state in found.values()}
            checkers = {k: c for k, c in self._checkers.items() if k[:2] in versions}
            self._workspaces, self._checkers = found, checkers
            self._obsolete = tuple(obsolete)
            for failure in failures:
                raise failure

    def _read(
        self,
        name: str,
        found: dict[str, WorkspaceState],
        obsolete: list[str],
        failures: list[TectonError],
    ) -> None:
        known = found.get(name)
        try:
            state = self._registry.latest(name)
            if state is None or state.deleted:
                found.pop(name, None)
                return
        except TectonError as exc:
            failures.append(exc)
            return
        try:
            serving = self._serving(state)
        except StoreUnavailable as exc:
            # Rows for a generation that needs none do no harm; a lack of them would.
            failures.append(exc)
            serving = state.replaced
        obsolete += obsolete_in(state, serving)
        if known is None or (known.id, known.version) != (state.id, state.version):
            known = None
        if known is None or known.replaced != serving:
            found[name] = msgspec.structs.replace(state, replaced=serving)

    def _serving(self, state: WorkspaceState) -> tuple[Replaced, ...]:
        return () if self._unloaded is None else standing_in(state, self._unloaded)

    @property
    def obsolete(self) -> Sequence[str]:
        """The `online_id` of replaced generations that nobody reads or writes any more."""
        return self._obsolete

    def workspace(self, name: str) -> WorkspaceState | None:
        """The newest state of a workspace; None if there is none of that name."""
        return self._workspaces.get(name)

    def workspaces(self) -> tuple[WorkspaceState, ...]:
        """All workspaces."""
        return tuple(self._workspaces.values())

    def authenticate(self, api_key: str | None) -> ServiceAccount:
        """
        Who calls.

        Raises:
            AuthenticationFailed: No key, or not the key of an active account.
        """
        account = authenticate(self._access, api_key) if api_key else None
        if account is None:
            raise AuthenticationFailed
        return account

    def require(self, account: ServiceAccount, state: WorkspaceState, role: Role) -> None:
        """
        Check that an account may do something in a workspace.

        Raises:
            AuthorizationFailed: It has not the role, nor one that includes it.
        """
        held = role_in(self._access, account.id, state.id)
        if held is None or held < role:
            raise AuthorizationFailed(
                f"service account {account.id} needs role {role.label} in workspace {state.name}; "
                f"it has {held.label if held else 'none'}"
            )

    def visible(self, account: ServiceAccount, role: Role) -> list[WorkspaceState]:
        """
        The workspaces in which an account has a role, or one that includes it.

        Raises:
            AuthorizationFailed: There is none, nor does it have the role in all workspaces.
        """
        access = self._access
        # No workspace has this id, so only roles in all of them count.
        everywhere = role_in(access, account.id, "")
        found = [
            state
            for state in self.workspaces()
            if (held := role_in(access, account.id, state.id)) is not None and held >= role
        ]
        if not found and (everywhere is None or everywhere < role):
            raise AuthorizationFailed(
                f"service account {account.id} needs role {role.label} in a workspace; it has it "
                "in none"
            )
        return found

    def checker(self, state: WorkspaceState, source: AppliedSource) -> RecordChecker:
        """The rules for the records of a source, compiled once per version."""
        key = (state.id, state.version, source.name)
        checker = self._checkers.get(key)
        if checker is None:
            views = state.views_by_source[source.name]
            checker = self._checkers[key] = RecordChecker(
                source, views, self._tolerance, self._limits
            )
        return checker
