"""The case tables over HTTP: pushed record by record, read, lost with Redis, and read again."""

from __future__ import annotations

from typing import Any

import pytest

from tecton.applied import AppliedView
from tecton.reload import reload_lost
from tecton.stores import BACKFILL, Run
from tecton.testing import build_service, build_state
from tests.api.conftest import TODAY, World
from tests.window_cases import CASES, COLUMNS, EVENT_KEYS, Case, Row, source_of, view_of

PUSHED = [case for case in CASES if case.can_be_pushed and not case.batch]
WORKSPACE = "cases"


@pytest.fixture
def cases(world: World) -> World:
    """A view for the cases without event key, one for those with it, each with a service."""
    sources = [source_of(event_key) for event_key in EVENT_KEYS]
    views = [view_of(source) for source in sources]
    services = [build_service(view, name=view.name) for view in views]
    world.state = world.apply(build_state(sources, views, services, name=WORKSPACE))
    for view in views:
        # What a backfill of nothing leaves; without it a lost view would be left to the backfill.
        times = [view.applied_at] * 4
        run = Run(world.state.folder, view.name, view.id, BACKFILL, *times, "nothing")
        world.backend.runs.record(run)
    return world


def view(world: World, case: Case) -> AppliedView:
    return next(view for view in world.state.views if view.event_key == case.event_key)


def push(world: World, case: Case, rows: list[Row]) -> None:
    records = [
        {**row.values, "user_id": case.name, "timestamp": (TODAY + row.at).isoformat()}
        for row in rows
    ]
    body = {
        "workspace_name": WORKSPACE,
        "dry_run": False,
        "records": {view(world, case).source: [{"record": record} for record in records]},
    }
    answer = world.send(body)
    assert answer.status_code == 200, answer.json


def wrong_answers(world: World) -> list[Any]:
    """Every answer that is not as written, at all times that can be asked for online."""
    found = []
    for case in PUSHED:
        name = view(world, case).name
        for query in case.online_queries():
            world.clock.at = TODAY + query.at
            params = {
                "workspace_name": WORKSPACE,
                "feature_service_name": name,
                "join_key_map": {"user_id": case.name},
                "metadata_options": {"include_names": True},
            }
            answer = world.features({"params": params})
            assert answer.status_code == 200, answer.json
            names = [told["name"] for told in answer.json["metadata"]["features"]]
            got = dict(zip(names, answer.json["result"]["features"], strict=True))
            found += [
                (case.name, str(query.at), feature, got[f"{name}.{feature}"], value)
                for feature, value in query.expected.items()
                if not is_told(got[f"{name}.{feature}"], value)
            ]
    return found


def is_told(got: Any, expected: Any) -> bool:
    """Is that how the API spells the value? Int64 is a string, in lists too (contract §4)."""
    if isinstance(expected, float) and isinstance(got, float):
        return got == pytest.approx(expected, rel=1e-9, abs=1e-12)
    spelled = spell(expected)
    return type(got) is type(spelled) and bool(got == spelled)


def spell(value: Any) -> Any:
    if isinstance(value, list):
        return [spell(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def flush_and_reload(world: World) -> None:
    """Redis loses all, and the service fills it again."""
    world.online.client.flushall()
    backend = world.backend
    reports = list(
        reload_lost(world.online, backend.history, backend.runs, [world.state], world.clock())
    )
    assert {report.view for report in reports} == {view.name for view in world.state.views}


def test_cases_hold_over_http_and_after_a_flush(cases: World) -> None:
    """What was acknowledged is served; an emptied Redis is filled again from the push tables."""
    assert {field.name for field in COLUMNS} == set(PUSHED[0].records[0].values)
    for case in PUSHED:
        for row in case.records[:20]:
            push(cases, case, [row])
        if case.records[20:]:
            push(cases, case, list(case.records[20:]))
    assert wrong_answers(cases) == []
    cases.clock.at = TODAY
    flush_and_reload(cases)
    assert wrong_answers(cases) == []


def test_cases_hold_in_one_request_each(cases: World) -> None:
    """Records of one body count in the order of the body."""
    for case in PUSHED:
        push(cases, case, list(case.records))
    assert wrong_answers(cases) == []
