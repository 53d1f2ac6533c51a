"""
What a round is played on: a store, a Redis, one or two services, and jobs beside them.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tecton.access import Grant, ServiceAccount, new_key
from tecton.adapters.documents import DocumentAccess, DocumentRegistry, Documents
from tecton.applied import push_log_name
from tecton.bootstrap import Backend
from tecton.errors import StoreUnavailable
from tecton.rows import canonical
from tecton.settings import Settings
from tecton.stores import BACKFILL, LogEntry, Run
from tecton.timestamps import from_micros, micros_of
from tests.ports import free_port
from tests.redis_servers import RedisServer
from tests.running import ROOT, wait_for
from tests.torture.clock import WoundClock
from tests.torture.definitions import EVENTS, Sent, build
from tests.torture.disk import Disk
from tests.torture.dying import Death
from tests.torture.service import CLOCK

JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For a JVM that lives for seconds."""

BATCH_N = 10**9
"""The values of batch rows begin here."""

_KEPT = ("--appendonly", "yes", "--appendfsync", "everysec")


class Service:
    """One service process and its clock."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.number = number
        self._stage = stage
        self.port = free_port()
        file = stage.folder / f"clock-{number}"
        self.clock = WoundClock(file)
        self._variables = {CLOCK: str(file)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it says."""
        return self._stage.folder / f"service-{self.number}.log"

    def launch(self, death: Death | None = None) -> None:
        """Start the process, without waiting for it."""
        environ = {**self._stage.environ, **self._variables, **(death.environ() if death else {})}
        command = [sys.executable, "-m", "tests.torture.service", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self) -> None:
        """Return when it is ready; it may also have ended."""
        wait_for(lambda: self.get("/readyz") == 200 or not self.is_alive, f"service {self.number}")

    def kill(self) -> None:
        """End it and all of its children at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def is_alive(self) -> bool:
        """Does the process run?"""
        return self._process is not None and self._process.poll() is None

    @property
    def processes(self) -> Sequence[psutil.Process]:
        """The process and its children."""
        if self._process is None:
            return ()
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        return ()

    def get(self, path: str) -> int | None:
        """The status of a GET; None: nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


class Stage:
    """A store with a workspace, and a Redis.

    Args:
        folder: Where all of it is kept.
        services: How many.
        is_redis_kept: Does Redis keep what it has when it is killed?
        disk_bytes: How large the store's disk is; None: as large as the machine's.
        users: The join keys.
        batch_rows: How many batch rows the source `events` has; then no view is loaded yet.
    """

    def __init__(
        self,
        folder: Path,
        services: int,
        is_redis_kept: bool,
        disk_bytes: int | None,
        users: Sequence[str],
        batch_rows: int,
        rng: random.Random,
    ) -> None:
        self.folder = folder
        self.users = users
        folder.mkdir(parents=True)
        self.disk = Disk(folder / "disk", disk_bytes)
        self.store = self.disk.folder / "store"
        self.batch: list[Sent] = []
        batch = self._write_batch(batch_rows, rng) if batch_rows else None
        self.state = build(batch)
        documents = Documents(str(self.store))
        DocumentRegistry(documents).commit(self.state)
        self.key = _account(DocumentAccess(documents))
        self.redis = RedisServer(*(_KEPT if is_redis_kept else ()))
        self.backend = Backend(Settings(store=str(self.store), redis_url=self.redis.url))
        if not batch_rows:
            self._mark_loaded()
        self.services = [Service(self, number) for number in range(services)]

    @property
    def environ(self) -> Mapping[str, str]:
        """What every process of the round is started with."""
        return {
            **os.environ,
            "TECTON_STORE": str(self.store),
            "TECTON_REDIS_URL": self.redis.url,
            "PYSPARK_PYTHON": sys.executable,
            "JDK_JAVA_OPTIONS": JAVA_OPTIONS,
        }

    def start(self, deaths: Mapping[int, Death]) -> None:
        """Start all services, some of them to end at a point."""
        for service in self.services:
            service.launch(deaths.get(service.number))
        for service in self.services:
            service.wait_ready()

    def revive(self) -> None:
        """Start every service that does not run."""
        for service in self.services:
            if not service.is_alive:
                service.launch()

    def job(self, *arguments: str, death: Death | None = None) -> subprocess.Popen[bytes]:
        """Start a job."""
        environ = {**self.environ, **(death.environ() if death else {})}
        command = [sys.executable, "-m", "tests.torture.job", *arguments]
        with (self.folder / "jobs.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
            )

    def is_settled(self) -> bool:
        """Does Redis hold every view, and all that any writer has logged?"""
        online, tables, state = self.backend.online, self.backend.push_tables, self.state
        try:
            return not online.unloaded([view.id for view in state.views]) and all(
                online.applied_batch(push_log_name(state, writer))
                >= tables.last_batch(state, writer)
                for writer in tables.writers(state)
            )
        except StoreUnavailable:
            return False

    def fill_log(self, batches: int) -> list[Sent]:
        """Commit batches of one record to slot 0 without a service, and offer them to nobody."""
        log = self.backend.open_push_log(self.state, 0)
        source = self.state.source_by_name[EVENTS]
        now = datetime.now(timezone.utc)
        sent = []
        for number in range(batches):
            at = micros_of(now) - number * 10**6
            record = Sent(EVENTS, self.users[number % len(self.users)], at, BATCH_N * 2 + number)
            values = {"user_id": record.user, "timestamp": from_micros(at), "n": record.n}
            body = msgspec.json.encode(canonical(source.fields, values))
            sequence = micros_of(now) + number
            log.append([LogEntry(source.id, sequence, log.last_batch + 1, 1, body)], now)
            sent.append(record)
        log.close()
        return sent

    def close(self, is_kept: bool) -> None:
        """End everything; keep the files if somebody wants to look at them."""
        for service in self.services:
            service.kill()
        if is_kept:
            self.redis.stop()
        else:
            self.redis.remove()
        self.disk.close(is_kept)
        if not is_kept:
            shutil.rmtree(self.folder)

    def _mark_loaded(self) -> None:
        """As a backfill of nothing does."""
        views, now = self.state.views, datetime.now(timezone.utc)
        self.backend.online.mark_loaded([view.id for view in views])
        for view in views:
            run = Run(self.state.folder, view.name, view.id, BACKFILL, now, now, now, now, "")
            self.backend.runs.record(run)

    def _write_batch(self, count: int, rng: random.Random) -> Path:
        """Batch rows of yesterday."""
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        for number in range(count):
            # No two at the same time.
            at = micros_of(midnight) - 1 - rng.randrange(15 * 3600) * 10**6 - number
            self.batch.append(Sent(EVENTS, rng.choice(self.users), at, BATCH_N + number))
        path = self.folder / "batch.parquet"
        rows = pa.table(
            {
                "user_id": pa.array([row.user for row in self.batch], pa.string()),
                "timestamp": pa.array([row.timestamp for row in self.batch], pa.int64()).cast(
                    pa.timestamp("us", "UTC")
                ),
                "n": pa.array([row.n for row in self.batch], pa.int64()),
            }
        )
        pq.write_table(rows, path)
        return path


def _account(access: DocumentAccess) -> str:
    """The API key of a new service account that may do anything."""
    made, now = new_key(), datetime.now(timezone.utc)
    account = ServiceAccount(
        id=made.account_id, name="torture", secret_sha256=made.secret_sha256, created_at=now
    )
    state = access.latest()
    access.commit(
        msgspec.structs.replace(
            state,
            version=state.version + 1,
            accounts=(account,),
            grants=(Grant(made.account_id, "admin", None),),
        )
    )
    return made.api_key
