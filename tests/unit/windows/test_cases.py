"""The case tables, against the oracle and the algebra: they agree with what was written by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tecton.applied import AppliedView
from tecton.packed import identity_hash
from tecton.rows import BATCH_SEQUENCE_OFFSET, encode_body
from tecton.timestamps import micros_of
from tecton.windows import algebra_of
from tests.oracle import OracleEvent, kept, oracle
from tests.window_cases import AGGREGATIONS, CASES, EVENT_KEYS, Case, Row, source_of, view_of, wrong
from tests.window_views import unpacked

MOMENT = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)
VIEWS = {event_key: view_of(source_of(event_key)) for event_key in EVENT_KEYS}


def events_of(case: Case, view: AppliedView, is_pushed: bool) -> list[OracleEvent]:
    """All writes of a case as a store is offered them."""
    batch = case.batch if is_pushed else case.records
    ranked = sorted(batch, key=lambda row: encode_body(list(row.values.values())))
    # A rank is one among the rows of one time; here it is one among all.
    events = [_event(view, row, -BATCH_SEQUENCE_OFFSET, tie) for tie, row in enumerate(ranked)]
    if is_pushed:
        events += [_event(view, row, number, 0) for number, row in enumerate(case.records, 1)]
    return events


def _event(view: AppliedView, row: Row, sequence: int, tie: int) -> OracleEvent:
    identity = identity_hash([row.values[name] for name in view.event_key])
    return OracleEvent(micros_of(MOMENT + row.at), identity, sequence, tie, row.values)


@pytest.mark.parametrize("is_pushed", [True, False], ids=["pushed", "batch"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_oracle_and_algebra_answer_as_written(case: Case, is_pushed: bool) -> None:
    """What the other tests compare with is itself right."""
    if not (case.can_be_pushed if is_pushed else case.can_be_batch):
        pytest.skip("does not arrive this way")
    view = VIEWS[case.event_key]
    events = events_of(case, view, is_pushed)
    algebra = algebra_of(view)
    nothing = dict.fromkeys((field.name for field in view.features), None)
    for query in case.queries:
        t = micros_of(MOMENT + query.at)
        assert {} == wrong(query.expected, oracle(view, events, t))
        until = [event for event in kept(view, events) if event.timestamp <= t]
        assert {} == wrong(query.expected, algebra.answer(t, unpacked(view, until)) or nothing)


def test_every_aggregation_is_expected_somewhere() -> None:
    """A function that no case asks for would not be tested by them."""
    asked = {name for case in CASES for query in case.queries for name in query.expected}
    assert {aggregation.name for aggregation in AGGREGATIONS} == asked


def test_windows_reach_as_far_as_the_cases() -> None:
    """Online tests offer nothing that is too old."""
    oldest = min(row.at for case in CASES for row in (*case.batch, *case.records))
    assert timedelta(days=-7) < oldest
