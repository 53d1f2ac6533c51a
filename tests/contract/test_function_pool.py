"""The worker processes of functions: how many, how they are shared, what they are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from tecton.adapters import function_pool
from tecton.adapters.function_pool import FunctionPool
from tecton.errors import FunctionStopped, FunctionsUnavailable, RateLimited
from tecton.functions.transformation import Failure, Row, Transformation, transformation_of
from tecton.testing import AD_FIELDS, build_function_view, build_source

RECORD = {"user_id": "u", "timestamp": "2023-01-02T00:00:00.000000Z", "clicked": 1}
SAME = "def fv(record):\n    return record\n"


def transformation(text: str, mode: str = "python") -> Transformation:
    source = build_source()
    found = transformation_of(build_function_view(source, text, AD_FIELDS, mode), source)
    assert found is not None
    return found


@pytest.fixture
def pool() -> Any:
    pool = FunctionPool(2, timedelta(seconds=1))
    yield pool
    pool.close()


def test_records_of_many_messages_come_back_in_order(pool: FunctionPool) -> None:
    """A worker gets some at a time."""
    count = 2 * function_pool.CHUNK + 1
    records = [{**RECORD, "clicked": number} for number in range(count)]
    rows = [outcome[0].values[1] for outcome in pool.run(transformation(SAME), records, 1)]
    assert rows == list(range(count))


def test_large_records_go_both_ways(pool: FunctionPool) -> None:
    """Larger than a pipe holds at once."""
    records = [{**RECORD, "user_id": "x" * 100_000}] * 50
    outcomes = pool.run(transformation(SAME), records, 1)
    assert [[Row(1672617600000000, ["x" * 100_000, 1])]] * 50 == outcomes


def test_many_threads_share_the_workers(pool: FunctionPool) -> None:
    """None is given to two."""
    functions = [
        transformation(SAME.replace("return record", f"return {{**record, 'clicked': {n}}}"))
        for n in range(4)
    ]

    def call(number: int) -> int:
        [[row]] = pool.run(functions[number % 4], [RECORD], 1)
        return row.values[1]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(call, range(200)))
    assert answers == [number % 4 for number in range(200)]


def test_text_that_does_not_run_blames_no_record(pool: FunctionPool) -> None:
    """A package may be missing where the service runs."""
    with pytest.raises(FunctionsUnavailable, match="does not run here: ModuleNotFoundError"):
        pool.run(transformation("import nowhere_to_be_found\n" + SAME), [RECORD], 1)
    assert pool.run(transformation(SAME), [RECORD], 1) == [[Row(1672617600000000, ["u", 1])]]


def test_what_a_function_prints_and_reads_is_nothing(pool: FunctionPool) -> None:
    """It cannot get between the service and its worker."""
    text = (
        "import os, sys\ndef fv(record):\n    print('x' * 10**6)\n    os.write(1, b'y')\n"
        "    sys.stdout.flush()\n    assert sys.stdin.read() == ''\n    return record\n"
    )
    assert not isinstance(pool.run(transformation(text), [RECORD], 1)[0], Failure)


def test_a_function_is_told_nothing_of_the_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A definition's code finds no password or API key of the service in its environment."""
    monkeypatch.setenv("TECTON_REDIS_URL", "redis://:secret@nowhere:1")
    monkeypatch.setenv("OTHER", "kept")
    text = (
        "import os\ndef fv(record):\n    assert os.environ['OTHER'] == 'kept'\n"
        "    assert not [name for name in os.environ if name.startswith('TECTON_')]\n"
        "    return record\n"
    )
    pool = FunctionPool(1, timedelta(seconds=1))
    try:
        outcome = pool.run(transformation(text), [RECORD], 1)[0]
        assert not isinstance(outcome, Failure), outcome
    finally:
        pool.close()


def test_replay_has_more_patience(pool: FunctionPool) -> None:
    """Than the request that brought a record."""
    slow = transformation("import time\n" + SAME.replace("    r", "    time.sleep(1.5)\n    r"))
    with pytest.raises(FunctionStopped, match="took longer than 1 s for one record"):
        pool.run(slow, [RECORD], 1)
    assert len(pool.run(slow, [RECORD], 30)) == 1


def test_records_of_a_request_share_a_bound(
    pool: FunctionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is quick enough, all of them are not."""
    monkeypatch.setattr(function_pool, "SHARE", 1)
    slow = transformation("import time\n" + SAME.replace("    r", "    time.sleep(0.4)\n    r"))
    pool.run(slow, [RECORD], 1)
    with pytest.raises(FunctionStopped, match="too long for the records of one request"):
        pool.run(slow, [RECORD] * 10, 1)


def test_waiting_for_a_worker_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that threads are left for requests that need none."""
    monkeypatch.setattr(function_pool, "MAX_WAITING", 0)
    pool = FunctionPool(1, timedelta(seconds=1))
    with pytest.raises(RateLimited, match="processes for functions are at work"):
        pool.run(transformation(SAME), [RECORD], 1)
    monkeypatch.setattr(function_pool, "MAX_WAITING", 1)
    monkeypatch.setattr(function_pool, "WAIT_SECONDS", 0.01)
    busy = FunctionPool(0, timedelta(seconds=1))
    with pytest.raises(RateLimited):
        busy.run(transformation(SAME), [RECORD], 1)
    pool.close()
