"""Fewer rows say the same about what is due."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tecton.adapters.runs import DeltaRunLog
from tecton.attempts import fold
from tecton.due import Question, due, has_period_ended, new_run
from tecton.periods import Period
from tecton.statuses import freshness_of
from tecton.stores import BACKFILL, CANCELLED, FAILURE, PERIOD, PUSHED, RUNNING, SUCCESS, Run
from tecton.testing import build_source, build_state, build_view
from tests.unit.test_due import BATCH, DAY, START

NOW = START + 20 * DAY
SOURCE = build_source(batch=BATCH)
VIEWS = [build_view(SOURCE, name, feature_start_time=START) for name in ("one", "two")]
STATE = msgspec.structs.replace(build_state([SOURCE], VIEWS, []), applied_at=START)

_ATTEMPTS = st.tuples(
    st.integers(0, 1),
    st.sampled_from([BACKFILL, PERIOD, PERIOD, PERIOD, PUSHED]),
    st.integers(0, 15),
    st.integers(1, 4),
    st.sampled_from([RUNNING, SUCCESS, SUCCESS, SUCCESS, FAILURE, CANCELLED]),
    st.sampled_from([(True, True), (True, True), (True, False), (False, True)]),
    st.booleans(),
    st.integers(0, 3),
)


def _rows(drawn: list[tuple[int, str, int, int, str, tuple[bool, bool], bool, int]]) -> list[Run]:
    rows: list[Run] = []
    for number, (view, kind, first, length, state, stores, is_manual, of_job) in enumerate(drawn):
        at = START + 16 * DAY + number * timedelta(hours=1)
        run = new_run(STATE, VIEWS[view], kind, at)._replace(owner="o")
        if kind != BACKFILL:
            run = run._replace(start=START + first * DAY, end=START + (first + length) * DAY)
        if kind == PERIOD:
            run = run._replace(online=stores[0], offline=stores[1], is_manual=is_manual)
        before = [one for one in rows if (one.view, one.kind) == (run.view, run.kind)]
        if of_job == 0 and before and kind == PERIOD and before[-1].state == FAILURE:
            last = before[-1]
            run = last._replace(attempt=last.attempt + 1, started=at, ended=at, state=RUNNING)
        rows += [run, run._replace(state=state, ended=at + timedelta(minutes=30))]
    return rows


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_ATTEMPTS, max_size=12))
@example(
    [
        (1, BACKFILL, 0, 1, SUCCESS, (True, True), False, 0),
        (1, PUSHED, 0, 2, SUCCESS, (True, True), False, 0),
        (1, PUSHED, 0, 1, RUNNING, (True, True), False, 0),
        (1, PUSHED, 0, 1, SUCCESS, (True, True), False, 0),
    ]
)
def test_what_is_due_stays_the_same(
    tmp_path: Path,
    drawn: list[tuple[int, str, int, int, str, tuple[bool, bool], bool, int]],
) -> None:
    """Runs, their numbers and the notes."""
    rows = _rows(drawn)
    log = DeltaRunLog(str(tmp_path / secrets.token_hex(8)))
    log.record(*rows)
    assert fold(rows) == list(log.attempts(STATE.folder))
    [name, *_] = [view.name for view in VIEWS]
    assert [run for run in fold(rows) if run.view == name] == log.attempts(STATE.folder, name)
    done = [run for run in fold(rows) if run.state == SUCCESS]
    done.sort(key=lambda run: run.ended)
    assert done == log.of(STATE.folder)
    assert [run for run in done if run.view == name] == log.of(STATE.folder, name)
    assert _freshness(fold(rows)) == _freshness(log.merged(STATE.folder))
    question = Question(
        STATE, VIEWS, NOW, NOW, takes_pushed=lambda view, runs: has_period_ended(view, runs, NOW)
    )
    expected, found = (due(question, runs) for runs in (fold(rows), log.merged(STATE.folder)))
    assert [_told(run) for run in expected.runs] == [_told(run) for run in found.runs]
    assert expected.notes == found.notes


def _freshness(runs: Sequence[Run]) -> Sequence[object]:
    """How old what each view holds is."""
    return [
        freshness_of(view, [one for one in runs if one.view_id == view.id], NOW) for view in VIEWS
    ]


def _told(run: Run) -> tuple[object, ...]:
    return run.view, run.kind, run.start, run.end, run.attempt, run.online, run.offline


def test_a_year_becomes_a_handful_of_rows(tmp_path: Path) -> None:
    """Whatever has piled up."""
    log = DeltaRunLog(str(tmp_path))
    log.record(
        *(
            new_run(STATE, view, kind, START)._replace(
                start=START + day * DAY, end=START + (day + 1) * DAY, state=state
            )
            for view in VIEWS
            for kind in (PERIOD, PUSHED)
            for day in range(365)
            for state in (SUCCESS,)
        )
    )
    merged = log.merged(STATE.folder)
    assert 4 == len(merged)
    year = Period(START, START + 365 * DAY)
    periods = [Period(run.start, run.end) for run in merged if run.kind == PERIOD]
    assert [year, year] == periods
