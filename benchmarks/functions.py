"""What the function of a view costs a record at ingest: in the service, and in its worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median

import psutil

from tecton.adapters.function_pool import FunctionPool
from tecton.functions.transformation import Transformation, transformation_of
from tecton.testing import build_function_view, build_source
from tecton.types import Field, Float64, Int64, String, Timestamp

FIELDS = (
    Field("user_id", String),
    Field("timestamp", Timestamp),
    Field("clicked", Int64),
    Field("price", Float64),
    Field("ad", String),
)
PYTHON = "def fv(record):\n    return {**record, 'ad': record['ad'].upper()}\n"
PANDAS = "def fv(frame):\n    return frame.assign(ad=frame['ad'].str.upper())\n"
RECORD = {
    "user_id": "C18947Z5",
    "timestamp": "2023-01-02T00:25:06.000000Z",
    "clicked": 1,
    "price": 0.5,
    "ad": "a-17",
}
ROUNDS = 5


def main() -> None:
    """Print CPU and wall time of a record in µs, by mode and by records in a request."""
    print("µs a record            records   service CPU   worker CPU   wall")
    for mode, text, calls in (("python", PYTHON, 2_000), ("pandas", PANDAS, 200)):
        source = build_source(fields=FIELDS)
        transformation = transformation_of(
            build_function_view(source, text, FIELDS, mode=mode), source
        )
        assert transformation is not None, "the view has one"  # noqa: S101  # made so above
        for records in (1, 100):
            service, worker, wall = _cost(transformation, records, max(calls // records, 5))
            print(f"{mode:20} {records:9} {service:13.1f} {worker:12.1f} {wall:6.1f}")


def _cost(transformation: Transformation, records: int, calls: int) -> tuple[float, float, float]:
    pool = FunctionPool(1, timedelta(seconds=10))
    given = [RECORD] * records

    def call() -> None:
        for _ in range(calls):
            pool.run(transformation, given, 1)

    pool.run(transformation, given, 1)
    [process] = psutil.Process().children()
    rounds = [_measured(call, process) for _ in range(ROUNDS)]
    pool.close()
    service, worker, wall = (
        median(each) / (calls * records) * 1e6 for each in zip(*rounds, strict=True)
    )
    return service, worker, wall


def _measured(call: Callable[[], None], worker: psutil.Process) -> tuple[float, float, float]:
    own, other, wall = time.process_time(), _cpu(worker), time.perf_counter()
    call()
    return time.process_time() - own, _cpu(worker) - other, time.perf_counter() - wall


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
