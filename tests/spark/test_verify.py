"""`verify-consistency`: online answers against offline rows at the same instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import pytest

from tecton.applied import AppliedAggregation, WorkspaceState
from tecton.errors import JobFailed
from tecton.rows import FeatureRow, encode_key, row_of
from tecton.spark.tolerances import Tolerances
from tecton.spark.verify import verify
from tecton.stores import OnlineStore, Stored
from tecton.testing import build_source, build_state, build_view
from tecton.timestamps import micros_of
from tecton.types import Field, Float64, String, Timestamp
from tests.spark.scene import MINUTE, NOW, Scene, utc

_NUMBERS = [Field("user_id", String), Field("timestamp", Timestamp), Field("amount", Float64)]
_FUNCTIONS = ("count", "sum", "mean", "min", "stddev_pop", "var_samp", "last")


def _lines(scene: Scene, state: WorkspaceState, sample: int = 100) -> list[str]:
    return list(verify(scene.stores, state, state.views[0], sample, seed=1))


def _failure(scene: Scene, state: WorkspaceState) -> tuple[list[str], str]:
    lines: list[str] = []
    with pytest.raises(JobFailed) as failure:
        lines.extend(verify(scene.stores, state, state.views[0], 100, seed=1))
    return lines, str(failure.value)


def _aggregation(function: str, **parts: float) -> AppliedAggregation:
    name = f"amount_{function}"
    return AppliedAggregation(
        name=name, column="amount", function=function, time_window=timedelta(days=2), **parts
    )


def _windows() -> WorkspaceState:
    source = build_source(fields=_NUMBERS)
    aggregations = [_aggregation(function) for function in _FUNCTIONS]
    aggregations.append(_aggregation("approx_percentile", precision=20, percentile=0.5))
    aggregations.sort(key=lambda aggregation: aggregation.name)
    return build_state([source], [build_view(source, ttl=None, aggregations=tuple(aggregations))])


def test_stores_agree_after_every_job(scene: Scene) -> None:
    """Batch rows, pushed ones, expired ones, and those that no frontfill has taken."""
    scene.write_batch(("a", utc(2), 1), ("b", utc(2, 1), None), ("old", utc(1, -200), 9))
    state = scene.example()
    scene.backfill(state)
    scene.push(state, ("a", utc(2, 5), 5), ("c", utc(3, 1), 7))
    scene.frontfill(state)
    scene.push(state, ("d", utc(3, 2), 8))
    scene.backfill(state)

    lines = _lines(scene, state)

    assert lines[0] == (
        "click_events_fv: 4 join keys, 4 drawn from the offline rows and 4 from Redis"
    )
    assert lines[1:] == ["click_events_fv.clicked: 0 mismatch, 0 missing, 0 extra"]
    assert _lines(scene, state, sample=1)[0].startswith("click_events_fv: ")


def test_what_was_changed_by_hand_is_reported(scene: Scene) -> None:
    """A value, a deleted key and one that nobody wrote; each with its join key as JSON."""
    state = scene.example(event_key=())
    scene.write_batch()
    scene.push(state, *((user, utc(3), 1) for user in ("changed", "deleted", "right")))
    scene.backfill(state)
    view = state.views[0]
    client = scene.online.client
    [name] = client.keys("tecton:f:*deleted*")
    client.delete(name)
    changed = row_of(view, {"user_id": "changed", "clicked": 2}, micros_of(utc(3)), 2**52)
    extra = row_of(view, {"user_id": "extra", "clicked": 3}, micros_of(utc(3)), 2**52)
    scene.online.upsert([changed, extra])

    lines, message = _failure(scene, state)

    assert lines[1:] == [
        "click_events_fv.clicked: 1 mismatch, 1 missing, 1 extra",
        '  mismatch: {"user_id": "changed"}',
        '  missing: {"user_id": "deleted"}',
        '  extra: {"user_id": "extra"}',
    ]
    assert message.startswith("3 of 4 join keys of click_events_fv differ")


def test_windows_agree_and_a_lost_one_is_reported(scene: Scene) -> None:
    """Sums that cancel are within their bound; a key without its hash is missing everywhere."""
    state = _windows()
    amounts = [1e16, 1.0, -1e16, 0.1, 0.2, 0.3, 7.0]
    for user in ("a", "b"):
        records = [(user, utc(3) + n * MINUTE, x) for n, x in enumerate(amounts * 20)]
        scene.push(state, *records)
    scene.backfill(state)
    while scene.online.tidy():
        pass
    lines = _lines(scene, state)
    assert len(lines) == 1 + len(state.views[0].features)
    assert all(line.endswith(": 0 mismatch, 0 missing, 0 extra") for line in lines[1:])

    [name] = scene.online.client.keys('tecton:f:*"a"*')
    scene.online.client.delete(name)
    lines, _ = _failure(scene, state)
    counts = [line for line in lines[1:] if line.startswith("click")]
    assert all(line.endswith(": 0 mismatch, 1 missing, 0 extra") for line in counts)


def test_tolerance_is_of_the_values_in_the_window() -> None:
    """1e-9 of Σ|x|, of max x²; what a sketch can tell in rank; integers exactly."""
    tolerances = Tolerances(_windows().views[0])
    bounds = [a.name for a in tolerances.view.aggregations if a.name.startswith("_bound")]
    offline = dict.fromkeys(bounds, 100.0)
    offline.update(amount_sum=1.0, amount_mean=1.0, amount_count=3, amount_stddev_pop=2.0)
    for feature, near, far in (
        ("amount_sum", 1.000005, 1.00002),
        ("amount_mean", 1.00000005, 1.0000002),
        ("amount_stddev_pop", 2.000001, 2.00001),
    ):
        assert tolerances.agree(feature, near, offline)
        assert not tolerances.agree(feature, far, offline)
    assert not tolerances.agree("amount_count", 4, offline)
    offline["amount_approx_percentile"] = 99.0
    assert tolerances.agree("amount_approx_percentile", 100.0, offline)
    assert not tolerances.agree("amount_approx_percentile", 99.5, offline)


class _Pushing(NamedTuple):
    """An online store that takes a record between two reads, once or each time."""

    online: OnlineStore
    offer: Callable[[], None]

    def read(self, keys: list[tuple[str, str]]) -> list[Stored | None]:
        found = list(self.online.read(keys))
        self.offer()
        return found

    def keys(self, _: str) -> list[str]:
        return []


@pytest.mark.parametrize("times", [1, 100])
def test_record_pushed_between_the_reads_is_no_mismatch(scene: Scene, times: int) -> None:
    """Its key is asked again; one that never rests is told apart."""
    source = build_source()
    state = build_state([source], [build_view(source)])
    scene.push(state, ("a", utc(3), 1), ("b", utc(3), 1))
    scene.backfill(state)
    left = [times]

    def offer() -> None:
        if left[0]:
            left[0] -= 1
            at = utc(3) + (100 - left[0]) * MINUTE
            scene.push(state, ("a", at, left[0]))
            scene.online.upsert([_row(state, "a", micros_of(at), left[0])])

    pushing = _Pushing(scene.online, offer)
    stores = replace(scene.stores, open_online=partial(_same, pushing))
    lines = list(verify(stores, state, state.views[0], 100, seed=1))

    expected = ["1 join keys changed all the time and were left out"] if times > 1 else []
    assert lines[1:] == ["click_events_fv.clicked: 0 mismatch, 0 missing, 0 extra", *expected]


def _row(state: WorkspaceState, user: str, at: int, clicked: int) -> FeatureRow:
    return row_of(state.views[0], {"user_id": user, "clicked": clicked}, at, micros_of(NOW))


def _same(online: OnlineStore) -> OnlineStore:
    return online


def test_encoded_keys_come_back(scene: Scene) -> None:
    """What the walk over Redis finds are join keys as they were encoded."""
    state = scene.example()
    keys = ['x"*[y]:z', "é"]
    scene.online.upsert([_row(state, key, micros_of(NOW), 1) for key in keys])
    found = scene.online.keys(state.views[0].id)
    assert sorted(found) == sorted(encode_key([key]) for key in keys)
