"""API keys and roles (contract §2)."""

from __future__ import annotations

import hashlib
import hmac
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecton.access import (
    ROLES,
    AccessState,
    Grant,
    Role,
    ServiceAccount,
    authenticate,
    new_key,
    role_in,
)
from tecton.errors import NotFound
from tecton.testing import NOW

KEY, OTHER = new_key(), new_key()


def account(key: object = KEY, **changes: object) -> ServiceAccount:
    """The account of a key."""
    attributes = {
        "id": getattr(key, "account_id", ""),
        "name": "n",
        "secret_sha256": getattr(key, "secret_sha256", ""),
        "created_at": NOW,
    }
    return ServiceAccount(**{**attributes, **changes})


STATE = AccessState(accounts=(account(), account(OTHER)))


def test_key_opens_its_own_account() -> None:
    """Each key is one account's."""
    assert authenticate(STATE, KEY.api_key) == account()
    assert authenticate(STATE, OTHER.api_key) == account(OTHER)


def test_keys_are_random_and_their_secret_is_not_kept() -> None:
    """Only a hash of the key is stored."""
    stored = msgspec.json.encode(STATE).decode()
    assert KEY.api_key.split("_")[2] not in stored
    assert new_key().api_key != new_key().api_key


WRONG_KEYS = {
    "nothing": "",
    "a letter": "x",
    "space after": KEY.api_key + " ",
    "space before": " " + KEY.api_key,
    "newline": KEY.api_key + "\n",
    "NUL": KEY.api_key + "\0",
    "upper case": KEY.api_key.upper(),
    "cut": KEY.api_key[:-1],
    "many times": KEY.api_key * 100,
    "account id": KEY.account_id,
    "another's secret": "_".join(["tecton", KEY.account_id, *OTHER.api_key.split("_")[2:]]),
    "unknown": new_key().api_key,
}


@pytest.mark.parametrize("wrong", WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_wrong_keys_open_nothing(wrong: str) -> None:
    """Right id with a wrong secret, trailing characters, unknown accounts."""
    assert authenticate(STATE, wrong) is None


def test_unknown_id_takes_the_same_way_as_a_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many hashes and comparisons, of as many bytes: what it costs says nothing about ids."""
    steps: list[tuple[str, int, int]] = []

    def digest(data: bytes) -> Any:
        steps.append(("hash", len(data), 0))
        return hashlib.sha256(data)

    def compare(one: str, other: str) -> bool:
        steps.append(("compare", len(one), len(other)))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr("tecton.access.hashlib", SimpleNamespace(sha256=digest))
    monkeypatch.setattr("tecton.access.hmac", SimpleNamespace(compare_digest=compare))
    stranger = new_key().api_key
    wrong_secret = "_".join(["tecton", KEY.account_id, *stranger.split("_")[2:]])
    inactive = msgspec.structs.replace(STATE, accounts=(account(OTHER, active=False),))
    taken = []
    for state, key in ((STATE, KEY.api_key), (STATE, wrong_secret), (STATE, stranger)):
        steps.clear()
        authenticate(state, key)
        taken.append(list(steps))
    steps.clear()
    assert authenticate(inactive, OTHER.api_key) is None
    assert taken == [steps] * 3
    assert [name for name, *_ in steps] == ["hash", "compare", "compare"]


@given(st.text() | st.text("0123456789abcdef_").map(lambda text: f"tecton_{text}"))
def test_no_text_breaks_authentication(text: str) -> None:
    """Whatever is sent is refused, never a crash."""
    assert authenticate(STATE, text) is None


def test_deactivated_account_is_refused() -> None:
    """Its key works again when it is activated."""
    inactive = AccessState(accounts=(account(active=False),))
    assert authenticate(inactive, KEY.api_key) is None


def test_roles_include_those_after_them() -> None:
    """admin, owner, editor, operator, consumer, viewer: each includes those after it."""
    order = ["admin", "owner", "editor", "operator", "consumer", "viewer"]
    assert sorted(ROLES, key=lambda name: -ROLES[name]) == order


@pytest.mark.parametrize(
    ("grants", "role"),
    [
        ((), None),
        ((Grant("a", "viewer", "w1"),), Role.VIEWER),
        ((Grant("a", "viewer", "w1"), Grant("a", "editor", "w1")), Role.EDITOR),
        ((Grant("a", "viewer", "w1"), Grant("a", "admin")), Role.ADMIN),
        ((Grant("a", "editor", "w2"),), None),
        ((Grant("b", "editor", "w1"),), None),
    ],
)
def test_greatest_role_of_this_workspace_counts(
    grants: tuple[Grant, ...], role: Role | None
) -> None:
    """Roles are granted in one life of a workspace or in all workspaces."""
    assert role_in(AccessState(grants=grants), "a", "w1") == role


def test_unknown_account() -> None:
    """The message says where the accounts are listed."""
    with pytest.raises(NotFound, match="tecton service-account list"):
        STATE.account("0" * 16)
