"""What is due: definitions minus what was recorded (contract §6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tecton.applied import AppliedView, BatchRows, WorkspaceState
from tecton.attempts import fold
from tecton.due import Question, covered, due, has_period_ended, new_run, pushed_until
from tecton.periods import Period
from tecton.stores import (
    BACKFILL,
    CANCELLED,
    FAILURE,
    MAINTENANCE,
    PERIOD,
    PUSHED,
    REFILL,
    RUNNING,
    SUCCESS,
    Run,
)
from tecton.testing import build_source, build_state, build_view

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
NOW = START + 10 * DAY
BATCH = BatchRows(uri="/data/x.parquet", file_format="parquet", timestamp_field="timestamp")


def workspace(**changes: object) -> tuple[WorkspaceState, AppliedView]:
    """A workspace with one view that has a batch source, applied before anything was recorded."""
    source = build_source(batch=BATCH)
    view = build_view(source, **{"feature_start_time": START, **changes})
    state = build_state([source], [view])
    return msgspec.structs.replace(state, applied_at=START), view


def recorded(
    workspace_: WorkspaceState,
    view: AppliedView,
    kind: str,
    first: int,
    last: int,
    **changes: object,
) -> Run:
    """An attempt at some days, by default one that ended well on the last."""
    run = new_run(workspace_, view, kind, START + last * DAY)
    run = run._replace(start=START + first * DAY, end=START + last * DAY, state=SUCCESS)
    return run._replace(**changes)  # type: ignore[arg-type]  # names and types of its fields


def ask(
    state: WorkspaceState, attempts: Sequence[Run], at: datetime = NOW, **changes: object
) -> tuple[list[tuple[str, int, int]], list[str]]:
    """What is due, in days, and the notes."""
    question = Question(state, state.views, at, at, takes_pushed=has_ended(at))
    found = due(question._replace(**changes), attempts)  # type: ignore[arg-type]
    days = [(run.kind, (run.start - START).days, (run.end - START).days) for run in found.runs]
    return days, list(found.notes)


def has_ended(at: datetime):  # type: ignore[no-untyped-def]  # a `due.IsDue`
    """Something was pushed, so the schedule decides."""
    return lambda view, attempts: has_period_ended(view, attempts, at)


def test_a_view_begins_with_its_backfill() -> None:
    """Until that has ended nothing else is due."""
    state, view = workspace()
    assert ([(BACKFILL, 0, 10)], []) == ask(state, [])
    failed = recorded(state, view, BACKFILL, 0, 9, state=FAILURE)
    assert ([(BACKFILL, 0, 10)], []) == ask(state, [failed])
    running = recorded(state, view, BACKFILL, 0, 10, state=RUNNING)
    assert ([], ["click_events_fv: backfill is under way"]) == ask(state, [running])
    other = build_view(state.sources[0], view.name)
    assert ([(BACKFILL, 0, 10)], []) == ask(state, [recorded(state, other, BACKFILL, 0, 10)])


def test_then_each_period_and_what_was_pushed() -> None:
    """Once each."""
    state, view = workspace()
    loaded = recorded(state, view, BACKFILL, 0, 8)
    assert ([(PERIOD, 8, 9), (PERIOD, 9, 10), (PUSHED, 8, 10)], []) == ask(state, [loaded])
    pushed = recorded(state, view, PUSHED, 8, 10)
    assert ([(PERIOD, 8, 9), (PERIOD, 9, 10)], []) == ask(state, [loaded, pushed])
    first, second = (recorded(state, view, PERIOD, day, day + 1) for day in (8, 9))
    assert ([(PERIOD, 9, 10)], []) == ask(state, [loaded, pushed, first])
    assert ([], []) == ask(state, [loaded, pushed, first, second])
    assert ([(PUSHED, 10, 11), (PERIOD, 10, 11)], []) == (
        ask(state, [loaded, pushed, first, second], NOW + DAY)[0][::-1],
        [],
    )


def test_a_view_that_redis_has_lost_is_filled_from_its_table() -> None:
    """Or, if it has none, from its source."""
    for offline, kind in ((True, REFILL), (False, BACKFILL)):
        state, view = workspace(offline=offline)
        runs = [recorded(state, view, BACKFILL, 0, 10)]
        [found], _ = ask(state, runs, lost=frozenset({view.id}), takes_pushed=lambda *_: False)
        assert kind == found[0]


def test_an_online_store_that_is_turned_on_reads_no_source_again() -> None:
    """What is offline fills it; runs from before count for both stores then."""
    state, view = workspace(online=False)
    attempts = [recorded(state, view, BACKFILL, 0, 10)]
    assert ([], []) == ask(state, attempts)
    on = msgspec.structs.replace(view, online=True, online_life="b", applied_at=NOW + DAY)
    after = msgspec.structs.replace(state, views=(on,))
    assert ([(REFILL, 0, 0)], []) == ask(after, attempts, lost=frozenset({view.id}))
    assert ([], []) == ask(after, attempts)


def test_an_offline_table_that_lacks_periods_fills_no_online_store() -> None:
    """It was turned on later; a refill would serve nulls until its periods have been brought."""
    state, view = workspace()
    lost = frozenset({view.id})
    before = recorded(state, view, BACKFILL, 0, 10, offline=False)
    assert (BACKFILL, 0, 10) in ask(state, [before], lost=lost)[0]
    half = recorded(state, view, PERIOD, 0, 5)
    assert (BACKFILL, 0, 10) in ask(state, [before, half], lost=lost)[0]
    rest = recorded(state, view, PERIOD, 5, 10)
    assert [REFILL] == [kind for kind, *_ in ask(state, [before, half, rest], lost=lost)[0]][:1]


def test_an_earlier_start_makes_only_what_is_new_due() -> None:
    """The gap before the first run, cut as a backfill is; nothing else."""
    state, view = workspace()
    attempts = [recorded(state, view, BACKFILL, 0, 10)]
    earlier = msgspec.structs.replace(view, feature_start_time=START - 2 * DAY)
    days, _ = ask(msgspec.structs.replace(state, views=(earlier,)), attempts)
    assert [(PERIOD, -2, -1), (PERIOD, -1, 0)] == days


def test_a_period_by_one_store_alone_is_due_for_the_other() -> None:
    """A job by hand may be for one of them."""
    state, view = workspace()
    loaded = recorded(state, view, BACKFILL, 0, 9)
    by_hand = recorded(state, view, PERIOD, 9, 10, online=False, is_manual=True)
    assert (PERIOD, 9, 10) in ask(state, [loaded, by_hand])[0]
    other = recorded(state, view, PERIOD, 9, 10, offline=False, is_manual=True)
    assert (PERIOD, 9, 10) not in ask(state, [loaded, by_hand, other])[0]


def test_a_failed_job_by_hand_is_tried_again() -> None:
    """As often as others, unless that was not wanted; with its own number and id."""
    state, view = workspace()
    loaded = [
        recorded(state, view, BACKFILL, 0, 10, started=START),
        recorded(state, view, PUSHED, 0, 10),
    ]
    failed = recorded(state, view, PERIOD, 2, 4, state=FAILURE, is_manual=True, online=False)
    failed = failed._replace(started=NOW - DAY, ended=NOW - DAY)
    [again] = due(
        Question(state, state.views, NOW, NOW, takes_pushed=has_ended(NOW)), [*loaded, failed]
    ).runs
    assert (failed.run_id, 2, RUNNING, False) == (
        again.run_id,
        again.attempt,
        again.state,
        again.online,
    )
    once = failed._replace(is_retried=False)
    days, [note] = ask(state, [*loaded, once])
    assert days == []
    assert "failed 1 times and is not tried again by itself" in note
    cancelled = failed._replace(state=CANCELLED)
    assert ([], []) == ask(state, [*loaded, cancelled])


def test_a_cancelled_period_stays_a_gap() -> None:
    """Until somebody starts a job for it."""
    state, view = workspace()
    loaded = [recorded(state, view, BACKFILL, 0, 9), recorded(state, view, PUSHED, 0, 10)]
    cancelled = recorded(state, view, PERIOD, 9, 10, state=CANCELLED)
    days, [note] = ask(state, [*loaded, cancelled], is_patient=False)
    assert days == []
    assert "was cancelled; trigger a job" in note


def test_maintenance_is_due_again_where_much_is_pushed() -> None:
    """After an hour, so that the files of a day do not pile up; nobody is asked before."""
    state, view = workspace()
    done = new_run(state, None, MAINTENANCE, NOW)._replace(state=SUCCESS)
    attempts = [recorded(state, view, BACKFILL, 0, 10), done]
    asked: list[bool] = []

    def is_due(minutes: int, is_scattered: bool) -> bool:
        def answer() -> bool:
            asked.append(is_scattered)
            return is_scattered

        question = Question(
            state, (), NOW, NOW + timedelta(minutes=minutes), is_maintained=True
        )._replace(is_scattered=answer)
        return MAINTENANCE in {run.kind for run in due(question, attempts).runs}

    assert not is_due(59, True)
    assert asked == []
    assert not is_due(60, False)
    assert is_due(60, True)


def test_what_no_job_by_hand_could_do_can_begin_again() -> None:
    """A view whose backfill was cancelled is not lost; what is tried is a new job."""
    for offline, kind in ((True, REFILL), (False, BACKFILL)):
        state, view = workspace(offline=offline)
        loaded = recorded(state, view, BACKFILL, 0, 10, started=NOW - DAY)
        cancelled = recorded(state, view, kind, 0, 10, state=CANCELLED, started=NOW)
        question = Question(state, state.views, NOW, NOW, frozenset({view.id}), lambda *_: False)
        attempts = [loaded, cancelled]

        found = due(question, attempts)
        [again] = due(question._replace(is_patient=False), attempts).runs

        assert () == tuple(found.runs)
        assert ["`tecton materialize run-due --retry-now` begins it again"] == [
            note.partition(" was cancelled; ")[2] for note in found.notes
        ]
        assert (kind, 1) == (again.kind, again.attempt)
        assert again.run_id not in {run.run_id for run in attempts}


def test_cancelled_pushed_records_come_with_the_next_period() -> None:
    """Else an offline table would never again get any."""
    state, view = workspace()
    loaded = recorded(state, view, BACKFILL, 0, 9)
    period = recorded(state, view, PERIOD, 9, 10)
    cancelled = recorded(state, view, PUSHED, 9, 10, state=CANCELLED)
    attempts = [loaded, period, cancelled]
    days, [note] = ask(state, attempts)
    assert days == []
    assert "pushed records was cancelled; it comes with the next period, or `tecton" in note
    assert (PUSHED, 9, 11) in ask(state, attempts, NOW + DAY)[0]
    assert ([(PUSHED, 9, 10)], []) == ask(state, attempts, is_patient=False)


def test_maintenance_is_due_once_a_day() -> None:
    """Once something has been done."""
    state, view = workspace()
    loaded = recorded(state, view, BACKFILL, 0, 10)
    assert (MAINTENANCE,) not in {run[:1] for run in ask(state, [], is_maintained=True)[0]}
    for hours, is_due in ((23, False), (24, True)):
        at = NOW + timedelta(hours=hours)
        kinds = {kind for kind, *_ in ask(state, [loaded], at, is_maintained=True)[0]}
        assert is_due == (MAINTENANCE in kinds)
        done = new_run(state, None, MAINTENANCE, at)._replace(state=SUCCESS)
        assert MAINTENANCE not in {
            kind for kind, *_ in ask(state, [loaded, done], at, is_maintained=True)[0]
        }


def test_what_was_pushed_counts_from_the_backfill() -> None:
    """It has taken all that there was."""
    state, view = workspace()
    loaded = recorded(state, view, BACKFILL, 0, 9)._replace(started=START + 9 * DAY + DAY / 2)
    assert START + 9 * DAY == pushed_until(view, [loaded])
    assert not has_period_ended(view, [loaded], START + 9 * DAY + DAY / 2)
    assert has_period_ended(view, [loaded], START + 10 * DAY)


_SPANS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.booleans(), st.booleans()))


@settings(deadline=None)
@given(_SPANS)
def test_covered_is_what_every_store_has(spans: list[tuple[int, int, bool, bool]]) -> None:
    """Day by day, whatever runs brought it."""
    state, view = workspace()
    runs = [
        recorded(state, view, PERIOD, first, first + length, online=online, offline=offline)
        for first, length, online, offline in spans
    ]
    found = covered(view, runs)
    for day in range(15):
        at = Period(START + day * DAY, START + (day + 1) * DAY)
        has = [
            any(run.start <= at.start and at.end <= run.end and wanted(run) for run in runs)
            for wanted in (lambda run: run.online, lambda run: run.offline)
        ]
        assert all(has) == any(one.start <= at.start and at.end <= one.end for one in found)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 600), st.booleans()), max_size=30))
def test_whatever_fails_all_is_done_in_the_end(steps: list[tuple[int, bool]]) -> None:
    """Nothing is skipped, nothing is done twice at once, and attempts are numbered."""
    state, view = workspace(max_backfill_interval=DAY)
    rows: list[Run] = []
    at = NOW

    def step(minutes: int, is_well: bool) -> int:
        nonlocal at
        at += timedelta(minutes=minutes)
        question = Question(state, state.views, NOW, at, takes_pushed=has_ended(NOW))
        runs = due(question, fold(rows)).runs
        rows.extend(run._replace(state=SUCCESS if is_well else FAILURE, ended=at) for run in runs)
        return len(runs)

    for minutes, is_well in steps:
        step(minutes, is_well)
    at += 100 * DAY
    state = msgspec.structs.replace(state, applied_at=at)
    for _ in range(3):
        step(1, True)
    assert 0 == step(1, True)
    assert Period(START, NOW) in covered(view, fold(rows))
    assert len(rows) == len({(run.run_id, run.attempt) for run in rows})
