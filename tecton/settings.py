"""
The settings: every variable of the environment that the system reads, in one value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from tecton.errors import SettingsError
from tecton.locations import SCHEMES_RULE, refusal
from tecton.redis_urls import node_urls

REPO_MARK = ".tecton"
"""The file that marks a feature repo's root."""

DEFAULT_STORE = ".tecton_store"
DEFAULT_URL = "http://127.0.0.1:8080"

_BUCKETS = ("s3", "s3a", "gs", "abfss", "abfs", "az")
_REMOTE_STORE = re.compile(rf"(?:{'|'.join(_BUCKETS)})://[^/\s\[\]]+(?:/.*)?|dbfs:/+[^/].*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_STORE_RULE = (
    "a folder, or a URI that begins with "
    f"{', '.join(f'{scheme}://' for scheme in _BUCKETS)}, dbfs:/ or file:///"
)

_REDIS_RULE = (
    "redis://host:port, rediss://host:port, unix:///path of a socket, or for a cluster "
    "redis+cluster://host:port,host:port or rediss+cluster://host:port,host:port"
)
_URL_RULE = "http:// or https:// with a host"

_ROOTS_RULE = f"a list, separated by commas and without wildcards, of {SCHEMES_RULE}"

_MEMORY = re.compile(r"[1-9][0-9]{0,8}[kmgt]", re.IGNORECASE)
_MEMORY_RULE = "a whole number with a unit, as 512m or 2g"

_PACKAGES = re.compile(r"[\w.-]+(:[\w.-]+){2}(,[\w.-]+(:[\w.-]+){2})*", re.ASCII)
_PACKAGES_RULE = "Maven coordinates group:name:version, separated by commas without spaces"


@dataclass(frozen=True)
class Settings:
    """What one process was told.

    Args:
        store: `TECTON_STORE`: an absolute path or a URI (never `file:`) without a trailing slash.
        redis_url: `TECTON_REDIS_URL`; None: an embedded Redis for this store.
        writer: `TECTON_WRITER`: the first push-table slot to try.
        url: `TECTON_URL`: where clients find the service.
        api_key: `TECTON_API_KEY`: what clients send.
        workspace: `TECTON_WORKSPACE`: used where no `-w` is given.
        future_tolerance: `TECTON_FUTURE_TOLERANCE` in seconds: how far ahead of the clock an
            event timestamp may be.
        max_body_bytes: `TECTON_MAX_BODY_BYTES` of a request.
        max_records: `TECTON_MAX_RECORDS` of a request.
        max_sources: `TECTON_MAX_SOURCES` of a request.
        max_nesting: `TECTON_MAX_NESTING`: levels of arrays and objects in a request's JSON.
        max_key_bytes: `TECTON_MAX_KEY_BYTES` of a join key, for records and batch rows alike.
        max_string_bytes: `TECTON_MAX_STRING_BYTES` of a string in a record.
        max_queued_records: `TECTON_MAX_QUEUED_RECORDS` that may wait for the committer.
        requests_per_second: `TECTON_REQUESTS_PER_SECOND` of one API key; 0: any.
        records_per_second: `TECTON_RECORDS_PER_SECOND` of one API key; 0: any.
        idle_seconds: `TECTON_IDLE_SECONDS` that a connection may take to send a request's headers.
        job_log: `TECTON_JOB_LOG`: where the log of this process is, in words; the local launcher
            tells its jobs.
        batch_roots: `TECTON_BATCH_ROOTS`, separated by commas: folders and URIs of which batch
            data must be inside of one; none: it may be anywhere.
        functions: `TECTON_FUNCTIONS`, on or off: may views with a function be planned and run?
        function_timeout: `TECTON_FUNCTION_TIMEOUT` in milliseconds: how long a function may take
            for one record.
        function_workers: `TECTON_FUNCTION_WORKERS`: processes of the service that run functions.
        spark_memory: `TECTON_SPARK_MEMORY`: heap of a local Spark driver.
        spark_packages: `TECTON_SPARK_PACKAGES`: Maven coordinates, separated by commas, that jobs
            on this machine need besides Delta's.
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
    max_sources: int = 100
    max_nesting: int = 64
    max_key_bytes: int = 512
    max_string_bytes: int = 64 * 1024
    max_queued_records: int = 50_000
    requests_per_second: int = 0
    records_per_second: int = 0
    idle_seconds: int = 75
    batch_roots: tuple[str, ...] = ()
    functions: bool = True
    function_timeout: timedelta = timedelta(seconds=1)
    function_workers: int = 2
    spark_memory: str = "1g"
    spark_packages: str = ""
    job_log: str | None = None

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
        tolerance = int(cls.future_tolerance.total_seconds())
        return cls(
            store=_store(environ, folder),
            redis_url=_redis_url(environ),
            writer=_number(environ, "TECTON_WRITER", cls.writer, 0, 9_999),
            url=_url(environ),
            api_key=_text(environ, "TECTON_API_KEY", is_shown=False),
            workspace=_text(environ, "TECTON_WORKSPACE"),
            future_tolerance=timedelta(
                seconds=_number(environ, "TECTON_FUTURE_TOLERANCE", tolerance, 0, 365 * 86_400)
            ),
            max_body_bytes=_number(environ, "TECTON_MAX_BODY_BYTES", cls.max_body_bytes, 1, 2**30),
            max_records=_number(environ, "TECTON_MAX_RECORDS", cls.max_records, 1, 10**6),
            max_sources=_number(environ, "TECTON_MAX_SOURCES", cls.max_sources, 1, 10_000),
            max_nesting=_number(environ, "TECTON_MAX_NESTING", cls.max_nesting, 6, 500),
            max_key_bytes=_number(environ, "TECTON_MAX_KEY_BYTES", cls.max_key_bytes, 16, 8_192),
            max_string_bytes=_number(
                environ, "TECTON_MAX_STRING_BYTES", cls.max_string_bytes, 16, 2**24
            ),
            max_queued_records=_number(
                environ, "TECTON_MAX_QUEUED_RECORDS", cls.max_queued_records, 1, 10**7
            ),
            requests_per_second=_number(environ, "TECTON_REQUESTS_PER_SECOND", 0, 0, 10**9),
            records_per_second=_number(environ, "TECTON_RECORDS_PER_SECOND", 0, 0, 10**9),
            idle_seconds=_number(environ, "TECTON_IDLE_SECONDS", cls.idle_seconds, 1, 3600),
            batch_roots=_batch_roots(environ),
            functions=_switch(environ, "TECTON_FUNCTIONS"),
            function_timeout=timedelta(
                milliseconds=_number(environ, "TECTON_FUNCTION_TIMEOUT", 1_000, 10, 600_000)
            ),
            function_workers=_number(
                environ, "TECTON_FUNCTION_WORKERS", cls.function_workers, 1, 1_000
            ),
            spark_memory=_memory(environ),
            spark_packages=_packages(environ),
            job_log=_text(environ, "TECTON_JOB_LOG"),
        )

    def environ(self) -> dict[str, str]:
        """The variables that make another process work on the same stores by the same rules."""
        variables = {"TECTON_STORE": self.store}
        if self.redis_url is not None:
            variables["TECTON_REDIS_URL"] = self.redis_url
        if self.max_key_bytes != Settings.max_key_bytes:
            variables["TECTON_MAX_KEY_BYTES"] = str(self.max_key_bytes)
        if not self.functions:
            variables["TECTON_FUNCTIONS"] = "off"
        if self.batch_roots:
            variables["TECTON_BATCH_ROOTS"] = ",".join(self.batch_roots)
        return variables


def find_repo(folder: Path) -> Path | None:
    """The root of the feature repo that *folder* is in: the nearest with a `.tecton` file."""
    for candidate in (folder, *folder.parents):
        if (candidate / REPO_MARK).is_file():
            return candidate
    return None


def _store(environ: Mapping[str, str], folder: Path) -> str:
    told = _text(environ, "TECTON_STORE", _STORE_RULE)
    if told is None:
        return _default_store(folder)
    if _REMOTE_STORE.fullmatch(told):
        return told.rstrip("/")
    if told.startswith(("file:///", "file://localhost/")):
        # One store has one name: the locks of a host are kept by it.
        told = "/" + unquote(told.removeprefix("file://").partition("/")[2])
    elif _SCHEME.match(told):
        raise _wrong("TECTON_STORE", _STORE_RULE, told)
    if not told.isprintable() or "%" in told:
        # Some drivers take `%20` for a space and some do not; one store has one name.
        raise _wrong("TECTON_STORE", f"{_STORE_RULE}, without % and control characters", told)
    return str((folder / told).resolve())


def _default_store(folder: Path) -> str:
    root = find_repo(folder)
    if root is None:
        raise SettingsError(
            f"no store: {folder} is in no feature repo (no {REPO_MARK} file upwards) and the "
            "variable TECTON_STORE is not set; run `tecton init` or set TECTON_STORE to a folder "
            "or URI"
        )
    return str((root / DEFAULT_STORE).resolve())


def _redis_url(environ: Mapping[str, str]) -> str | None:
    # What is there is never shown: it may hold a password.
    url = _text(environ, "TECTON_REDIS_URL", _REDIS_RULE, is_shown=False)
    if url is None:
        return None
    if not all(map(_is_redis_url, node_urls(url))):
        raise _wrong("TECTON_REDIS_URL", _REDIS_RULE)
    return url


def _is_redis_url(url: str) -> bool:
    parts = _split(url)
    if url.startswith("unix://"):
        return parts is not None and bool(parts.path)
    return url.startswith(("redis://", "rediss://")) and _has_host(parts)


def _url(environ: Mapping[str, str]) -> str:
    url = _text(environ, "TECTON_URL", _URL_RULE) or DEFAULT_URL
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not _has_host(parts):
        raise _wrong("TECTON_URL", _URL_RULE, url)
    return url.rstrip("/")


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None if there is no telling them apart."""
    try:
        parts = urlsplit(url)
        # Asking for the port is what checks it.
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def _has_host(parts: SplitResult | None) -> bool:
    return parts is not None and bool(parts.hostname) and not re.search(r"\s", parts.geturl())


def _batch_roots(environ: Mapping[str, str]) -> tuple[str, ...]:
    text = _text(environ, "TECTON_BATCH_ROOTS", _ROOTS_RULE)
    roots = tuple(root.strip() for root in text.split(",")) if text else ()
    for root in roots:
        # A relative one would be another folder to each process.
        is_place = root.startswith("/") or ":" in root.partition("/")[0]
        if not is_place or set("*?[]{}\\") & set(root) or refusal(root, [root]) is not None:
            raise _wrong("TECTON_BATCH_ROOTS", _ROOTS_RULE, root)
    return roots


def _memory(environ: Mapping[str, str]) -> str:
    text = _text(environ, "TECTON_SPARK_MEMORY", _MEMORY_RULE) or Settings.spark_memory
    if not _MEMORY.fullmatch(text):
        raise _wrong("TECTON_SPARK_MEMORY", _MEMORY_RULE, text)
    return text


def _packages(environ: Mapping[str, str]) -> str:
    text = _text(environ, "TECTON_SPARK_PACKAGES", _PACKAGES_RULE) or ""
    if text and not _PACKAGES.fullmatch(text):
        raise _wrong("TECTON_SPARK_PACKAGES", _PACKAGES_RULE, text)
    return text


def _number(environ: Mapping[str, str], name: str, default: int, lowest: int, highest: int) -> int:
    rule = f"a whole number from {lowest} to {highest}"
    text = _text(environ, name, rule)
    if text is None:
        return default
    # Python refuses to parse very long numbers, with an error of its own.
    is_number = text.isascii() and text.isdigit() and len(text) <= 20
    if not is_number or not lowest <= int(text) <= highest:
        raise _wrong(name, rule, text)
    return int(text)


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = _text(environ, name, "on or off") or "on"
    if text not in ("on", "off"):
        raise _wrong(name, "on or off", text)
    return text == "on"


def _text(
    environ: Mapping[str, str], name: str, rule: str = "UTF-8", *, is_shown: bool = True
) -> str | None:
    """What a variable says; an empty one is one that is not set."""
    text = environ.get(name)
    if not text:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _wrong(name, rule, text if is_shown else None) from None
    return text


def _wrong(name: str, rule: str, seen: str | None = None) -> SettingsError:
    """A variable that is not what it should be; what is seen fits in one line."""
    shown = "" if seen is None else f", not {seen[:100]!a}"
    return SettingsError(f"{name} must be {rule}{shown}; correct the variable or unset it")
