"""
Checkpoints of push tables, written by a process beside the service.

Writing one reads the whole log; in the service it would hold up requests. Run as a module it
reads table URLs from standard input, a line each, until that closes: it cannot outlive the
service, however that ends.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from threading import Lock

from deltalake.exceptions import DeltaError

from tecton.adapters.delta_tables import open_table
from tecton.errors import StoreUnavailable

_log = logging.getLogger(__name__)


class Checkpointer:
    """Asks for checkpoints without waiting for them; the process starts with the first."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()

    def ask(self, url: str) -> None:
        """Have a checkpoint of the table at *url* written soon; never fails."""
        with self._lock:
            try:
                self._send(url)
            except OSError as exc:
                # A missing checkpoint costs readers time and nothing else.
                _log.warning("no checkpoint of %s: %s", url, exc)
                self._process = None

    def close(self) -> None:
        """Let the process finish and end."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait()
            self._process = None

    def _send(self, url: str) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(  # our own module
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
        assert self._process.stdin is not None  # noqa: S101  # it was asked for
        self._process.stdin.write(url + "\n")
        self._process.stdin.flush()


def _serve() -> None:
    for line in sys.stdin:
        url = line.strip()
        try:
            open_table(url).create_checkpoint()
        except (DeltaError, OSError, StoreUnavailable) as exc:
            _log.warning("no checkpoint of %s: %s", url, exc)


if __name__ == "__main__":
    _serve()
