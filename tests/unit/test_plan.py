"""Plans: what changes, what is computed anew, and which jobs start (contract §2, §6)."""

# ruff: noqa: DTZ001 - definitions take naive times, which mean UTC

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecton import (
    Aggregation,
    BatchTriggerType,
    Entity,
    FeatureService,
    FileConfig,
    PushConfig,
    StreamFeatureView,
    StreamSource,
)
from tecton.aggregation_functions import approx_percentile, last_distinct
from tecton.applied import WorkspaceState
from tecton.cli.render import render_plan
from tecton.errors import DefinitionError, Problem
from tecton.periods import Period
from tecton.plan import (
    Action,
    Backfill,
    Incremental,
    Plan,
    desired_of,
    make_plan,
    spell_duration,
)
from tecton.repo import LoadedRepo
from tecton.resolve import Desired, resolve, with_referenced
from tecton.testing import NOW, build_state
from tecton.types import Array, Field, Float64, Int64, Map, String, Timestamp

ROOT = Path("/repo")
EMPTY = build_state([], [], [], entities=(), version=1)
SCHEMA = [Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)]
DAY = timedelta(days=1)


def example(
    *,
    source: dict[str, Any] | None = None,
    view: dict[str, Any] | None = None,
    service: dict[str, Any] | None = None,
    entity: dict[str, Any] | None = None,
) -> Desired:
    """The documentation's example, with changes."""
    user = Entity(**{"name": "user", "join_keys": "user_id", **(entity or {})})
    impressions = StreamSource(
        **{
            "name": "impressions",
            "schema": SCHEMA,
            "stream_config": PushConfig(),
            "batch_config": FileConfig(uri="s3://b/x", file_format="parquet"),
            **(source or {}),
        }
    )
    clicks = StreamFeatureView(
        **{
            "name": "clicks",
            "source": impressions,
            "entities": [user],
            "online": True,
            "offline": True,
            "feature_start_time": datetime(2022, 1, 1),
            "ttl": timedelta(days=7),
            **(view or {}),
        }
    )
    svc = FeatureService(**{"name": "svc", "features": [clicks], **(service or {})})
    return resolve(with_referenced([svc]), ROOT)


def ids() -> Iterator[str]:
    """Ids that can be told apart."""
    return (f"id{number}" for number in count(1))


def planned(applied: WorkspaceState, desired: Desired, prefix: str = "") -> Plan:
    """A plan made now."""
    given = ids()
    return make_plan(applied, desired, now=NOW, new_id=lambda: prefix + next(given))


def applied(desired: Desired | None = None) -> WorkspaceState:
    """The example, applied as version 2."""
    return planned(EMPTY, desired or example()).state


def listed(plan: Plan) -> list[tuple[Action, str]]:
    """What happens to which object."""
    return [(change.action, change.name) for change in plan.changes]


def test_everything_is_created_in_order() -> None:
    """Entities, sources, views, services."""
    plan = planned(EMPTY, example())
    assert listed(plan) == [
        (Action.CREATE, "user"),
        (Action.CREATE, "impressions"),
        (Action.CREATE, "clicks"),
        (Action.CREATE, "svc"),
    ]
    assert plan.state.version == EMPTY.version + 1
    assert plan.state.applied_at == NOW
    view = plan.state.view_by_name["clicks"]
    assert (view.since_version, view.applied_at) == (2, NOW)
    assert {plan.state.source_by_name["impressions"].id, view.id} == {"id1", "id2"}


def test_definitions_are_spelled_out() -> None:
    """Defaults are filled in, names stand for objects, naive times mean UTC."""
    state = applied(example(source={"batch_config": FileConfig(uri="d/x", file_format="delta")}))
    view = state.view_by_name["clicks"]
    assert view.feature_start_time == datetime(2022, 1, 1, tzinfo=timezone.utc)
    assert view.batch_schedule == DAY
    assert view.timestamp_field == "timestamp"
    assert [column.name for column in view.join_keys] == ["user_id"]
    assert [column.name for column in view.columns] == ["clicked"]
    batch = state.source_by_name["impressions"].batch
    assert batch is not None
    assert (batch.uri, batch.timestamp_field) == ("/repo/d/x", "timestamp")
    (taken,) = state.service_by_name["svc"].views
    assert (taken.view, taken.namespace, taken.features) == ("clicks", "clicks", ("clicked",))


def test_same_definitions_again_change_nothing() -> None:
    """plan(x, x) is empty and starts no job."""
    plan = planned(applied(), example())
    assert plan.is_empty
    assert plan.backfills == ()
    assert plan.incrementals == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "new"},
        {"owner": "a@b.c"},
        {"tags": {"a": "b"}},
        {"prevent_destroy": True},
        {"batch_schedule": timedelta(hours=1)},
        {"ttl": timedelta(days=6)},
        {"online": False},
        {"offline": False},
        {"batch_trigger": BatchTriggerType.NO_BATCH_MATERIALIZATION},
        {"batch_trigger": BatchTriggerType.MANUAL},
        {"max_backfill_interval": timedelta(days=30)},
        {"monitor_freshness": True},
        {"expected_feature_freshness": timedelta(hours=1)},
        {"alert_email": "a@b.c"},
    ],
)
def test_change_that_leaves_the_values_is_made_in_place(changes: dict[str, Any]) -> None:
    """The generation stays, and no job starts."""
    before = applied()
    plan = planned(before, example(view=changes), "new ")
    assert listed(plan) == [(Action.UPDATE, "clicks")]
    assert plan.backfills == ()
    old, new = before.view_by_name["clicks"], plan.state.view_by_name["clicks"]
    assert (new.id, new.since_version, new.applied_at) == (old.id, 2, old.applied_at)
    assert plan.changes[0].details[0].startswith(next(iter(changes)))


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        (
            {"view": {"feature_start_time": datetime(2022, 1, 2)}},
            "feature_start_time: 2022-01-01T00:00:00.000000Z → 2022-01-02T00:00:00.000000Z",
        ),
        ({"entity": {"join_keys": ["clicked"]}}, "join_keys: user_id String → clicked Int64"),
        (
            {"source": {"schema": [*SCHEMA, Field("price", Float64)]}},
            "columns: clicked Int64 → clicked Int64, price Float64",
        ),
        (
            {"source": {"stream_config": PushConfig(event_key="clicked")}},
            "event_key: none → clicked",
        ),
        (
            {"source": {"batch_config": FileConfig(uri="/y", file_format="delta")}},
            "batch rows of StreamSource impressions: s3://b/x (parquet by timestamp) → "
            "/y (delta by timestamp)",
        ),
        (
            {"source": {"batch_config": None}},
            "batch rows of StreamSource impressions: s3://b/x (parquet by timestamp) → none",
        ),
        ({"source": {"name": "other"}}, "source: impressions → other"),
    ],
)
def test_change_of_values_makes_a_new_generation(changes: dict[str, Any], detail: str) -> None:
    """Rows of one generation are never mixed with those of another."""
    before = applied()
    plan = planned(before, example(**changes), "new ")
    (change,) = [one for one in plan.changes if one.name == "clicks"]
    assert change.action is Action.RECREATE
    assert detail in change.details
    old, new = before.view_by_name["clicks"], plan.state.view_by_name["clicks"]
    assert new.id != old.id
    assert (new.since_version, new.applied_at) == (3, NOW)


SUM = Aggregation("clicked", "sum", timedelta(hours=1))
LAST = Aggregation("clicked", last_distinct(3), timedelta(days=2), name="newest")
MEDIAN = Aggregation("clicked", approx_percentile(0.5), timedelta(minutes=90), name="newest")


def aggregating(*aggregations: Aggregation, **changes: Any) -> dict[str, Any]:
    """Changes that make the example's view one with aggregations."""
    return {"view": {"ttl": None, "aggregations": list(aggregations), **changes}}


@pytest.mark.parametrize(
    ("before", "after", "details"),
    [
        ({}, aggregating(SUM), ["ttl: 7 days → none"]),
        ({}, aggregating(SUM), ["aggregations: + clicked_sum_1h_continuous"]),
        (aggregating(SUM), {}, ["aggregations: - clicked_sum_1h_continuous"]),
        (aggregating(SUM), aggregating(LAST, SUM), ["aggregations: + newest"]),
        (
            aggregating(SUM, LAST),
            aggregating(MEDIAN),
            [
                "aggregations: - clicked_sum_1h_continuous, ~ newest (last_distinct(3) of clicked "
                "over 2 days → approx_percentile(0.5, 100) of clicked over 90 minutes)"
            ],
        ),
    ],
)
def test_change_of_aggregations_makes_a_new_generation(
    before: dict[str, Any], after: dict[str, Any], details: list[str]
) -> None:
    """The plan names those that come, go and change; the view is filled anew."""
    plan = planned(applied(example(**before)), example(**after), "new ")
    [change] = [one for one in plan.changes if one.name == "clicks"]
    assert change.action is Action.RECREATE
    assert set(details) <= set(change.details)
    assert {f"    {detail}" for detail in details} <= set(render_plan(plan))
    created = planned(EMPTY, example(**after)).backfills
    assert plan.backfills == created
    assert sum(backfill.jobs for backfill in created) in (9, 10, 11)


def test_order_of_aggregations_does_not_count() -> None:
    """Features are sorted by name anyway."""
    before = applied(example(**aggregating(SUM, LAST)))
    assert planned(before, example(**aggregating(LAST, SUM))).is_empty
    assert listed(planned(before, example(**aggregating(LAST, SUM, owner="a")))) == [
        (Action.UPDATE, "clicks")
    ]


def test_service_of_aggregates_changes_with_them() -> None:
    """Its features are the view's, so the plan shows both."""
    before = applied(example(**aggregating(SUM)))
    plan = planned(before, example(**aggregating(SUM, LAST)))
    assert listed(plan) == [(Action.RECREATE, "clicks"), (Action.UPDATE, "svc")]
    [taken] = plan.state.service_by_name["svc"].views
    assert taken.features == ("clicked_sum_1h_continuous", "newest")


def test_source_keeps_its_id_over_updates() -> None:
    """Pushed records stay those of the source; a deleted one that returns is another."""
    before = applied()
    plan = planned(before, example(source={"schema": [*SCHEMA, Field("x", Int64)]}), "new ")
    old_id = before.source_by_name["impressions"].id
    assert plan.state.source_by_name["impressions"].id == old_id
    gone = planned(before, Desired()).state
    again = planned(gone, example(), "new ").state
    assert again.source_by_name["impressions"].id != old_id


@pytest.mark.parametrize("changes", [{"description": "x"}, {"stream_config": PushConfig()}])
def test_source_update_leaves_its_views(changes: dict[str, Any]) -> None:
    """What does not touch values touches no view; nor does when the batch rows are complete."""
    later = FileConfig(uri="s3://b/x", file_format="parquet", data_delay=timedelta(hours=1))
    plan = planned(applied(), example(source={"batch_config": later, **changes}))
    assert listed(plan) == [(Action.UPDATE, "impressions")]


def test_everything_is_deleted() -> None:
    """What is not desired any more goes."""
    plan = planned(applied(), Desired())
    assert [action for action, _ in listed(plan)] == [Action.DELETE] * 4
    assert plan.backfills == ()
    assert list(plan.state.objects()) == []


# Protection


@pytest.mark.parametrize(
    ("protected", "changes", "doing"),
    [
        ({"view": {"prevent_destroy": True}}, None, "delete"),
        ({"source": {"prevent_destroy": True}}, None, "delete"),
        ({"view": {"prevent_destroy": True}}, aggregating(SUM), "recreate"),
        ({"view": {"prevent_destroy": True}}, {"source": {"batch_config": None}}, "recreate"),
        ({"service": {"prevent_destroy": True}}, {"source": {"batch_config": None}}, "recreate"),
    ],
)
def test_protected_object_is_neither_deleted_nor_recreated(
    protected: dict[str, Any], changes: dict[str, Any] | None, doing: str
) -> None:
    """`prevent_destroy=True` refuses the plan; a service protects its views too."""
    desired = Desired()
    if changes is not None:
        keys = {*protected, *changes}
        merged = {key: {**protected.get(key, {}), **changes.get(key, {})} for key in keys}
        desired = example(**merged)
    with pytest.raises(DefinitionError) as info:
        planned(applied(example(**protected)), desired)
    for problem in info.value.problems:
        assert problem.field == "prevent_destroy"
        assert f"would {doing} it" in problem.message


def test_protection_ends_when_the_definition_says_so() -> None:
    """`prevent_destroy=False` may come with the change itself."""
    before = applied(example(view={"prevent_destroy": True}))
    later = datetime(2022, 1, 2)
    plan = planned(before, example(view={"feature_start_time": later}))
    assert listed(plan) == [(Action.RECREATE, "clicks")]


# Jobs


def at(text: str) -> datetime:
    """A time of 2023, UTC."""
    return datetime.fromisoformat(f"2023-{text}+00:00")


@pytest.mark.parametrize(
    ("schedule", "delay", "end"),
    [
        (None, timedelta(0), at("01-03T00:00")),
        (timedelta(hours=1), timedelta(0), at("01-03T12:00")),
        (timedelta(hours=1), timedelta(minutes=1), at("01-03T11:00")),
        (None, timedelta(hours=13), at("01-02T00:00")),
        (timedelta(days=7), timedelta(0), at("12-29T00:00").replace(year=2022)),
    ],
)
def test_backfill_ends_at_the_last_complete_period(
    schedule: timedelta | None, delay: timedelta, end: datetime
) -> None:
    """To the last multiple of `batch_schedule` since the epoch at or before now − data_delay."""
    config = FileConfig(uri="s3://b/x", file_format="parquet", data_delay=delay)
    desired = example(source={"batch_config": config}, view={"batch_schedule": schedule})
    plan = planned(EMPTY, desired)
    first, *_, last = plan.backfills
    assert first.period
    assert first.period.start == datetime(2022, 1, 1, tzinfo=timezone.utc)
    assert last.period
    assert last.period.end == end
    assert [job.stores for job in plan.backfills] == [("offline",), ("online", "offline")]
    assert sum(job.jobs for job in plan.backfills) in (9, 10, 11)
    assert plan.incrementals == (Incremental("clicks", schedule or DAY, ("online", "offline")),)


def jobs_of(before: WorkspaceState, **changes: Any) -> tuple[Plan, list[Backfill]]:
    """What applying a change of the view does."""
    plan = planned(before, example(view=changes), "new ")
    return plan, list(plan.backfills)


def test_earlier_start_fills_what_is_new_alone() -> None:
    """The jobs end where the last backfill began; rows that are there stay."""
    before = applied()
    plan, [job] = jobs_of(before, feature_start_time=datetime(2021, 12, 1))
    old, new = before.view_by_name["clicks"], plan.state.view_by_name["clicks"]
    assert listed(plan) == [(Action.UPDATE, "clicks")]
    assert (new.id, new.online_id, plan.state.replaced) == (old.id, old.online_id, ())
    start = datetime(2021, 12, 1, tzinfo=timezone.utc)
    assert job.period == Period(start, old.feature_start_time)  # type: ignore[arg-type]
    assert job.stores == ("offline",)
    assert 8 <= job.jobs <= 11
    assert plan.incrementals == ()


def test_longer_ttl_refills_the_online_store_alone() -> None:
    """The rows offline stay; those online are served until the new ones are loaded."""
    before = applied()
    plan, jobs = jobs_of(before, ttl=timedelta(days=30))
    old, new = before.view_by_name["clicks"], plan.state.view_by_name["clicks"]
    assert listed(plan) == [(Action.UPDATE, "clicks")]
    assert new.id == old.id
    assert new.online_id != old.online_id
    period = Period(at("12-04T00:00").replace(year=2022), at("01-03T00:00"))
    assert jobs == [Backfill("clicks", period, ("online",))]
    assert (new.since_version, new.applied_at) == (3, NOW)
    assert [one.view for one in plan.state.replaced] == [old]
    _, [for_ever] = jobs_of(before, ttl=None)
    assert for_ever.period == Period(datetime(2022, 1, 1, tzinfo=timezone.utc), at("01-03T00:00"))


def test_a_store_that_is_turned_on_is_filled_alone() -> None:
    """The other one stays as it is."""
    alone = applied(example(view={"online": False}))
    plan, [online] = jobs_of(alone)
    assert listed(plan) == [(Action.UPDATE, "clicks")]
    assert online.stores == ("online",)
    assert plan.state.view_by_name["clicks"].id == alone.view_by_name["clicks"].id
    assert plan.state.replaced == ()
    alone = applied(example(view={"offline": False}))
    plan, jobs = jobs_of(alone)
    assert listed(plan) == [(Action.UPDATE, "clicks")]
    assert {job.stores for job in jobs} == {("offline",)}
    old, new = alone.view_by_name["clicks"], plan.state.view_by_name["clicks"]
    assert new.id != old.id
    assert new.online_id == old.online_id
    assert plan.state.replaced == ()


def test_trigger_that_is_turned_on_fills_what_it_asks_for() -> None:
    """Without batch materialisation nothing was read; with it everything is."""
    never = applied(example(view={"batch_trigger": BatchTriggerType.NO_BATCH_MATERIALIZATION}))
    assert [job.period for job in planned(EMPTY, Desired.of(never)).backfills] == [None]
    plan, jobs = jobs_of(never)
    assert listed(plan) == [(Action.UPDATE, "clicks")]
    assert jobs == list(planned(EMPTY, example()).backfills)


def test_replaced_generations_are_remembered_until_they_are_many() -> None:
    """The last that was loaded serves, so that several recreations in a row lose nothing."""
    state = applied()
    names = []
    for number in range(5):
        names.insert(0, state.view_by_name["clicks"].id)
        schema = [*SCHEMA, Field(f"x{number}", Int64)]
        state = planned(state, example(source={"schema": schema}), f"{number} ").state
    assert [one.view.id for one in state.replaced] == names[:3]
    assert {one.source.id for one in state.replaced} == {state.sources[0].id}
    assert [len(one.source.columns) for one in state.replaced] == [4, 4, 4]
    assert planned(state, Desired()).state.replaced == ()


@pytest.mark.parametrize(("before", "after"), [(Int64, String), (Int64, Float64)])
def test_column_of_a_source_keeps_its_type(before: Any, after: Any) -> None:
    """Pushed records keep what they have; one that is new, or of a new source, has any type."""
    first = applied(example(source={"schema": [*SCHEMA, Field("x", before)]}))
    changed = example(source={"schema": [*SCHEMA, Field("x", after)]})
    with pytest.raises(DefinitionError, match=f"`x` would change from Int64 to {after}"):
        planned(first, changed)
    development = msgspec.structs.replace(first, live=False)
    assert not planned(development, changed).is_empty


def test_plan_shows_the_jobs_as_they_are() -> None:
    """How many, from when to when, to which store."""
    view = {"feature_start_time": datetime(2022, 12, 1), "batch_schedule": DAY}
    lines = list(render_plan(planned(EMPTY, example(view=view))))
    begin = next(n for n, line in enumerate(lines) if "materialization:" in line)
    assert lines[begin : begin + 4] == [
        "    materialization: 9 backfills, 1 recurring batch job",
        "    > backfill:      7 Backfill jobs from 2022-12-01 00:00:00 UTC to "
        "2022-12-26 00:00:00 UTC writing to the Offline Store",
        "                     2 Backfill jobs from 2022-12-26 00:00:00 UTC to "
        "2023-01-03 00:00:00 UTC writing to both the Online and Offline Store",
        "    > incremental:   1 Recurring Batch job scheduled every 1 day writing to both the "
        "Online and Offline Store",
    ]


def test_backfill_without_batch_rows_takes_pushed_records() -> None:
    """A view must be loaded even if no period has ended."""
    plan = planned(EMPTY, example(source={"batch_config": None}))
    assert plan.backfills == (Backfill("clicks", None, ("online", "offline")),)
    future = planned(EMPTY, example(view={"feature_start_time": datetime(2099, 1, 1)}))
    assert future.backfills[0].period is None


@pytest.mark.parametrize(
    ("view", "stores"),
    [
        ({"online": False}, [("offline",)]),
        ({"offline": False}, [("online",)]),
        ({"online": False, "offline": False}, []),
    ],
)
def test_jobs_fill_the_stores_of_the_view(view: dict[str, Any], stores: list[Any]) -> None:
    """A view that is neither online nor offline has no job."""
    plan = planned(EMPTY, example(view=view))
    assert [backfill.stores for backfill in plan.backfills] == stores


def test_development_workspace_starts_no_job() -> None:
    """It plans, but does not materialise."""
    plan = planned(msgspec.structs.replace(EMPTY, live=False), example())
    assert not plan.is_empty
    assert plan.backfills == ()
    assert plan.incrementals == ()


# Older versions


def test_restored_version_keeps_what_is_the_same() -> None:
    """Identical views keep their generation; those that differ get new ones."""
    first = applied(example())
    keyed = example(source={"stream_config": PushConfig(event_key="clicked")})
    second = planned(first, keyed, "b").state
    plan = planned(second, Desired.of(first), "c")
    assert listed(plan) == [(Action.UPDATE, "impressions"), (Action.RECREATE, "clicks")]
    restored = plan.state
    assert restored.version == 4
    assert restored.view_by_name["clicks"].id not in (
        first.view_by_name["clicks"].id,
        second.view_by_name["clicks"].id,
    )
    assert planned(restored, Desired.of(first)).is_empty


# Whole repos


def test_problems_of_files_and_definitions_come_together() -> None:
    """A repo with a broken file and a wrong definition is refused for both."""
    broken = Problem("a.py:1", "file a.py", "SyntaxError", "…")
    repo = LoadedRepo(ROOT, ("a.py", "b.py"), (Entity(name="a b"),), (broken,))
    with pytest.raises(DefinitionError) as info:
        desired_of(repo)
    assert [problem.field for problem in info.value.problems] == ["SyntaxError", "name"]


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (DAY, "1 day"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(microseconds=5), "5 microseconds"),
    ],
)
def test_durations_are_spelled_in_their_largest_unit(duration: timedelta, text: str) -> None:
    """As people write them."""
    assert spell_duration(duration) == text


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
VALUE_TYPES = (Int64, Float64, String, Array(Int64), Map(String, Float64))
DURATIONS = st.timedeltas(timedelta(microseconds=1), timedelta(days=1000))
TEXTS = st.none() | st.text(max_size=5)


@st.composite
def repos(draw: st.DrawFn) -> Desired:
    """Some repo with several objects of each kind."""
    user = Entity(name="user", join_keys="user_id", description=draw(TEXTS))
    sources = []
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        columns = sorted(draw(st.sets(NAMES, min_size=1, max_size=3)) - {"user_id", "t", "v"})
        # A column keeps its type from repo to repo, as it has to.
        fields = [Field(name, VALUE_TYPES[len(name) % len(VALUE_TYPES)]) for name in columns]
        schema = [Field("user_id", String), Field("t", Timestamp), Field("v", Int64), *fields]
        tags = draw(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
        sources.append(
            StreamSource(name=name, schema=schema, stream_config=PushConfig(), tags=tags)
        )
    windows = st.sets(st.integers(1, 500_000), max_size=2)
    views = [
        StreamFeatureView(
            name=f"{one.name}.{number}",
            source=one,
            entities=[user],
            online=draw(st.booleans()),
            offline=draw(st.booleans()),
            feature_start_time=draw(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))),
            ttl=draw(st.none() | DURATIONS),
            batch_schedule=draw(st.none() | DURATIONS),
            description=draw(TEXTS),
            aggregations=[
                Aggregation("v", approx_percentile(draw(st.floats(0, 1))), timedelta(minutes=wide))
                for wide in draw(windows)
            ],
        )
        for one in sources
        for number in range(draw(st.integers(0, 2)))
    ]
    taken = draw(st.lists(st.sampled_from(views), unique=True)) if views else []
    services = [FeatureService(name="svc", features=taken)] if taken else []
    objects = draw(st.permutations([user, *sources, *views, *services]))
    return resolve(with_referenced(objects), ROOT)


@given(repos(), repos())
def test_plan_of_the_same_is_empty(one: Desired, other: Desired) -> None:
    """plan(x, x) is empty: from whatever was before, also after a stay in the registry."""
    first = planned(EMPTY, other, "a").state
    state = planned(first, one, "b").state
    stored = msgspec.json.decode(msgspec.json.encode(state), type=WorkspaceState)
    assert stored == state
    again = planned(stored, one, "c")
    assert again.is_empty
    assert planned(stored, Desired.of(stored)).is_empty
    unchanged = msgspec.structs.replace(again.state, version=state.version)
    assert unchanged == state


@given(repos(), repos())
def test_ids_change_exactly_with_creation(one: Desired, other: Desired) -> None:
    """Whatever is created or recreated has an id that was never used, everything else its own."""
    before = planned(EMPTY, other, "a").state
    plan = planned(before, one, "b")
    new = {name for action, name in listed(plan) if action in (Action.CREATE, Action.RECREATE)}
    for view in plan.state.views:
        old = before.view_by_name.get(view.name)
        has_new_table = old is not None and view.offline and not old.offline
        is_new = view.name in new or has_new_table
        assert view.id.startswith("b") == is_new
        is_filled = is_new or old is None or view.online_id != old.online_id
        assert (view.since_version == plan.state.version) == is_filled
    used = [view.id for view in plan.state.views] + [source.id for source in plan.state.sources]
    assert len(set(used)) == len(used)
