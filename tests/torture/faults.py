"""
What goes wrong in a round. Each fault says what it needs, does it, and puts it right again.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Thread

import redis

from tecton.applied import push_path
from tecton.errors import WriterFenced
from tecton.failpoints import Point
from tests.running import PATIENCE
from tests.torture.checker import Kind, Trust, Violation
from tests.torture.definitions import WORKSPACE, Sent
from tests.torture.dying import Death
from tests.torture.load import Client
from tests.torture.stage import Service, Stage

POLL = 0.005
JOB_PATIENCE = 240.0


@dataclass
class Play:
    """A round under way.

    Args:
        stage: Where it is played.
        clients: Who send.
        rng: Decides what the plan leaves open.
        death: Where the first service or the job ends, if the fault is such a one.
        job: Which job it is.
        prefilled: What was in the push tables before.
        notes: What people may want to know.
        violations: What must not be.
    """

    stage: Stage
    clients: Sequence[Client]
    rng: random.Random
    death: Death | None
    job: str
    prefilled: list[Sent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    @property
    def victim(self) -> Service:
        """The service that suffers."""
        return self.stage.services[0]

    @property
    def is_sending(self) -> bool:
        """Is any client still at work?"""
        return any(client.is_alive() for client in self.clients)

    def wait_for_part(self, part: float) -> None:
        """Return when clients are done with so much of what they do."""
        total = sum(client.total for client in self.clients)
        self.wait(lambda: sum(client.done for client in self.clients) >= part * total)

    def wait(
        self, condition: Callable[[], bool], patience: float = PATIENCE, after_load: bool = False
    ) -> bool:
        """
        Return when something is so; answers whether it is.

        What no client can bring about any more is not waited for, unless with *after_load*.
        """
        end = time.monotonic() + patience
        while not (is_so := condition()) and time.monotonic() < end:
            if not (after_load or self.is_sending):
                break
            time.sleep(POLL)
        return is_so

    def pause(self, least: float, most: float) -> None:
        """Let some time go by."""
        time.sleep(self.rng.uniform(least, most))

    def restart(self, death: Death | None = None) -> None:
        """Start the victim again, if need be after ending it."""
        self.victim.kill()
        self.victim.launch(death)
        self.victim.wait_ready()


Act = Callable[[Play], bool]
"""Does it; answers whether it came to pass."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Args:
        name: For people and `--only`.
        act: Does it, while clients send.
        point: Where the first service, or the job, ends.
        most: At which time it is there at most.
        services: How many there may be.
        kept: Whether Redis keeps what it has when it is killed; one of them.
        trust: What may be asked of what clients saw.
        disk_bytes: The store has a disk of its own.
        prefilled: Batches that are in the push table before.
        job: The job that ends at the point, instead of a service.
        is_redis: Redis ends when the first service is at the point.
    """

    name: str
    act: Act
    point: Point | None = None
    most: int = 15
    services: tuple[int, ...] = (1, 2)
    kept: tuple[bool, ...] = (True,)
    trust: Trust = Trust()  # noqa: RUF009  # immutable
    disk_bytes: int | None = None
    prefilled: int = 0
    job: str = ""
    is_redis: bool = False

    @property
    def needs_spark(self) -> bool:
        """Is it a job of Spark that ends? Then there are batch rows, too."""
        return self.job in ("backfill", "frontfill")


def service_dies_at_a_point(play: Play) -> bool:
    """The first service ends by itself; another one may take over what it left."""
    if not play.wait(lambda: not play.victim.is_alive):
        return False
    if len(play.stage.services) > 1 and play.rng.random() < 0.5:
        play.notes.append("rescued")
        if not _is_rescued(play):
            play.violations.append(Violation(Kind.LOST, "nobody has served a dead writer's tail"))
    else:
        play.pause(0, 0.3)
    play.restart()
    return True


def _is_rescued(play: Play) -> bool:
    """Has the other service offered Redis all that the dead one had logged?"""
    end = time.monotonic() + PATIENCE
    while not (is_settled := play.stage.is_settled()) and time.monotonic() < end:
        time.sleep(0.05)  # between two looks
    return is_settled


def service_dies_in_the_script(play: Play) -> bool:
    """Redis has been sent a script, executes it, and nobody reads the answer."""
    play.wait_for_part(play.rng.uniform(0.2, 0.6))
    play.stage.redis.freeze()
    play.pause(0.02, 0.2)
    play.victim.kill()
    play.stage.redis.thaw()
    play.restart()
    return True


def service_dies_at_any_moment(play: Play) -> bool:
    """Once or twice; of two services maybe both."""
    for part in (0.3, 0.6)[: play.rng.randint(1, 2)]:
        play.wait_for_part(part)
        play.pause(0, 0.05)
        victims = play.stage.services[: play.rng.randint(1, 2)]
        for service in victims:
            service.kill()
        for service in victims:
            service.launch()
        for service in victims:
            service.wait_ready()
    return True


def service_dies_in_a_replay(play: Play) -> bool:
    """The service that is started after a crash ends while it makes up for that."""
    if not play.wait(lambda: not play.victim.is_alive):
        return False
    play.restart(Death(Point.REPLAY, 1))
    has_died = not play.victim.is_alive
    play.restart()
    return has_died


def service_dies_in_a_reload(play: Play) -> bool:
    """Redis is emptied, and the service ends while it fills it again."""
    play.wait_for_part(0.4)
    _flush(play.stage)
    # The service fills it by itself, maybe when the last request has been answered.
    has_died = play.wait(lambda: not play.victim.is_alive, 10, after_load=True)
    if has_died:
        play.restart()
    return has_died


def service_dies_in_a_checkpoint(play: Play) -> bool:
    """With the process beside it that writes the checkpoint."""
    log = Path(play.stage.store, push_path(play.stage.state), "0", "_delta_log")
    is_begun = play.wait(lambda: any("checkpoint" in path.name for path in log.iterdir()))
    play.victim.kill()
    play.restart()
    return is_begun


def maintenance_dies(play: Play) -> bool:
    """Beside a service that writes; then it is run again."""
    play.wait_for_part(0.3)
    first = _ended(play.stage.job(play.job, WORKSPACE, death=play.death))
    again = _ended(play.stage.job(play.job, WORKSPACE))
    if again != 0:
        text = f"maintenance that is run again ends with exit code {again}"
        play.violations.append(Violation(Kind.DIVERGED, text))
    return first == -signal.SIGKILL


def redis_is_killed(play: Play) -> bool:
    """And started again, with what it had kept or empty."""
    play.wait_for_part(play.rng.uniform(0.2, 0.6))
    play.stage.redis.stop()
    play.pause(0.05, 0.5)
    play.stage.redis.start()
    return True


def redis_dies_at_a_point(play: Play) -> bool:
    """When a service has logged what it has not offered."""
    server = play.stage.redis
    has_died = play.wait(lambda: server.process is None or server.process.poll() is not None)
    server.stop()
    play.pause(0, 0.3)
    server.start()
    return has_died


def redis_is_killed_in_a_script(play: Play) -> bool:
    """A slow script holds up all others, and none of them is ever answered."""
    play.wait_for_part(play.rng.uniform(0.2, 0.6))
    slow = Thread(target=_run_slow_script, args=(play.stage,), daemon=True)
    slow.start()
    play.pause(0.05, 0.3)
    play.stage.redis.stop()
    slow.join()
    play.stage.redis.start()
    return True


def redis_is_frozen(play: Play) -> bool:
    """For a moment, or longer than anybody waits."""
    play.wait_for_part(play.rng.uniform(0.2, 0.6))
    play.stage.redis.freeze()
    play.pause(0.1, 1) if play.rng.random() < 0.8 else play.pause(5.5, 6.5)
    play.stage.redis.thaw()
    return True


def redis_is_emptied(play: Play) -> bool:
    """FLUSHALL, once or twice."""
    for part in (0.3, 0.6)[: play.rng.randint(1, 2)]:
        play.wait_for_part(part)
        _flush(play.stage)
    return True


def redis_is_restored(play: Play) -> bool:
    """From a snapshot that is older than what was acknowledged since."""
    play.wait_for_part(play.rng.uniform(0.1, 0.3))
    with play.stage.redis.admin as client:
        client.save()
    play.wait_for_part(0.6)
    play.stage.redis.stop()
    play.stage.redis.start()
    return True


def disk_is_full(play: Play) -> bool:
    """For a while; then there is room again."""
    play.wait_for_part(play.rng.uniform(0.2, 0.4))
    stage = play.stage
    before = _unavailable(play)
    processes = [process for service in stage.services for process in service.processes]
    stage.disk.fill(processes, play.rng.choice([0, 4096, 12288]))
    has_shown = play.wait(lambda: _unavailable(play) > before, 10)
    play.pause(0, 0.5)
    stage.disk.free(processes)
    if not stage.disk.is_mounted:
        play.notes.append("by a bound on file sizes: this process may mount nothing")
    return has_shown


def clock_goes_back(play: Play) -> bool:
    """Minutes ahead, then minutes behind, then right again; of every service or of one."""
    services = play.stage.services[: play.rng.randint(1, 2)]
    for part, least, most in ((0.2, 0, 9), (0.4, -9, 0), (0.6, -40, -9), (0.8, 0, 0)):
        play.wait_for_part(part)
        for service in services:
            service.clock.wind(timedelta(minutes=play.rng.uniform(least, most)))
    return True


def clocks_differ_and_redis_is_emptied(play: Play) -> bool:
    """Two services minutes apart, and nothing left that told them who was first."""
    first, second = play.stage.services
    first.clock.wind(timedelta(minutes=play.rng.uniform(0, 5)))
    second.clock.wind(timedelta(minutes=play.rng.uniform(-5, 0)))
    play.wait_for_part(0.5)
    _flush(play.stage)
    play.wait_for_part(0.8)
    for service in play.stage.services:
        service.clock.wind(timedelta(0))
    return True


def slot_is_taken(play: Play) -> bool:
    """Another host's process takes over the push table that the service writes."""
    play.wait_for_part(play.rng.uniform(0.2, 0.6))

    def has_taken() -> bool:
        # A record that comes in between keeps the slot with its owner.
        with suppress(WriterFenced):
            play.stage.backend.open_push_log(play.stage.state, 0).close()
            return True
        return False

    return play.wait(has_taken)


def job_dies(play: Play) -> bool:
    """Beside services and their load; it is run again when the load is over."""
    job = play.stage.job(play.job, "--workspace", WORKSPACE, death=play.death)
    return _ended(job) == -signal.SIGKILL


def _flush(stage: Stage) -> None:
    with stage.redis.admin as client:
        client.flushall()


def _run_slow_script(stage: Stage) -> None:
    script = "local n = 0 for i = 1, 1e8 do n = n + i end return n"
    with suppress(redis.RedisError), stage.redis.admin as client:
        client.eval(script, 0)


def _ended(job: subprocess.Popen[bytes]) -> int:
    try:
        return job.wait(JOB_PATIENCE)
    finally:
        job.kill()


def _unavailable(play: Play) -> int:
    """How many requests have been answered 503."""
    return sum(
        attempt.status == 503
        for client in play.clients
        for request in list(client.history.requests)
        for attempt in list(request.attempts)
    )


_DEATHS = (
    Point.VALIDATED,
    Point.QUEUED,
    Point.RESERVED,
    Point.PARQUET_WRITTEN,
    Point.BEFORE_LOG_ENTRY,
    Point.AFTER_LOG_ENTRY,
    Point.BEFORE_SCRIPT,
    Point.EVENTS_OFFERED,
    Point.AFTER_SCRIPT,
)
_STALE = Trust(reads=False, memory=False)

FAST = (
    *(Fault(f"kill: {point.value}", service_dies_at_a_point, point) for point in _DEATHS),
    Fault("kill: inside the Redis script", service_dies_in_the_script),
    Fault("kill: at any moment", service_dies_at_any_moment),
    Fault("kill: in a replay", service_dies_in_a_replay, Point.BEFORE_SCRIPT, services=(1,)),
    Fault(
        "kill: in a reload",
        service_dies_in_a_reload,
        Point.RELOAD,
        most=1,
        services=(1,),
        trust=Trust(memory=False),
    ),
    Fault(
        "kill: in the service's checkpoint",
        service_dies_in_a_checkpoint,
        services=(1,),
        prefilled=90,
    ),
    *(
        Fault(f"maintenance: {point.value}", maintenance_dies, point, 1, prefilled=12, job="care")
        for point in (
            Point.JOINED_WRITTEN,
            Point.JOINED,
            Point.BEFORE_CHECKPOINT,
            Point.AFTER_CHECKPOINT,
        )
    ),
    Fault("Redis: killed", redis_is_killed, kept=(True, False), trust=_STALE),
    Fault(
        "Redis: killed inside a script",
        redis_is_killed_in_a_script,
        kept=(True, False),
        trust=_STALE,
    ),
    *(
        Fault(
            f"Redis: killed {point.value}",
            redis_dies_at_a_point,
            point,
            kept=(True, False),
            trust=_STALE,
            is_redis=True,
        )
        for point in (Point.BEFORE_SCRIPT, Point.EVENTS_OFFERED)
    ),
    Fault("Redis: frozen", redis_is_frozen, trust=Trust(memory=False)),
    Fault("Redis: emptied", redis_is_emptied, trust=Trust(memory=False)),
    Fault("Redis: an old snapshot", redis_is_restored, kept=(False,), trust=_STALE),
    Fault("disk: full", disk_is_full, trust=Trust(serving=True), disk_bytes=24 * 2**20),
    Fault("clock: back", clock_goes_back, trust=Trust(statuses=False)),
    Fault(
        "clock: apart, and Redis emptied",
        clocks_differ_and_redis_is_emptied,
        services=(2,),
        trust=Trust(memory=False),
    ),
    Fault("slot: taken over", slot_is_taken),
)
"""Those that need no JVM."""

SLOW = (
    *(
        Fault(f"backfill: {point.value}", job_dies, point, most=most, job="backfill")
        for point, most in (
            (Point.LOAD_BEGUN, 3),
            (Point.BATCH_WRITTEN, 2),
            (Point.PUSHED_ADDED, 3),
            (Point.PUSHED_OFFERED, 3),
            (Point.LOADED, 3),
        )
    ),
    Fault("frontfill: pushed rows added", job_dies, Point.PUSHED_ADDED, most=3, job="frontfill"),
)
"""Those of jobs."""

FAULTS = {fault.name: fault for fault in (*FAST, *SLOW)}
