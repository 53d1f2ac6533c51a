"""Which slot a process writes: between processes of one host, between hosts, and over crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tecton.adapters import slots
from tecton.adapters.redis_client import connect
from tecton.adapters.redis_slots import RedisSlotClaims
from tecton.adapters.slots import WriterSlots
from tecton.testing import build_state
from tests.redis_places import Place
from tests.running import wait_for

STATE, OTHER, THIRD = (build_state(name=name) for name in ("prod", "other", "third"))


@pytest.fixture
def claims(place: Place) -> RedisSlotClaims:
    """What all hosts share."""
    return RedisSlotClaims.connect(place.url)


def test_slots_of_a_process_only_rise(tmp_path: Path, claims: RedisSlotClaims) -> None:
    """Whoever is fenced off moves up, past what others of this host hold."""
    first, second = (WriterSlots(str(tmp_path), 0, claims) for _ in range(2))
    assert (first.number, second.number) == (0, 1)
    assert first.move(STATE)
    assert first.move(OTHER)
    assert (first.of(STATE), first.of(OTHER), first.of(THIRD)) == (2, 2, 0)
    first.release()
    assert second.move(STATE)
    assert second.of(STATE) == 2
    second.release()
    assert WriterSlots(str(tmp_path), 0, claims).number == 0


def test_hosts_with_the_same_settings_take_different_slots(
    tmp_path: Path, claims: RedisSlotClaims
) -> None:
    """Their locks know nothing of each other; each workspace's push table is claimed by itself."""
    first, second, third = (WriterSlots(str(tmp_path / host), 0, claims) for host in "abc")
    assert [host.number for host in (first, second, third)] == [0, 0, 0]
    assert [host.of(STATE) for host in (first, second, third)] == [0, 1, 2]
    assert second.of(OTHER) == 0
    assert [host.of(STATE) for host in (first, second, third)] == [0, 1, 2]


def test_slot_of_a_process_that_ended_well_is_free(tmp_path: Path, claims: RedisSlotClaims) -> None:
    """At once, for every host."""
    first, second = (WriterSlots(str(tmp_path / host), 0, claims) for host in "ab")
    assert first.of(STATE) == 0
    first.release()
    assert second.of(STATE) == 0


def test_process_that_is_started_again_has_its_slot_at_once(
    tmp_path: Path, claims: RedisSlotClaims
) -> None:
    """After a crash its claim is still there, but the host knows that it is its own."""
    crashed = WriterSlots(str(tmp_path / "a"), 0, claims)
    assert crashed.of(STATE) == 0
    for slot in crashed._held:
        # As the kernel does it.
        slot.release()
    assert WriterSlots(str(tmp_path / "b"), 0, claims).of(STATE) == 1
    assert WriterSlots(str(tmp_path / "a"), 0, claims).of(STATE) == 0


def test_files_that_hosts_share_do_not_make_them_one(
    tmp_path: Path, claims: RedisSlotClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store folder on a network, whose locks may be each host's own."""
    first = WriterSlots(str(tmp_path), 0, claims)
    assert first.of(STATE) == 0
    for slot in first._held:
        # Now the second host's kernel takes the file for free, though the first process lives.
        slot.release()
    monkeypatch.setattr(slots.platform, "node", lambda: "another host")
    assert WriterSlots(str(tmp_path), 0, claims).of(STATE) == 1


def test_claim_ends_unless_it_is_renewed(tmp_path: Path, place: Place) -> None:
    """So that the slot of a host that is gone is used again."""
    brief = RedisSlotClaims(connect(place.url), claim_ms=300)
    gone, lives = (WriterSlots(str(tmp_path / host), 0, brief) for host in "ab")
    assert gone.of(STATE) == 0
    assert lives.of(STATE) == 1

    def newcomer() -> int:
        lives.renew()
        return WriterSlots(str(tmp_path / "c"), 0, brief).of(STATE)

    wait_for(lambda: newcomer() == 0, "the claim to end")
    assert WriterSlots(str(tmp_path / "d"), 1, brief).of(STATE) > 1


def test_emptied_redis_knows_of_claims_with_the_next_renewal(
    tmp_path: Path, place: Place, claims: RedisSlotClaims
) -> None:
    """Nothing else is lost with them."""
    first, second = (WriterSlots(str(tmp_path / host), 0, claims) for host in "ab")
    assert first.of(STATE) == 0
    place.flush()
    first.renew()
    assert second.of(STATE) == 1
