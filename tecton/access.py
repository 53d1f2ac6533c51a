"""
Who may do what: API keys, their hashes, and roles per workspace. Pure functions on values.

A key reads `tecton_<account id>_<secret>_<checksum>`. The secret has 256 random bits, so a plain
SHA-256 is as good as a slow hash; only that is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from datetime import datetime
from enum import IntEnum

import msgspec

from tecton.applied import FORMAT
from tecton.errors import NotFound

_KEY = re.compile(r"tecton_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{8})", re.ASCII)


class Role(IntEnum):
    """What a principal may do; each includes those below it (contract §2)."""

    VIEWER = 1
    CONSUMER = 2
    OPERATOR = 3
    EDITOR = 4
    OWNER = 5
    ADMIN = 6

    @property
    def label(self) -> str:
        """The name on the command line."""
        return self.name.lower()


ROLES = {role.label: role for role in Role}


class ServiceAccount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A caller of the HTTP API; `secret_sha256` is hexadecimal."""

    id: str
    name: str
    description: str = ""
    secret_sha256: str
    active: bool = True
    created_at: datetime


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A role in one life of a workspace; `workspace` is its id, None means all workspaces."""

    service_account: str
    role: str
    workspace: str | None = None


class AccessState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All service accounts and grants, at one version."""

    format: int = FORMAT
    version: int = 0
    applied_at: datetime | None = None
    applied_by: str = ""
    accounts: tuple[ServiceAccount, ...] = ()
    grants: tuple[Grant, ...] = ()

    def account(self, account_id: str) -> ServiceAccount:
        """One service account.

        Raises:
            NotFound: There is none of that id.
        """
        for account in self.accounts:
            if account.id == account_id:
                return account
        raise NotFound(f"no service account {account_id}; `tecton service-account list` shows them")


class NewKey(msgspec.Struct, frozen=True):
    """A fresh account id with its key, which is shown once, and the hash that is kept."""

    account_id: str
    api_key: str
    secret_sha256: str


def new_key() -> NewKey:
    """Make a random API key."""
    account_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    return NewKey(account_id, _spell(account_id, secret), _digest(secret))


def authenticate(state: AccessState, api_key: str) -> ServiceAccount | None:
    """The active account whose key this is, or None.

    An unknown id costs as much as a wrong secret, and comparison takes constant time.
    """
    match = _KEY.fullmatch(api_key)
    if match is None:
        return None
    account_id, secret, _ = match.groups()
    found = None
    for account in state.accounts:
        if account.id == account_id:
            found = account
    expected = found.secret_sha256 if found else _NOBODY
    is_secret = hmac.compare_digest(_digest(secret), expected)
    is_spelled = hmac.compare_digest(_spell(account_id, secret), api_key)
    return found if found and found.active and is_secret and is_spelled else None


def role_in(state: AccessState, account_id: str, workspace_id: str) -> Role | None:
    """The account's greatest role in a workspace, None without any."""
    roles = [
        ROLES[grant.role]
        for grant in state.grants
        if grant.service_account == account_id and grant.workspace in (None, workspace_id)
    ]
    return max(roles, default=None)


def _spell(account_id: str, secret: str) -> str:
    checksum = zlib.crc32(f"{account_id}_{secret}".encode())
    return f"tecton_{account_id}_{secret}_{checksum:08x}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_NOBODY = _digest("")
