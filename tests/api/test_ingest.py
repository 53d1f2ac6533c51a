"""`POST /ingest` and `get-features` in use: what was acknowledged is served, whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tecton.adapters.redis_keys import sequence_key
from tecton.applied import ServiceFeatures
from tecton.testing import build_service, build_source, build_state, build_view, next_version
from tecton.timestamps import micros_of
from tecton.types import Array, Bool, Field, Float64, Int64, Map, String, Struct, Timestamp
from tests.api.conftest import TODAY, World, golden, stamp

SERVICE = {"workspace_name": "ingestapi-live", "feature_service_name": "ad_ctr_feature_service"}


@pytest.fixture
def ads(world: World) -> World:
    """The documentation's workspace."""
    world.state = world.apply(build_state(name="ingestapi-live"))
    return world


def request(*records: Any, **changes: Any) -> Any:
    listed = {"impressions_event_source": [{"record": record} for record in records]}
    return {"workspace_name": "ingestapi-live", "dry_run": False, "records": listed, **changes}


def ad(user: str = "u", clicked: int | None = 1, **before: float) -> dict[str, Any]:
    return {"user_id": user, "timestamp": stamp(**before), "clicked": clicked}


def features(world: World, user: Any = "u", **params: Any) -> Any:
    answer = world.features({"params": {**SERVICE, "join_key_map": {"user_id": user}, **params}})
    assert answer.status_code == 200, answer.json
    return answer.json


def value(world: World, user: Any = "u") -> Any:
    return features(world, user)["result"]["features"][0]


def logged(world: World) -> list[Any]:
    """Every record in the push table of slot 0, in order."""
    log = world.backend.open_push_log(world.state, 0)
    return [msgspec.json.decode(entry.record) for batch in log.read_after(0) for entry in batch]


def test_newest_timestamp_wins_whatever_the_order(ads: World) -> None:
    """An older event never replaces a newer one, in one body or over requests."""
    assert ads.send(request(ad(clicked=2, hours=1), ad(clicked=1, hours=2))).status_code == 200
    assert value(ads) == "2"
    ads.send(request(ad(clicked=3, hours=3)))
    assert value(ads) == "2"


def test_later_write_of_one_identity_replaces_the_earlier(ads: World) -> None:
    """The same key and time, in one body and in the next request."""
    ads.send(request(ad(clicked=1, hours=1), ad(clicked=2, hours=1)))
    assert value(ads) == "2"
    ads.send(request(ad(clicked=1, hours=1)))
    assert value(ads) == "1"


def test_older_row_counts_as_accepted(ads: World) -> None:
    """A count says how many rows were accepted, not how many are newest."""
    ads.send(request(ad()))
    answer = ads.send(request(ad(hours=1), ad(hours=2)))
    assert answer.json == golden("ingest_response")


def test_record_goes_to_every_subscribed_view(world: World) -> None:
    """One entry a view, by name; a view that is not online reports 0 there."""
    source = build_source()
    views = [
        build_view(source, "b_fv"),
        build_view(source, "a_fv", offline=False, ttl=None),
        build_view(source, "c_fv", online=False),
    ]
    world.apply(
        build_state([source], views, [build_service(*views[:2], name="s")], name="ingestapi-live")
    )
    answer = world.send(request(ad()))
    assert answer.json is not None
    metrics = [tuple(m.values()) for m in answer.json["ingestMetrics"]["featureViewIngestMetrics"]]
    assert metrics == [("a_fv", "1", "0"), ("b_fv", "1", "1"), ("c_fv", "0", "1")]
    got = features(world, feature_service_name="s", metadata_options={"include_names": True})
    assert got["result"]["features"] == ["1", "1"]
    assert [f["name"] for f in got["metadata"]["features"]] == ["a_fv.clicked", "b_fv.clicked"]


def test_one_request_for_several_sources(world: World) -> None:
    """All their views answer, ordered by name."""
    one, two = build_source("one"), build_source("two")
    views = [build_view(one, "z_fv"), build_view(two, "y_fv")]
    world.apply(build_state([one, two], views, name="ingestapi-live"))
    records = {"one": [{"record": ad()}], "two": [{"record": ad()}, {"record": ad("v")}]}
    answer = world.send(request(records=records))
    assert answer.json is not None
    metrics = [tuple(m.values()) for m in answer.json["ingestMetrics"]["featureViewIngestMetrics"]]
    assert metrics == [("y_fv", "2", "2"), ("z_fv", "1", "1")]


def test_unknown_and_null_keys_are_answered_with_null(ads: World) -> None:
    """200 with nulls."""
    assert value(ads, "nobody") is None
    assert value(ads, None) is None


def test_stored_null_is_present(ads: World) -> None:
    """A stored null is PRESENT, an event that never was is MISSING_DATA."""
    ads.send(request(ad(clicked=None)))
    options = {"include_serving_status": True}
    for user, status in (("u", "PRESENT"), ("v", "MISSING_DATA")):
        got = features(ads, user, metadata_options=options)
        assert got["result"]["features"] == [None]
        assert got["metadata"]["features"] == [{"status": status}]


def test_event_is_served_until_its_ttl_inclusive(ads: World) -> None:
    """At an age of exactly the ttl it is there, a microsecond later it is not."""
    ads.send(request(ad(days=6)))
    ads.clock.at = TODAY + msgspec.convert("P1D", type=type(TODAY - TODAY))
    assert value(ads) == "1"
    ads.clock.at += type(TODAY - TODAY)(microseconds=1)
    assert value(ads) is None


def test_event_ahead_of_the_clock_is_served(ads: World) -> None:
    """Clocks differ: a read never answers from before the newest event of its key."""
    ads.send(request(ad(clicked=1), ad(clicked=2, minutes=-5)))
    assert value(ads) == "2"


def test_metadata(ads: World) -> None:
    """All that the options ask for, in both spellings."""
    ads.send(request(ad(clicked=7, seconds=90)))
    camel = {
        "includeNames": True,
        "includeEffectiveTimes": True,
        "includeDataTypes": True,
        "includeSloInfo": True,
        "includeServingStatus": True,
    }
    got = features(ads, metadataOptions=camel)
    slo = got["metadata"].pop("sloInfo")
    assert slo["sloEligible"] is True
    assert got == {
        "result": {"features": ["7"]},
        "metadata": {
            "features": [
                {
                    "name": "click_events_fv.clicked",
                    "dataType": {"type": "int64"},
                    "effectiveTime": stamp(seconds=90).replace("+00:00", ".000000Z"),
                    "status": "PRESENT",
                }
            ]
        },
    }


EVERY_TYPE = (
    Field("id", Int64),
    Field("timestamp", Timestamp),
    Field("z_bool", Bool),
    Field("a_int", Int64),
    Field("float", Float64),
    Field("text", String),
    Field("at", Timestamp),
    Field("list", Array(Int64)),
    Field("struct", Struct([Field("b", Int64), Field("a", Timestamp)])),
    Field("map", Map(String, Int64)),
)


@pytest.fixture
def typed(world: World) -> World:
    """A workspace with a column of every type and an Int64 join key."""
    source = build_source("typed", EVERY_TYPE)
    view = build_view(source, "typed_fv", ["id"])
    service = build_service(view, name="ad_ctr_feature_service")
    world.state = world.apply(build_state([source], [view], [service], name="ingestapi-live"))
    return world


def send_typed(world: World, key: int, values: dict[str, Any]) -> None:
    record = {"id": key, "timestamp": stamp(), **values}
    answer = world.send(request(records={"typed": [{"record": record}]}))
    assert answer.status_code == 200, answer.json


def typed_features(world: World, key: Any) -> list[Any]:
    params = {**SERVICE, "join_key_map": {"id": key}}
    answer = world.features({"params": params})
    assert answer.json is not None
    values: list[Any] = answer.json["result"]["features"]
    return values


def test_every_type_is_served_as_documented(typed: World) -> None:
    """Features by name; Int64 as text, Struct as a list in field order, times in UTC."""
    at = "2026-01-02T03:04:05.1234567+02:00"
    send_typed(
        typed,
        2**63 - 1,
        {
            "z_bool": False,
            "a_int": -(2**63),
            "float": 3,
            "text": 'é"\\\u0000\u2028',
            "at": at,
            "list": [1, None, 2**60],
            "struct": {"a": at, "b": None},
            "map": {"y": 1, "x": None},
        },
    )
    served = "2026-01-02T01:04:05.123456Z"
    expected = [
        str(-(2**63)),
        served,
        3.0,
        ["1", None, str(2**60)],
        {"x": None, "y": "1"},
        [None, served],
        'é"\\\u0000\u2028',
        False,
    ]
    assert typed_features(typed, str(2**63 - 1)) == expected
    assert typed_features(typed, 2**63 - 1) == expected


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_int = st.integers(-(2**63), 2**63 - 1)
_float = st.floats(allow_nan=False, allow_infinity=False)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(-(2**63), 2**63 - 1),
    st.fixed_dictionaries(
        {
            "z_bool": st.none() | st.booleans(),
            "a_int": st.none() | _int,
            "float": st.none() | _float,
            "text": st.none() | _text,
            "at": st.none(),
            "list": st.none() | st.lists(st.none() | _int, max_size=3),
            "struct": st.none() | st.fixed_dictionaries({"b": st.none() | _int, "a": st.none()}),
            "map": st.none() | st.dictionaries(_text, st.none() | _int, max_size=3),
        }
    ),
)
def test_any_value_comes_back_exactly(typed: World, key: int, values: dict[str, Any]) -> None:
    """What goes in comes out, of every type, nulls inside included."""

    def as_text(value: Any) -> Any:
        return None if value is None else str(value)

    send_typed(typed, key, values)
    struct, listed, mapped = values["struct"], values["list"], values["map"]
    assert typed_features(typed, key) == [
        as_text(values["a_int"]),
        None,
        values["float"],
        listed and [as_text(v) for v in listed],
        mapped and {k: as_text(v) for k, v in mapped.items()},
        struct and [as_text(struct["b"]), None],
        values["text"],
        values["z_bool"],
    ]


@pytest.mark.parametrize(
    ("params", "status", "code", "message"),
    [
        ({"join_key_map": {}}, 400, 3, "Missing required join key: user_id"),
        ({"join_key_map": {"user_id": "u", "x": 1}}, 400, 3, "Unknown join key"),
        ({"join_key_map": {"user_id": 5}}, 400, 3, "join key `user_id`: expected String, saw 5"),
        ({"join_key_map": ["user_id"]}, 400, 3, "Field `join_key_map` must be an object"),
        ({"surprise": 1}, 400, 3, 'Unknown field "surprise" in `params`'),
        ({"metadata_options": {"x": True}}, 400, 3, 'Unknown field "x" in `metadata_options`'),
        ({"metadata_options": {"include_names": 1}}, 400, 3, "Field `metadata_options.include"),
        ({"workspace_name": ""}, 400, 3, "Field `workspace_name` must be a name"),
        ({"workspace_name": "w"}, 404, 5, "Unable to query FeatureService `ad_ctr_feature_serv"),
        ({"feature_service_name": "x"}, 404, 5, "Unable to query FeatureService `x` for works"),
    ],
)
def test_bad_feature_request(
    ads: World, params: dict[str, Any], status: int, code: int, message: str
) -> None:
    """`error`, `code`, `message`."""
    body = {"params": {**SERVICE, "join_key_map": {"user_id": "u"}, **params}}
    before = ads.contents()
    answer = ads.features(body)
    assert answer.status_code == status
    assert answer.json is not None
    assert answer.json["code"] == code
    assert answer.json["message"].startswith(message)
    assert answer.json["error"] == answer.json["message"]
    assert before == ads.contents()


def test_feature_request_needs_a_key_and_a_role(ads: World) -> None:
    """401 and 403 with the gRPC code 7."""
    body = {"params": {**SERVICE, "join_key_map": {"user_id": "u"}}}
    answer = ads.features(body, "wrong")
    text = "invalid 'Tecton-key' authorization header"
    expected = {"error": text, "code": 7, "message": text}
    assert (answer.status_code, answer.json) == (401, expected)
    answer = ads.features(body, ads.account("viewer"))
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (403, 7)
    assert ads.features(body, ads.account("consumer")).status_code == 200


def test_renamed_and_selected_features(world: World) -> None:
    """Namespaces order the vector; a mapped join key is asked for under its service name."""
    source = build_source()
    view = build_view(source)
    taken = [
        ServiceFeatures(view=view.name, namespace="viewer", features=("clicked",)),
        ServiceFeatures(
            view=view.name,
            namespace="advertiser",
            features=("clicked",),
            join_key_map={"user_id": "advertiser_id"},
        ),
    ]
    service = msgspec.structs.replace(
        build_service(view), views=tuple(sorted(taken, key=lambda t: t.namespace))
    )
    world.apply(build_state([source], [view], [service], name="ingestapi-live"))
    world.send(request(ad("u", 1), ad("a", 2)))
    keys = {"user_id": "u", "advertiser_id": "a"}
    params = {**SERVICE, "join_key_map": keys, "metadata_options": {"include_names": True}}
    answer = world.features({"params": params})
    assert answer.json is not None
    assert answer.json["result"]["features"] == ["2", "1"]
    names = [f["name"] for f in answer.json["metadata"]["features"]]
    assert names == ["advertiser.clicked", "viewer.clicked"]


def test_view_that_is_not_loaded_is_unavailable(world: World) -> None:
    """503 with Retry-After, never nulls."""
    world.apply(build_state(name="ingestapi-live"), loaded=False)
    answer = world.features({"params": {**SERVICE, "join_key_map": {"user_id": "u"}}})
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (503, 14)
    assert int(answer.headers["Retry-After"]) >= 1


def test_new_apply_is_noticed(ads: World) -> None:
    """A view that was applied while the service ran takes the next record."""
    ads.send(request(ad()))
    source = ads.state.sources[0]
    views = (*ads.state.views, build_view(source, "second_fv"))
    ads.apply(next_version(ads.state, views=views))
    answer = ads.send(request(ad()))
    assert answer.json is not None
    metrics = answer.json["ingestMetrics"]["featureViewIngestMetrics"]
    assert [m["featureViewName"] for m in metrics] == ["click_events_fv", "second_fv"]


def test_deactivated_key_is_refused(ads: World) -> None:
    """A key that is switched off is no key."""
    key = ads.account("admin")
    access = ads.access.latest()
    accounts = tuple(msgspec.structs.replace(a, active=a.id not in key) for a in access.accounts)
    ads.access.commit(
        msgspec.structs.replace(access, version=access.version + 1, accounts=accounts)
    )
    ads.catalog.refresh()
    assert ads.send(request(ad()), key).status_code == 401
    assert ads.send(request(ad())).status_code == 200


def test_records_are_in_the_push_table_when_acknowledged(ads: World) -> None:
    """Canonical JSON, in the order of acceptance."""
    ads.send(golden("ingest_request"))
    sent = golden("ingest_request")["records"]["impressions_event_source"]
    times = [r["record"]["timestamp"].replace("Z", ".000000Z") for r in sent]
    assert logged(ads) == [
        {"user_id": "C18947Z5", "timestamp": times[0], "clicked": 1},
        {"user_id": "C98FG569", "timestamp": times[1], "clicked": 1},
    ]


def test_restarted_service_serves_what_was_acknowledged(ads: World) -> None:
    """Nothing lives in the process alone."""
    ads.send(request(ad(clicked=5)))
    ads.restart()
    assert value(ads) == "5"
    ads.send(request(ad(clicked=6)))
    assert value(ads) == "6"
    assert len(logged(ads)) == 2


def test_log_without_its_online_rows_is_replayed(ads: World) -> None:
    """A service that died between log and Redis is made good by the next one."""
    ads.send(request(ad(clicked=5)))
    before = ads.contents()[1]
    ads.online.client.flushall()
    ads.online.mark_loaded([view.id for view in ads.state.views])
    assert value(ads) is None
    ads.restart()
    ads.ingest.recover()
    assert value(ads) == "5"
    counter = sequence_key(ads.state.id).encode()
    rows = {key: content for key, content in ads.contents()[1].items() if key != counter}
    assert rows == {key: content for key, content in before.items() if key != counter}


def test_emptied_redis_is_noticed_by_the_next_write(ads: World) -> None:
    """The gap in the chain of batches starts a replay before the answer."""
    ads.send(request(ad("first", clicked=5)))
    ads.online.client.flushall()
    assert ads.send(request(ad("second", clicked=6))).status_code == 200
    ads.online.mark_loaded([view.id for view in ads.state.views])
    assert [value(ads, "first"), value(ads, "second")] == ["5", "6"]


def test_requests_that_come_together_lose_nothing(ads: World) -> None:
    """Many threads share commits; every record is logged once and served."""
    statuses: list[int] = []

    def push(thread: int) -> None:
        client = ads.client.application.test_client()
        for number in range(10):
            body = request(ad(f"{thread}-{number}", clicked=number))
            answer = client.post(
                "/ingest", json=body, headers={"Authorization": f"Tecton-key {ads.key}"}
            )
            statuses.append(answer.status_code)

    threads = [threading.Thread(target=push, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 80
    users = [record["user_id"] for record in logged(ads)]
    assert sorted(users) == sorted(f"{t}-{n}" for t in range(8) for n in range(10))
    assert [value(ads, user) for user in users] == [user.partition("-")[2] for user in users]


def test_sequences_follow_acceptance(ads: World) -> None:
    """Sequences are about µs of acceptance and grow over restarts."""
    sequences: list[int] = []
    for number in range(3):
        ads.send(request(ad(clicked=number)))
        ads.restart()
    log = ads.backend.open_push_log(ads.state, 0)
    entries: Sequence[Any] = [entry for batch in log.read_after(0) for entry in batch]
    sequences = [entry.sequence for entry in entries]
    assert sequences == sorted(set(sequences))
    assert sequences[0] >= micros_of(TODAY)
