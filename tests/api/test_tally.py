"""The audit counts what was ingested, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tecton.testing import build_state
from tests.api.conftest import World, stamp


@pytest.fixture
def ads(world: World) -> World:
    """The documentation's workspace."""
    world.state = world.apply(build_state(name="live"))
    return world


def request(*users: str, **changes: Any) -> Any:
    records = [{"record": {"user_id": user, "timestamp": stamp(), "clicked": 1}} for user in users]
    listed = {"impressions_event_source": records}
    return {"workspace_name": "live", "dry_run": False, "records": listed, **changes}


def sums(world: World) -> list[tuple[Any, ...]]:
    world.tally.flush()
    return [(e.actor, e.subject, e.requests, e.records) for e in world.backend.audit.newest(100)]


def test_accepted_requests_are_counted(ads: World) -> None:
    """By account and source; a repeated idempotency key wrote nothing the second time."""
    for _ in range(2):
        assert ads.send(request("u", "v"), **{"Idempotency-Key": "k"}).status_code == 200
    other = ads.account("editor")
    ads.send(request("u"))
    ads.send(request("u"), other)
    source = "impressions_event_source"
    expected = {(ads.key.split("_")[1], source, 2, 3), (other.split("_")[1], source, 1, 1)}
    assert expected == set(sums(ads))
    (entry, _) = ads.backend.audit.newest(100)
    assert (entry.workspace, entry.workspace_id) == ("live", ads.state.id)


def test_what_was_not_taken_is_not_counted(ads: World) -> None:
    """Dry runs and refusals."""
    ads.send(request("u", dry_run=True))
    ads.send(request("\0"))
    ads.send(request("u"), ads.account("viewer"))
    ads.send(request("u"), "wrong")
    assert sums(ads) == []


def test_failing_audit_fails_no_request(ads: World) -> None:
    """Requests never touch the audit's table."""
    (ads.folder / "audit").write_text("in the way")
    assert ads.send(request("u")).status_code == 200
