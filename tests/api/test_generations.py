"""A view that is filled anew: the generation before it is served until it is loaded (0038)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import msgspec

from tecton.applied import (
    AppliedAggregation,
    AppliedFunction,
    AppliedView,
    Column,
    WorkspaceState,
    new_id,
)
from tecton.erase import erase
from tecton.plan import make_plan
from tecton.reload import Reloaded, reload_lost, replay
from tecton.resolve import Desired
from tecton.rows import encode_key
from tecton.stores import BACKFILL, Run
from tecton.sweep import PATIENCE, Sweep
from tecton.testing import build_function_view, build_service, build_source, build_state, build_view
from tecton.types import Field, Float64, Int64, String, Timestamp
from tests.api.conftest import TODAY, World, stamp

SOURCE = build_source()
PRICE = Column.of(Field("price", Float64))
DOUBLE = 'def fv(e):\n    return {**e, "clicked": e["clicked"] * 2}\n'


def applied(world: World, view: AppliedView | None = None, **changes: Any) -> WorkspaceState:
    """The first version, loaded; its service takes `clicked` alone."""
    view = view or build_view(SOURCE, **changes)
    return world.apply(build_state([SOURCE], [view], [build_service(view)], version=1))


def recreated(
    world: World,
    state: WorkspaceState,
    change: Callable[[AppliedView], AppliedView],
    columns: tuple[Column, ...] = (),
) -> WorkspaceState:
    """The next version, whose view is another one, not loaded yet."""
    desired = Desired.of(state)
    source = desired.sources[0]
    wanted = Desired(
        entities=desired.entities,
        sources=(msgspec.structs.replace(source, columns=(*source.columns, *columns)),),
        views=(change(desired.views[0]),),
        services=desired.services,
    )
    plan = make_plan(state, wanted, now=TODAY, new_id=new_id)
    return world.apply(plan.state, loaded=False)


def with_price(view: AppliedView) -> AppliedView:
    """The view with another feature."""
    return msgspec.structs.replace(view, columns=(*view.columns, PRICE))


def send(world: World, user: str, clicked: int, **more: Any) -> None:
    """Ingest a record of an hour ago; later ones replace it."""
    record = {"user_id": user, "timestamp": stamp(hours=1), "clicked": clicked, **more}
    body = {
        "workspace_name": "prod",
        "dry_run": False,
        "records": {SOURCE.name: [{"record": record}]},
    }
    assert world.send(body).status_code == 200


def asked(world: World, user: str) -> tuple[int, Any]:
    """What a read answers: the status and the features."""
    params = {
        "workspace_name": "prod",
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": user},
    }
    answer = world.features({"params": params})
    body = answer.get_json()
    return answer.status_code, body.get("result", {}).get("features")


def load(world: World, state: WorkspaceState) -> None:
    """Fill the view from the push tables, as its backfill does."""
    replay(world.online, world.backend.history, state, state.views[0], world.clock())


def stored(world: World, view: AppliedView) -> list[str]:
    """The join keys of which Redis has something in a generation."""
    return sorted(set(world.online.keys(view.online_id)))


def test_old_generation_serves_until_the_new_one_is_loaded(world: World) -> None:
    """Records reach both; the swap is at the marker, and the old rows go some seconds later."""
    first = applied(world)
    old = first.views[0]
    send(world, "a", 1)
    second = recreated(world, first, with_price, (PRICE,))
    assert second.views[0].online_id != old.online_id
    assert asked(world, "a") == (200, ["1"])
    send(world, "a", 2, price=1.5)
    send(world, "b", 7, price=2.5)
    assert asked(world, "a") == (200, ["2"])
    assert asked(world, "b") == (200, ["7"])
    assert asked(world, "c") == (200, [None])

    load(world, second)

    assert asked(world, "a") == (200, ["2"])
    world.catalog.refresh()
    assert world.catalog.obsolete == (old.online_id,)
    send(world, "c", 3, price=None)
    assert asked(world, "c") == (200, ["3"])
    assert stored(world, old) == [encode_key(["a"]), encode_key(["b"])]
    sweep = Sweep(world.online.forget, world.online.unloaded)
    assert list(sweep.look(world.catalog.obsolete, world.clock())) == []
    assert list(sweep.look(world.catalog.obsolete, world.clock() + PATIENCE)) == [
        (old.online_id, 2)
    ]
    assert list(sweep.look(world.catalog.obsolete, world.clock() + 2 * PATIENCE)) == []
    assert stored(world, old) == []
    assert world.online.unloaded([old.online_id]) == [old.online_id]
    assert asked(world, "b") == (200, ["7"])


def test_new_feature_is_missing_until_it_is_loaded(world: World) -> None:
    """What the old generation has not is a 503, never a null; other services go on."""
    first = applied(world)
    send(world, "a", 1)
    second = recreated(world, first, with_price, (PRICE,))
    wider = msgspec.structs.replace(second, version=3, services=(build_service(*second.views),))
    world.apply(wider, loaded=False)
    assert asked(world, "a")[0] == 503
    load(world, wider)
    assert asked(world, "a") == (200, ["1", None])


def test_function_of_either_generation_runs(world: World) -> None:
    """Until the swap a record is served as the old function says, afterwards as the new one."""
    fields = [Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)]
    first = applied(world, build_function_view(SOURCE, DOUBLE, fields))
    send(world, "a", 5)
    text = DOUBLE.replace("* 2", "* 3")

    def tripled(view: AppliedView) -> AppliedView:
        function = AppliedFunction(name="fv", mode="python", source=text)
        return msgspec.structs.replace(view, function=function)

    second = recreated(world, first, tripled)
    assert asked(world, "a") == (200, ["10"])
    send(world, "b", 7)
    assert asked(world, "b") == (200, ["14"])
    load(world, second)
    assert asked(world, "a") == (200, ["15"])
    assert asked(world, "b") == (200, ["21"])


def test_windows_of_either_generation_are_whole(world: World) -> None:
    """A former generation keeps taking events, so its windows stay exact until the swap."""
    total = AppliedAggregation(
        name="total", column="clicked", function="sum", time_window=timedelta(days=1)
    )
    first = applied(world, ttl=None, aggregations=(total,))
    send(world, "a", 5)

    def mean_too(view: AppliedView) -> AppliedView:
        mean = msgspec.structs.replace(total, name="mean", function="mean")
        return msgspec.structs.replace(view, aggregations=(mean, total))

    second = recreated(world, first, mean_too)
    assert asked(world, "a") == (200, ["5"])
    send(world, "b", 7)
    assert asked(world, "b") == (200, ["7"])
    load(world, second)
    world.catalog.refresh()
    world.online.forget(world.catalog.obsolete)
    assert asked(world, "a") == (200, ["5"])
    assert asked(world, "b") == (200, ["7"])


def test_longer_ttl_shows_what_was_expired_when_it_is_loaded(world: World) -> None:
    """Rows that Redis has dropped, or would, come from the tables; until then the old ttl holds."""
    first = applied(world, ttl=timedelta(hours=2))
    send(world, "a", 1)
    world.clock.advance(timedelta(hours=3))

    def longer(view: AppliedView) -> AppliedView:
        return msgspec.structs.replace(view, ttl=timedelta(days=7))

    second = recreated(world, first, longer)
    old, new = first.views[0], second.views[0]
    assert (new.id, new.online_id != old.online_id) == (old.id, True)
    assert asked(world, "a") == (200, [None])
    load(world, second)
    assert asked(world, "a") == (200, ["1"])


def test_service_waits_for_others_before_it_fills_a_view_anew(world: World) -> None:
    """Another service may accept records for some seconds without knowing of the new rows."""
    first = applied(world, ttl=timedelta(hours=2))
    send(world, "a", 1)
    backend, view = world.backend, first.views[0]
    start = TODAY - timedelta(days=1)
    backend.runs.record(
        Run(first.folder, view.name, view.id, BACKFILL, start, start, start, start, "")
    )

    def longer(view: AppliedView) -> AppliedView:
        return msgspec.structs.replace(view, ttl=timedelta(days=7))

    second = recreated(world, first, longer)

    def reload() -> list[Reloaded]:
        now = world.clock()
        return list(reload_lost(world.online, backend.history, backend.runs, [second], now))

    assert reload() == []
    world.clock.advance(PATIENCE)
    assert reload() == [Reloaded(view.name, 1)]
    assert asked(world, "a") == (200, ["1"])


def test_reads_never_see_the_swap(world: World) -> None:
    """While the new generation is loaded and the old one goes, every read has the same answer."""
    first = applied(world)
    send(world, "a", 1)
    second = recreated(world, first, with_price, (PRICE,))
    is_over = Event()

    def read() -> set[Any]:
        seen = set()
        while not is_over.is_set():
            seen.add(str(asked(world, "a")))
        return seen

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(read)
        try:
            load(world, second)
            world.online.forget([first.views[0].online_id])
            world.catalog.refresh()
            assert asked(world, "a") == (200, ["1"])
        finally:
            is_over.set()
        assert answers.result() == {str((200, ["1"]))}


def test_generation_that_was_never_loaded_is_passed_over(world: World) -> None:
    """Two recreations in a row: the last one that was loaded serves."""
    first = applied(world)
    send(world, "a", 1)
    second = recreated(world, first, with_price, (PRICE,))
    third = recreated(
        world, second, lambda view: msgspec.structs.replace(view, columns=view.columns[:1])
    )
    assert [one.view.id for one in third.replaced] == [second.views[0].id, first.views[0].id]
    send(world, "a", 2, price=None)
    assert asked(world, "a") == (200, ["2"])
    load(world, third)
    assert asked(world, "a") == (200, ["2"])
    world.catalog.refresh()
    assert set(world.catalog.obsolete) == {first.views[0].id, second.views[0].id}


def test_erased_key_is_served_by_neither_generation(world: World) -> None:
    """What is erased while two generations are there is gone from both."""
    first = applied(world)
    send(world, "a", 1)
    send(world, "b", 2)
    second = recreated(world, first, with_price, (PRICE,))
    backend, online = world.backend, world.online
    lines = list(
        erase(
            backend.erasures,
            lambda: online,
            second,
            second.views[0],
            [["a"]],
            True,
            True,
            world.clock,
            lambda _: None,
            backend.push_tables,
        )
    )
    assert "1 join keys deleted online" in lines[-1]
    assert asked(world, "a") == (200, [None])
    load(world, second)
    assert asked(world, "a") == (200, [None])
    assert asked(world, "b") == (200, ["2"])


def test_lost_redis_answers_503_until_the_view_is_loaded(world: World) -> None:
    """A generation that Redis has lost with the rest is served no more; nothing is null."""
    first = applied(world)
    send(world, "a", 1)
    second = recreated(world, first, with_price, (PRICE,))
    world.online.client.flushall()
    assert asked(world, "a")[0] == 503
    world.catalog.refresh()
    assert asked(world, "a")[0] == 503
    load(world, second)
    assert asked(world, "a") == (200, ["1"])
