"""
The settings: every variable of the environment that the system reads, in one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tecton.errors import SettingsError

REPO_MARK = ".tecton"
"""The file that marks a feature repo's root."""

DEFAULT_STORE = ".tecton_store"
DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Settings:
    """What one process was told.

    Args:
        store: `TECTON_STORE`: an absolute path or a URI without a trailing slash.
        redis_url: `TECTON_REDIS_URL`; None: an embedded Redis for this store.
        writer: `TECTON_WRITER`: the first push-table slot to try.
        url: `TECTON_URL`: where clients find the service.
        api_key: `TECTON_API_KEY`: what clients send.
        workspace: `TECTON_WORKSPACE`: used where no `-w` is given.
        future_tolerance: `TECTON_FUTURE_TOLERANCE` in seconds: how far ahead of the clock an
            event timestamp may be.
        max_body_bytes: `TECTON_MAX_BODY_BYTES` of a request.
        max_records: `TECTON_MAX_RECORDS` of a request.
        max_queued_records: `TECTON_MAX_QUEUED_RECORDS` that may wait for the committer.
        requests_per_second: `TECTON_REQUESTS_PER_SECOND` of one API key; 0: any.
        records_per_second: `TECTON_RECORDS_PER_SECOND` of one API key; 0: any.
        spark_memory: `TECTON_SPARK_MEMORY`: heap of a local Spark driver.
    """

    store: str
    redis_url: str | None = None
    writer: int = 0
    url: str = DEFAULT_URL
    api_key: str | None = None
    workspace: str | None = None
    future_tolerance: timedelta = timedelta(minutes=10)
    max_body_bytes: int = 10 * 1024 * 1024
    max_records: int = 10_000
    max_queued_records: int = 50_000
    requests_per_second: int = 0
    records_per_second: int = 0
    spark_memory: str = "1g"

    @classmethod
    def from_env(cls, environ: Mapping[str, str], folder: Path) -> Settings:
        """
        Read the settings of a process.

        Args:
            environ: The environment.
            folder: The current folder; the default store is beside the nearest `.tecton` upwards.

        Raises:
            SettingsError: No store can be found, or a value is not what it should be.
        """
        return cls(
            store=_store(environ, folder),
            redis_url=environ.get("TECTON_REDIS_URL") or None,
            writer=_number(environ, "TECTON_WRITER", cls.writer),
            url=(environ.get("TECTON_URL") or cls.url).rstrip("/"),
            api_key=environ.get("TECTON_API_KEY") or None,
            workspace=environ.get("TECTON_WORKSPACE") or None,
            future_tolerance=timedelta(
                seconds=_number(
                    environ, "TECTON_FUTURE_TOLERANCE", int(cls.future_tolerance.total_seconds())
                )
            ),
            max_body_bytes=_number(environ, "TECTON_MAX_BODY_BYTES", cls.max_body_bytes),
            max_records=_number(environ, "TECTON_MAX_RECORDS", cls.max_records),
            max_queued_records=_number(
                environ, "TECTON_MAX_QUEUED_RECORDS", cls.max_queued_records
            ),
            requests_per_second=_number(environ, "TECTON_REQUESTS_PER_SECOND", 0),
            records_per_second=_number(environ, "TECTON_RECORDS_PER_SECOND", 0),
            spark_memory=environ.get("TECTON_SPARK_MEMORY") or cls.spark_memory,
        )

    @property
    def is_local(self) -> bool:
        """Is the store a folder of this machine?"""
        return "://" not in self.store and not self.store.startswith("dbfs:")

    def environ(self) -> dict[str, str]:
        """The variables that make another process work on the same stores."""
        variables = {"TECTON_STORE": self.store}
        if self.redis_url is not None:
            variables["TECTON_REDIS_URL"] = self.redis_url
        return variables


def find_repo(folder: Path) -> Path | None:
    """The root of the feature repo that *folder* is in: the nearest with a `.tecton` file."""
    for candidate in (folder, *folder.parents):
        if (candidate / REPO_MARK).is_file():
            return candidate
    return None


def _store(environ: Mapping[str, str], folder: Path) -> str:
    told = environ.get("TECTON_STORE")
    if told:
        if "://" in told or told.startswith("dbfs:"):
            return told.rstrip("/")
        return str((folder / told).resolve())
    root = find_repo(folder)
    if root is None:
        raise SettingsError(
            f"no store: {folder} is in no feature repo (no {REPO_MARK} file upwards) and the "
            "variable TECTON_STORE is not set; run `tecton init` or set TECTON_STORE to a folder "
            "or URI"
        )
    return str((root / DEFAULT_STORE).resolve())


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise SettingsError(f'{name} must be a whole number of 0 or more, not "{text}"')
    return int(text)
