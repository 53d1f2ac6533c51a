"""
Settings → stores, wired once per process. Never imports Spark; adapters load when first used.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tecton.locations import for_objects
from tecton.settings import Settings

if TYPE_CHECKING:
    from tecton.adapters.checkpoints import Checkpointer
    from tecton.adapters.documents import Documents
    from tecton.adapters.slots import WriterSlots
    from tecton.applied import WorkspaceState
    from tecton.functions.transformation import FunctionRunner
    from tecton.stores import (
        AccessStore,
        AuditLog,
        BatchLedger,
        Claims,
        DeltaLogs,
        Erasures,
        History,
        JobLauncher,
        OnlineStore,
        PushLog,
        PushTables,
        Registry,
        RequestStore,
        RunLog,
        TableCare,
    )


@dataclass(frozen=True)
class Backend:
    """The stores that one process works on."""

    settings: Settings

    @cached_property
    def place(self) -> str:
        """Where the store is, as delta-rs and obstore spell it."""
        return for_objects(self.settings.store)

    @cached_property
    def documents(self) -> Documents:
        """The JSON documents of the store."""
        from tecton.adapters.documents import Documents

        return Documents(self.place)

    @cached_property
    def registry(self) -> Registry:
        """What is applied."""
        from tecton.adapters.documents import DocumentRegistry

        return DocumentRegistry(self.documents)

    @cached_property
    def access(self) -> AccessStore:
        """Who may do what."""
        from tecton.adapters.documents import DocumentAccess

        return DocumentAccess(self.documents)

    def start_redis(self) -> None:
        """
        Start the embedded Redis if it is the one that is used and does not run.

        Raises:
            SettingsError: The URL of another Redis has an option that is wrong.
        """
        if self.settings.redis_url is None:
            from tecton.adapters.embedded_redis import EmbeddedRedis

            EmbeddedRedis(self.settings.store).start()
        else:
            # Connects to nothing yet, but reads the whole URL.
            _ = self.online

    @cached_property
    def redis_url(self) -> str:
        """Where Redis is; starts the embedded one if no other is set."""
        if self.settings.redis_url is not None:
            return self.settings.redis_url
        from tecton.adapters.embedded_redis import EmbeddedRedis

        return EmbeddedRedis(self.settings.store).start()

    @cached_property
    def online(self) -> OnlineStore:
        """The online store."""
        from tecton.adapters.redis_online import RedisOnlineStore

        return RedisOnlineStore.connect(self.redis_url)

    @cached_property
    def checkpointer(self) -> Checkpointer:
        """What writes the push tables' checkpoints."""
        from tecton.adapters.checkpoints import Checkpointer

        return Checkpointer()

    @cached_property
    def requests(self) -> RequestStore:
        """What is remembered of requests."""
        from tecton.adapters.redis_requests import RedisRequestStore

        return RedisRequestStore.connect(self.redis_url)

    def take_writer_slots(self) -> WriterSlots:
        """The push-table slot that this process shall write, and more if it has to move on."""
        from tecton.adapters.redis_slots import RedisSlotClaims
        from tecton.adapters.slots import WriterSlots

        claims = RedisSlotClaims.connect(self.redis_url)
        return WriterSlots(self.settings.store, self.settings.writer, claims)

    @cached_property
    def push_tables(self) -> PushTables:
        """What all writers have logged."""
        from tecton.adapters.push_tables import DeltaPushTables

        return DeltaPushTables(self.place)

    def open_push_log(self, state: WorkspaceState, writer: int) -> PushLog:
        """Take over the push table of one writer slot."""
        from tecton.adapters.push_log import DeltaPushLog

        return DeltaPushLog.open(self.place, state, writer, self.checkpointer)

    @cached_property
    def delta_logs(self) -> DeltaLogs:
        """What the transaction logs of the store's tables say."""
        from tecton.adapters.delta_logs import StoreDeltaLogs

        return StoreDeltaLogs(self.place)

    @cached_property
    def care(self) -> TableCare:
        """What keeps the store's tables small."""
        from tecton.adapters.maintenance import DeltaCare

        return DeltaCare(self.place)

    @cached_property
    def erasures(self) -> Erasures:
        """Which join keys were erased."""
        from tecton.adapters.erasures import DeltaErasures

        return DeltaErasures(self.place, self.functions)

    @cached_property
    def runs(self) -> RunLog:
        """What materialisation jobs have done and do."""
        from tecton.adapters.runs import DeltaRunLog

        return DeltaRunLog(self.place)

    @cached_property
    def claims(self) -> Claims:
        """Who does what now."""
        from tecton.adapters.claims import DocumentClaims

        return DocumentClaims(self.documents)

    @cached_property
    def ledger(self) -> BatchLedger:
        """Up to which job's rows the online store was filled."""
        from tecton.adapters.batch_ledger import DocumentLedger

        return DocumentLedger(self.documents)

    @cached_property
    def audit(self) -> AuditLog:
        """Who did what."""
        from tecton.adapters.audit import DeltaAuditLog

        return DeltaAuditLog(self.place)

    @cached_property
    def history(self) -> History:
        """What is kept of views outside the online store."""
        from tecton.adapters.history import DeltaHistory

        return DeltaHistory(self.place, self.functions)

    @cached_property
    def functions(self) -> FunctionRunner:
        """What runs the functions of views; its processes start with the first record."""
        from tecton.functions.transformation import NoFunctions

        if not self.settings.functions:
            return NoFunctions()
        from tecton.adapters.function_pool import FunctionPool

        return FunctionPool(self.settings.function_workers, self.settings.function_timeout)

    @cached_property
    def launcher(self) -> JobLauncher:
        """Where jobs run."""
        from tecton.adapters.launchers.local import LocalLauncher

        settings = self.settings
        return LocalLauncher(settings.spark_memory, packages=settings.spark_packages)


def open_online(redis_url: str) -> OnlineStore:
    """
    The online store at a known place, for the processes of a job that have nothing else.

    Args:
        redis_url: What `Backend.redis_url` of the job's driver says.
    """
    return Backend(Settings(store="", redis_url=redis_url)).online


def whoami(environ: Mapping[str, str]) -> str:
    """User, host and process, for people who read who does what."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # Containers run under ids that no table knows.
        user = environ.get("USER") or f"uid {os.getuid()}"
    return f"{user} on {socket.gethostname()}, process {os.getpid()}"
