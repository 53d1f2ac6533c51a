"""The contract of `stores.Claims`, on every implementation."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from tecton.adapters.claims import DocumentClaims
from tecton.adapters.documents import Documents
from tecton.errors import StoreFormatError
from tecton.journal import LocalClaims
from tecton.stores import Claims, Lease
from tecton.testing import NOW

MINUTE = timedelta(minutes=1)
W = "prod.0123456789abcdef"


@pytest.fixture(params=["local", "documents"])
def claims(request: pytest.FixtureRequest, tmp_path: Path) -> Claims:
    """Every implementation, with nothing claimed."""
    if request.param == "local":
        return LocalClaims()
    return DocumentClaims(Documents(str(tmp_path / "store")))


def live(claims: Claims, *owners: str, minutes: int = 1) -> None:
    """Let owners live until some minutes after NOW."""
    for owner in owners:
        claims.keep(W, Lease(owner, NOW + minutes * MINUTE, f"{owner}@host"))


def test_one_of_two_gets_it(claims: Claims) -> None:
    """The other is told who has it; asking again changes nothing."""
    live(claims, "a", "b")
    assert claims.take(W, "view", "a", NOW) is None
    assert claims.take(W, "view", "b", NOW) == "a"
    assert claims.take(W, "view", "a", NOW) is None
    assert claims.take(W, "other", "b", NOW) is None
    assert claims.take("another.workspace", "view", "b", NOW) is None


def test_what_is_given_up_can_be_taken(claims: Claims) -> None:
    """By its holder alone, and as often as one likes."""
    live(claims, "a", "b")
    for owner, other in (("a", "b"), ("b", "a"), ("a", "b")):
        assert claims.take(W, "view", owner, NOW) is None
        claims.release(W, "view", other)
        assert claims.take(W, "view", other, NOW) == owner
        claims.release(W, "view", owner)
        claims.release(W, "view", owner)


def test_who_is_silent_past_the_lease_loses_it(claims: Claims) -> None:
    """And learns of it when it asks again."""
    live(claims, "a")
    live(claims, "b", minutes=9)
    claims.take(W, "view", "a", NOW)
    assert claims.take(W, "view", "b", NOW + MINUTE - timedelta(microseconds=1)) == "a"
    assert claims.take(W, "view", "b", NOW + MINUTE) is None
    live(claims, "a", minutes=9)
    assert claims.take(W, "view", "a", NOW + MINUTE) == "b"


def test_a_lease_is_renewed(claims: Claims) -> None:
    """The last sign of life counts."""
    assert claims.lease(W, "a") is None
    live(claims, "a")
    live(claims, "a", minutes=5)
    assert claims.lease(W, "a") == Lease("a", NOW + 5 * MINUTE, "a@host")
    claims.take(W, "view", "a", NOW)
    live(claims, "b")
    assert claims.take(W, "view", "b", NOW + 4 * MINUTE) == "a"


def test_the_end_of_a_job_is_asked_for(claims: Claims) -> None:
    """Of that one alone."""
    claims.cancel(W, "one")
    claims.cancel(W, "one")
    assert claims.is_cancelled(W, "one")
    assert not claims.is_cancelled(W, "two")
    assert not claims.is_cancelled("another.workspace", "one")


@pytest.mark.parametrize("is_dead", [False, True], ids=["free", "of a dead owner"])
def test_of_many_at_once_one_wins(claims: Claims, is_dead: bool) -> None:
    """Whether nobody had it or somebody who died."""
    owners = [f"o{number}" for number in range(8)]
    live(claims, *owners)
    for name in ("v0", "v1", "v2", "v3", "v4"):
        if is_dead:
            live(claims, "dead", minutes=-1)
            claims.take(W, name, "dead", NOW - 2 * MINUTE)
        barrier = Barrier(len(owners))

        def race(owner: str, name: str = name, barrier: Barrier = barrier) -> str | None:
            barrier.wait()
            return claims.take(W, name, owner, NOW)

        with ThreadPoolExecutor(len(owners)) as pool:
            answers = dict(zip(owners, pool.map(race, owners), strict=True))
        [winner] = [owner for owner, holder in answers.items() if holder is None]
        assert {None, winner} == set(answers.values())


def test_what_is_long_past_is_dropped(tmp_path: Path) -> None:
    """Numbers may then begin anew; what is held stays."""
    claims = DocumentClaims(Documents(str(tmp_path)))
    live(claims, "a", "b")
    claims.take(W, "old", "a", NOW)
    claims.release(W, "old", "a")
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (0, 0)) if path.is_file() else None
    live(claims, "b")
    claims.take(W, "new", "b", NOW)
    # Both documents of the claim, and the lease of its owner.
    assert claims.forget(W, NOW - timedelta(days=30)) == 3
    assert claims.take(W, "old", "b", NOW) is None
    live(claims, "a")
    assert claims.take(W, "new", "a", NOW) == "b"


def test_a_broken_document_is_named(tmp_path: Path) -> None:
    """Whoever broke it can find it."""
    claims = DocumentClaims(Documents(str(tmp_path)))
    live(claims, "a")
    [path] = list(tmp_path.rglob("*.json"))
    path.write_bytes(b"{")
    with pytest.raises(StoreFormatError, match=r"claims/prod.*/owners/a\.json"):
        claims.lease(W, "a")
