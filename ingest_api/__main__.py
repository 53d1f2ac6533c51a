"""
`python -m ingest_api`: the service behind granian, until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels

from tecton.bootstrap import Backend
from tecton.errors import TectonError
from tecton.settings import Settings

APPLICATION = "ingest_api.wsgi:create"
"""What the server loads in its worker: a module and a function in it."""

THREADS = 64
"""Requests that wait for a commit hold a thread each, but no CPU."""

FAR_THREADS = 256
"""Where a commit waits for a network: a thousand requests a second wait 100 to 250 ms each."""


def main(application: str = APPLICATION) -> int:
    """
    Run the service; returns the exit code.

    Args:
        application: Another one than the service's own; tests wind its clock.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ingest_api", description="Serve POST /ingest and get-features."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--tls-cert", type=Path, help="PEM file: serve https")
    parser.add_argument("--tls-key", type=Path, help="PEM file with the certificate's key")
    arguments = parser.parse_args()
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    try:
        settings = Settings.from_env(os.environ, Path.cwd())
    except TectonError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 1
    try:
        _check_port(arguments.host, arguments.port)
        # No other store is touched here: their drivers' threads do not survive the fork.
        Backend(settings).start_redis()
    except (TectonError, OSError) as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 1
    scheme = "http" if arguments.tls_cert is None else "https"
    sys.stdout.write(f"store {settings.store}, {scheme}://{arguments.host}:{arguments.port}\n")
    sys.stdout.flush()
    Granian(
        application,
        factory=True,
        address=arguments.host,
        port=arguments.port,
        interface=Interfaces.WSGI,
        # Where HTTP/2 is spoken too, a connection that says nothing is never closed.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=settings.idle_seconds * 1000),
        workers=1,
        blocking_threads=FAR_THREADS if "://" in settings.store else THREADS,
        log_level=LogLevels.error,
        ssl_cert=arguments.tls_cert,
        ssl_key=arguments.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
    ).serve()
    return 0


def _check_port(host: str, port: int) -> None:
    """
    See that nobody listens there; the server would share the port with another in silence.

    Raises:
        OSError: Somebody does, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server does: connections of an earlier one that linger do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise OSError(f"cannot listen on {host}:{port}: {exc.strerror}; try --port") from exc


if __name__ == "__main__":
    sys.exit(main())
