"""
What the service does again and again beside its requests, each on a thread of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from ingest_api.log import told

_log = logging.getLogger(__name__)


class Periodic:
    """Does one thing every second, whatever becomes of it.

    Args:
        name: For the log.
        step: What is done.
        seconds: Between two steps.
    """

    def __init__(self, name: str, step: Callable[[], None], seconds: float = 1.0) -> None:
        self.is_well = False
        """Has the last step ended well?"""
        self._name = name
        self._step = step
        self._seconds = seconds
        self._said = ""
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a step at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the step that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.is_well = self._attempt()
            self._stopping.wait(self._seconds)

    def _attempt(self) -> bool:
        try:
            self._step()
        except Exception as exc:  # noqa: BLE001  # the thread must outlive anything a step meets
            # The same trouble every second is said once.
            if told(exc) != self._said:
                _log.warning("%s: %s", self._name, told(exc), exc_info=exc.__cause__ or exc)
            self._said = told(exc)
            return False
        self._said = ""
        return True
