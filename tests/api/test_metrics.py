"""`GET /api/v1/observability/metrics` (contract §4)."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ingest_api.metrics import Metrics
from tecton.errors import StoreUnavailable
from tecton.stores import LogEntry
from tecton.testing import NOW, InMemoryPushLog, build_state, next_version
from tests.api.conftest import World, stamp

PATH = "/api/v1/observability/metrics"


@pytest.fixture
def ads(world: World) -> World:
    """Two workspaces with the documentation's example."""
    world.state = world.apply(build_state(name="live"))
    world.other = world.apply(build_state(name="other"))
    return world


def scrape(world: World, key: str | None = None) -> Any:
    headers = {"Authorization": f"Tecton-key {world.key if key is None else key}"}
    return world.client.get(PATH, headers=headers)


def samples(text: str) -> dict[tuple[Any, ...], float]:
    """Values by name and labels; the parser refuses what is no OpenMetrics."""
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def seen(world: World, key: str | None = None) -> dict[tuple[Any, ...], float]:
    answer = scrape(world, key)
    assert answer.status_code == 200, answer.json
    return samples(answer.text)


def request(*users: str, workspace: str = "live", **changes: Any) -> Any:
    records = [{"record": {"user_id": user, "timestamp": stamp(), "clicked": 1}} for user in users]
    listed = {"impressions_event_source": records}
    return {"workspace_name": workspace, "dry_run": False, "records": listed, **changes}


def read(world: World, workspace: str = "live", service: str = "ad_ctr_feature_service") -> int:
    params = {
        "workspace_name": workspace,
        "feature_service_name": service,
        "join_key_map": {"user_id": "u"},
    }
    return world.features({"params": params}).status_code


def test_text_is_openmetrics(ads: World) -> None:
    """Its content type, its end, and a parser that takes it."""
    ads.send(request("u"))
    answer = scrape(ads)
    expected = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.headers["Content-Type"] == expected
    assert answer.text.endswith("\n# EOF\n")
    assert "X-Request-ID" in answer.headers
    assert samples(answer.text)


def test_what_was_done_is_counted(ads: World) -> None:
    """Answers by endpoint and status; records by source, rows by view and store; vectors."""
    ads.send(request("u", "v"))
    ads.send(request("u", dry_run=True))
    ads.send(request("\0"))
    ads.send(b"{", "wrong key")
    assert read(ads) == 200
    found = seen(ads)
    requests, workspace = "tecton_http_requests_total", "workspace=live"
    view, source = "feature_view_name=click_events_fv", "push_source_name=impressions_event_source"
    service = "feature_service_name=ad_ctr_feature_service"
    for key, count in {
        (requests, "endpoint=/ingest", "status=200"): 2,
        (requests, "endpoint=/ingest", "status=400"): 1,
        (requests, "endpoint=/ingest", "status=401"): 1,
        ("tecton_http_request_seconds_count", "endpoint=/ingest"): 4,
        ("tecton_ingest_records_total", source, workspace): 2,
        ("tecton_ingest_rows_total", view, "store=online", workspace): 2,
        ("tecton_ingest_rows_total", view, "store=offline", workspace): 2,
        ("feature_service_requests_total", service, workspace): 1,
        ("feature_service_latency_seconds_count", service, workspace): 1,
        ("tecton_ingest_queued_records", workspace): 0,
        ("tecton_replay_is_complete",): 1,
    }.items():
        assert found.get(key) == count, key


def test_labels_are_bounded(ads: World) -> None:
    """Whatever is asked for makes no series: paths, methods, names of what is not there."""
    ads.send(request("u"))
    before = set(seen(ads)) | set(seen(ads))
    for number in range(20):
        ads.client.get(f"/nowhere/{number}")
        ads.client.open("/ingest", method=f"METHOD{number}")
        ads.send(request("u", workspace=f"w{number}"))
        ads.send(request("u", records={f"s{number}": [{"record": {}}]}))
        read(ads, f"w{number}")
        read(ads, "live", f"s{number}")
    new = {key[1:] for key in set(seen(ads)) - before if key[0] == "tecton_http_requests_total"}
    assert {label for labels in new for label in labels} <= {
        "endpoint=other",
        "endpoint=/ingest",
        "endpoint=/api/v1/feature-service/get-features",
        "status=404",
        "status=405",
    }
    assert not any("=w" in label or "=s1" in label for key in seen(ads) for label in key[1:])


def test_other_workspaces_are_not_shown(ads: World) -> None:
    """A viewer of one workspace sees its series, and those of the process."""
    ads.send(request("u"))
    ads.send(request("u", workspace="other"))
    workspaces = {
        label
        for key in seen(ads, ads.account("viewer", ads.other.id))
        for label in key
        if label.startswith("workspace=")
    }
    assert workspaces == {"workspace=other"}
    everything = {label for key in seen(ads) for label in key if label.startswith("workspace=")}
    assert everything == {"workspace=live", "workspace=other"}


def test_deleted_workspace_is_not_shown(ads: World) -> None:
    """Nor are its series kept in the text for ever."""
    ads.send(request("u", workspace="other"))
    ads.apply(next_version(ads.other, deleted=True), loaded=False)
    assert not any("workspace=other" in key for key in seen(ads))


def test_metrics_need_a_key_and_a_role(ads: World) -> None:
    """401 and 403 in the shape of get-features."""
    for key, status in (("wrong", 401), (ads.account(None), 403)):
        answer = scrape(ads, key)
        assert (answer.status_code, answer.json["code"]) == (status, 7)
    assert ads.client.post(PATH).status_code == 405


def test_next_workspace_of_a_name_shows_nothing_of_the_one_before(ads: World) -> None:
    """Whoever may see the one need not have seen the other."""
    ads.send(request("u"))
    assert read(ads) == 200
    gone = next_version(ads.state, sources=(), views=(), services=(), deleted=True)
    ads.apply(gone)
    assert not any("workspace=live" in labels for labels in seen(ads))
    ads.apply(build_state(name="live", version=gone.version + 1))
    shown = {key: value for key, value in seen(ads).items() if "workspace=live" in key}
    assert shown == {("tecton_ingest_queued_records", "workspace=live"): 0}


def test_role_in_all_workspaces_suffices_where_there_is_none(world: World) -> None:
    """A new store has metrics too."""
    assert seen(world, world.account("viewer"))[("tecton_replay_is_complete",)] == 1


def test_metrics_are_there_while_stores_are_down(ads: World) -> None:
    """They are read when something is wrong: nothing is asked, no rate is charged."""
    down = World(ads.folder, ads.online, "unix:///nowhere.sock", requests_per_second=1)
    try:
        down.catalog.refresh()
        assert [scrape(down).status_code for _ in range(3)] == [200] * 3
    finally:
        down.close()


def test_push_log_is_watched() -> None:
    """Commits and their failures, and what is replayed."""
    metrics, inner = Metrics(), InMemoryPushLog()
    log = metrics.watched(inner, "id")
    entries = [LogEntry("s", n, 1, 1, b"{}") for n in (1, 2)]
    log.append(entries, NOW)
    inner.is_down = True
    with pytest.raises(StoreUnavailable):
        log.append(entries, NOW)
    assert list(log.read_after(0)) == [entries]
    assert (log.name, log.last_batch, log.settle(NOW)) == (inner.name, 1, 1)
    found = samples(metrics.text({"id": "live"}, {"live": 7}, False).decode())
    for name, value in {
        "tecton_commit_seconds_count": 1,
        "tecton_commit_failures_total": 1,
        "tecton_replayed_records_total": 2,
        "tecton_ingest_queued_records": 7,
    }.items():
        assert found[(name, "workspace=live")] == value
    assert found[("tecton_replay_is_complete",)] == 0
