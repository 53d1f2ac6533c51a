"""
Worker processes that run the functions of views, so that no function holds up the service.

They start with the first record that needs one. One that takes too long, or dies, is replaced;
what it was working on fails alone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from threading import Condition
from typing import Any

import msgspec

from tecton.errors import FunctionStopped, FunctionsUnavailable, RateLimited
from tecton.functions.transformation import Failure, Outcome, Row, Transformation
from tecton.functions.worker import LENGTH, Request, decode_reply, framed

CHUNK = 500
"""Records that a worker gets at once."""
WAIT_SECONDS = 10.0
"""How long a request waits for a free worker."""
MAX_WAITING = 32
"""Requests that wait for one; the service's other threads are for requests that need none."""
LOADING_SECONDS = 60.0
"""How long running a function's text may take: it may import much."""
SHARE = 30
"""A view's records of one request may take so many times what one may."""
GRACE_SECONDS = 2.0
"""How much later than by its own alarm a worker is ended from outside."""
KNOWN = 500
"""Functions that a worker knows before it is replaced: applied again and again, they pile up."""


class FunctionPool:
    """`FunctionRunner` by processes of this host.

    Args:
        size: How many run at once.
        timeout: How long one record may take.
    """

    def __init__(self, size: int, timeout: timedelta) -> None:
        self._size = size
        self._seconds = timeout.total_seconds()
        self._idle: list[_Worker] = []
        self._started = 0
        self._waiting = 0
        self._is_closed = False
        self._freed = Condition()

    def run(
        self, transformation: Transformation, records: Sequence[Mapping[str, Any]], patience: float
    ) -> Sequence[Outcome]:
        """Run a function on records, in a worker."""
        outcomes: list[Outcome] = []
        seconds = self._seconds * patience
        ends = time.monotonic() + seconds * SHARE
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            outcomes += self._run_chunk(transformation, chunk, seconds, ends)
        return outcomes

    def close(self) -> None:
        """End the workers that have nothing to do, and the others when they have done it."""
        with self._freed:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _run_chunk(
        self,
        transformation: Transformation,
        records: Sequence[Mapping[str, Any]],
        seconds: float,
        ends: float,
    ) -> Sequence[Outcome]:
        worker = self._take(transformation.view)
        is_well = False
        try:
            outcomes = worker.ask(transformation, records, seconds, ends)
            is_well = True
        except _Stopped as exc:
            raise FunctionStopped(transformation.view, exc.reason) from None
        finally:
            self._give_back(worker, is_well)
        return outcomes

    def _take(self, view: str) -> _Worker:
        """A free worker, a new one if there may be more."""
        with self._freed:
            if not self._wait():
                raise RateLimited(
                    f"all {self._size} processes for functions are at work, and others wait for "
                    f"one; send the records for Feature View {view} again"
                )
            if self._idle:
                # The one that was used last knows most.
                return self._idle.pop()
            self._started += 1
        try:
            return _Worker()
        except OSError:
            self._forget()
            raise

    def _wait(self) -> bool:
        """Wait until there is a worker or may be a new one; False: not now."""
        if self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        try:
            return bool(
                self._freed.wait_for(lambda: self._idle or self._started < self._size, WAIT_SECONDS)
            )
        finally:
            self._waiting -= 1

    def _give_back(self, worker: _Worker, is_well: bool) -> None:
        is_kept = is_well and not worker.is_full
        if not is_kept or self._is_closed:
            worker.end()
        if self._is_closed:
            return
        try:
            # The next request finds one that is up already.
            given = worker if is_kept else _Worker()
        except OSError:
            self._forget()
            return
        with self._freed:
            self._idle.append(given)
            self._freed.notify()

    def _forget(self) -> None:
        with self._freed:
            self._started -= 1
            self._freed.notify()


class _Stopped(Exception):
    """A worker has not answered."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def _environment() -> dict[str, str]:
    """What a worker is told: not where the stores are, nor their passwords, nor API keys."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TECTON_")}
    # As on Spark's executors: sets of strings have one order everywhere.
    return {**inherited, "PYTHONHASHSEED": "0"}


class _Worker:
    """One process; used by one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # our own module
            [sys.executable, "-m", "tecton.functions.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101  # both were asked for
        assert self._process.stdout is not None  # noqa: S101
        self._into, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._into, False)
        self._numbers: dict[bytes, int] = {}

    @property
    def is_full(self) -> bool:
        """Does it know so many functions that a new one is better?"""
        return len(self._numbers) >= KNOWN

    def ask(
        self,
        transformation: Transformation,
        records: Sequence[Mapping[str, Any]],
        seconds: float,
        ends: float,
    ) -> Sequence[Outcome]:
        """The outcomes of records; raises `_Stopped` and `FunctionsUnavailable`."""
        key = msgspec.msgpack.encode(transformation)
        loading = 0.0 if key in self._numbers else LOADING_SECONDS
        number = self._numbers.setdefault(key, len(self._numbers))
        request = Request(
            number=number,
            seconds=seconds,
            records=[dict(record) for record in records],
            transformation=transformation if loading else None,
            loading=loading,
        )
        # The worker's own alarm comes first; this is for one that cannot be reached by it.
        alarms = time.monotonic() + seconds * len(records) + GRACE_SECONDS
        limit = min(ends, alarms) + loading
        try:
            self._write(framed(request), limit)
            [length] = LENGTH.unpack(self._read(LENGTH.size, limit))
            reply = decode_reply(self._read(length, limit))
        except TimeoutError:
            raise _Stopped("took too long for the records of one request") from None
        except (EOFError, OSError):
            raise _Stopped(self._reason(seconds)) from None
        if isinstance(reply, str):
            raise FunctionsUnavailable(transformation.view, reply)
        return [_outcome(one) for one in reply]

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _reason(self, seconds: float) -> str:
        """Why the process is gone."""
        try:
            code = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code == -signal.SIGALRM:
            return f"took longer than {seconds:g} s for one record"
        if code < 0:
            return f"ended its process by signal {-code} ({signal.Signals(-code).name})"
        return f"ended its process with exit code {code}"

    def _write(self, message: bytes, limit: float) -> None:
        rest = memoryview(message)
        while rest:
            _await(self._into, select.POLLOUT, limit)
            rest = rest[os.write(self._into, rest) :]

    def _read(self, length: int, limit: float) -> bytes:
        parts = []
        while length:
            _await(self._out, select.POLLIN, limit)
            part = os.read(self._out, min(length, _READ_BYTES))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


_READ_BYTES = 2**20


def _await(file: int, event: int, limit: float) -> None:
    """Return when a pipe is ready, or raise `TimeoutError`."""
    poll = select.poll()
    poll.register(file, event)
    if not poll.poll(max(0.0, limit - time.monotonic()) * 1000):
        raise TimeoutError


def _outcome(reply: list[list[Any]] | Failure) -> Outcome:
    if isinstance(reply, Failure):
        return reply
    return [Row(row[0], row[1:]) for row in reply]
