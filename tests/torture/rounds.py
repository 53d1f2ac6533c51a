"""
A round: its plan from a seed, its play, its result.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tecton.errors import TectonError
from tests.torture.checker import Checker, Kind, Violation
from tests.torture.dying import Death
from tests.torture.faults import FAST, FAULTS, SLOW, Fault, Play
from tests.torture.history import Outcome
from tests.torture.load import Client, Shape
from tests.torture.stage import Stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SLOW_EVERY = 24
"""Of so many rounds one has a job that dies: a JVM takes ten seconds."""

SETTLE_SECONDS = 40.0
"""After a fault, until everything is as if it had never been."""


class Plan(NamedTuple):
    """What happens in a round; the same for the same seed.

    Args:
        seed: Of the round.
        fault: What goes wrong.
        death: Where a process ends.
        services: How many.
        clients: How many.
        shape: What each of them does.
        is_redis_kept: Does Redis keep what it has when it is killed?
        is_framed: Are training frames looked at, too?
    """

    seed: int
    fault: Fault
    death: Death | None
    services: int
    clients: int
    shape: Shape
    is_redis_kept: bool
    is_framed: bool

    def __str__(self) -> str:
        death = f" (time {self.death.number})" if self.death else ""
        services = "2 services" if self.services == 2 else "1 service"
        return f"{self.fault.name}{death}, {services}, {self.clients} clients"


class Result(NamedTuple):
    """What became of a round.

    Args:
        plan: The plan.
        has_happened: Did the fault come to pass?
        requests: How many ended how.
        attempts: How often one was sent.
        acknowledged: Records.
        readings: How many were answered.
        violations: What must not be.
        notes: What people may want to know.
        seconds: How long it took.
        folder: Where stores and logs are, if something was wrong.
    """

    plan: Plan
    has_happened: bool
    requests: Counter[Outcome]
    attempts: int
    acknowledged: int
    readings: int
    violations: Sequence[Violation]
    notes: Sequence[str]
    seconds: float
    folder: Path | None

    def count(self, kind: Kind) -> int:
        """How much is wrong in one way."""
        return sum(violation.kind is kind for violation in self.violations)


def plan_of(seed: int, only: str | None = None, is_short: bool = False, frames: int = 0) -> Plan:
    """
    The plan of a seed.

    Args:
        seed: Any number.
        only: The name of the fault; default: faults take turns.
        is_short: Play less.
        frames: In one of so many rounds training frames are looked at; 0: in none but those that
            need Spark anyway.
    """
    rng = random.Random(f"plan {seed}")
    fault = FAULTS[only] if only else _turn(seed)
    death = Death(fault.point, rng.randint(1, fault.most)) if fault.point else None
    size = 12 if is_short else 30
    shape = Shape(
        requests=rng.randint(size, 2 * size),
        most=rng.choice([1, 3, 8]),
        big=rng.choice([0, 100, 400]),
        is_patient=rng.random() < 0.8,
        pause=0.2 if fault.needs_spark else rng.choice([0, 0, 0.01]),
    )
    return Plan(
        seed=seed,
        fault=fault,
        death=death,
        services=rng.choice(fault.services),
        clients=rng.randint(2, 4),
        shape=shape,
        is_redis_kept=rng.choice(fault.kept),
        is_framed=fault.needs_spark or (frames > 0 and seed % frames == 0),
    )


def play(plan: Plan, spark: Callable[[], SparkSession] | None, is_kept: bool = False) -> Result:
    """
    Play a round and check it.

    Args:
        plan: What happens.
        spark: Gives the session; None: a plan that needs it must not be played.
        is_kept: Keep stores and logs also if nothing is wrong.
    """
    began = time.monotonic()
    rng = random.Random(f"play {plan.seed}")
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{plan.seed}-"))
    users = [f"c{client}-{number}" for client in range(plan.clients) for number in range(2)]
    stage = Stage(
        folder / "round",
        plan.services,
        plan.is_redis_kept,
        plan.fault.disk_bytes,
        [*users, "shared-0", "shared-1"],
        60 if plan.fault.needs_spark else 0,
        rng,
    )
    played = Play(stage, _clients(stage, plan), rng, plan.death, plan.fault.job)
    is_kept_in_the_end, has_happened = True, False
    try:
        has_happened = _play(played, plan, spark)
        played.violations += _check(played, plan, spark)
        is_kept_in_the_end = is_kept or bool(played.violations)
    except (AssertionError, TectonError) as exc:
        # Something was waited for in vain, or a store does not answer when all is at rest.
        played.violations.append(Violation(Kind.DIVERGED, f"the round broke off: {exc}"))
    finally:
        for client in played.clients:
            client.give_up()
        stage.close(is_kept_in_the_end)
        if not is_kept_in_the_end:
            shutil.rmtree(folder)
    histories = [client.history for client in played.clients]
    requests = [request for history in histories for request in history.requests]
    return Result(
        plan,
        has_happened,
        Counter(request.outcome for request in requests),
        sum(len(request.attempts) for request in requests),
        sum(1 for history in histories for _ in history.acknowledged()),
        sum(reading.status == 200 for history in histories for reading in history.readings),
        played.violations,
        played.notes,
        time.monotonic() - began,
        folder if is_kept_in_the_end else None,
    )


def _turn(seed: int) -> Fault:
    if seed % SLOW_EVERY == SLOW_EVERY - 1:
        return SLOW[seed // SLOW_EVERY % len(SLOW)]
    return FAST[(seed - seed // SLOW_EVERY) % len(FAST)]


def _clients(stage: Stage, plan: Plan) -> list[Client]:
    return [
        Client(stage, number, plan.shape, random.Random(f"client {plan.seed} {number}"))
        for number in range(plan.clients)
    ]


def _play(played: Play, plan: Plan, spark: Callable[[], SparkSession] | None) -> bool:
    """Load and fault, until all is at rest again; answers whether the fault came to pass."""
    stage, fault = played.stage, plan.fault
    if fault.prefilled:
        played.prefilled += stage.fill_log(fault.prefilled)
    if fault.job == "frontfill":
        _run_due(stage, spark)
    stage.start(_deaths(stage, plan))
    for client in played.clients:
        client.start()
    has_happened = fault.act(played)
    if not _end(played.clients):
        played.violations.append(Violation(Kind.DIVERGED, "requests are not answered any more"))
    if fault.needs_spark:
        _run_due(stage, spark)
    stage.revive()
    if not _settle(stage):
        played.violations.append(Violation(Kind.DIVERGED, "the services do not come to rest"))
    return has_happened


def _deaths(stage: Stage, plan: Plan) -> dict[int, Death]:
    """Which services end, or end Redis, by themselves."""
    if plan.death is None or plan.fault.job:
        return {}
    server = stage.redis.process
    victim = server.pid if server and plan.fault.is_redis else 0
    return {0: plan.death._replace(victim=victim)}


def _run_due(stage: Stage, spark: Callable[[], SparkSession] | None) -> None:
    from tests.torture.frames import run_due

    assert spark is not None, "the plan needs Spark"
    run_due(stage, spark())


def _end(clients: Sequence[Client]) -> bool:
    """Let clients end; answers whether they have."""
    end = time.monotonic() + SETTLE_SECONDS
    for client in clients:
        client.join(max(0, end - time.monotonic()))
    return not any(client.is_alive() for client in clients)


def _settle(stage: Stage) -> bool:
    """Let services make up for everything; answers whether they have."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        if all(s.get("/readyz") == 200 for s in stage.services) and stage.is_settled():
            return True
        time.sleep(0.05)  # between two looks; what counts is the condition
    return False


def _check(
    played: Play, plan: Plan, spark: Callable[[], SparkSession] | None
) -> Iterator[Violation]:
    histories = [client.history for client in played.clients]
    checker = Checker(played.stage, histories, played.prefilled, plan.fault.trust)
    yield from checker.violations(played.rng)
    if plan.is_framed and spark is not None:
        from tests.torture.frames import frame_violations

        yield from frame_violations(played.stage, spark(), checker, played.rng)
