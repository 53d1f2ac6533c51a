"""
What stands between a client and a Redis server: a proxy that speaks TLS, or loses an answer.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from threading import Event, Lock, Thread

_CHUNK = 65_536


class RedisProxy:
    """Forwards every connection to a server of this machine.

    Args:
        target: The server's port.
        context: Speak TLS to clients.
    """

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.lost = 0
        self._context = context
        self._wanted: bytes | None = None
        self._lock = Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def lose_answer_to(self, word: str) -> None:
        """The next request with this word in it is executed, and its connection is cut."""
        with self._lock:
            self._wanted = word.encode()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as up:
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            doomed = Event()
            back = Thread(target=self._answer, args=(up, client, doomed), daemon=True)
            back.start()
            while data := client.recv(_CHUNK):
                self._look(data, doomed)
                up.sendall(data)
            up.shutdown(socket.SHUT_WR)
            back.join()

    def _look(self, data: bytes, doomed: Event) -> None:
        with self._lock:
            if self._wanted is not None and self._wanted in data:
                self._wanted = None
                doomed.set()

    def _answer(self, up: socket.socket, client: socket.socket, doomed: Event) -> None:
        with suppress(OSError):
            while data := up.recv(_CHUNK):
                if doomed.is_set():
                    self.lost += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
