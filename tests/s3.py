"""
A store on S3 for tests and benchmarks: moto's server in a process of its own, each request delayed.

moto looks whether an object is there and puts it in two steps, with threads between them; here one
request that changes something is served at a time, or two could both put what is to be put once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import obstore
from obstore.store import S3Store

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

BUCKET = "features"
_CHANGES = ("PUT", "POST", "DELETE")


class S3(NamedTuple):
    """A running server with an empty bucket.

    Args:
        url: Of the server.
        process: Its process.
    """

    url: str
    process: subprocess.Popen[str]

    @property
    def store(self) -> str:
        """What `TECTON_STORE` is set to."""
        return f"s3://{BUCKET}/store"

    @property
    def environ(self) -> dict[str, str]:
        """The usual variables, that lead every client here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects in the store's folder *prefix*."""
        bucket = S3Store(
            BUCKET,
            prefix="store",
            endpoint=self.url,
            region="us-east-1",
            access_key_id="testing",
            secret_access_key="testing",
            client_options={"allow_http": True},
        )
        return sorted(found["path"] for page in obstore.list(bucket, prefix) for found in page)


@contextmanager
def s3(put_seconds: float = 0.0) -> Iterator[S3]:
    """
    A server until the block ends.

    Args:
        put_seconds: How much longer each put takes than it would.
    """
    command = [sys.executable, "-m", "tests.s3", str(put_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield S3(process.stdout.readline().strip(), process)
        finally:
            process.kill()


class Slowed:
    """A WSGI application, whose puts are delayed and whose changes are served one by one."""

    def __init__(self, app: Application, put_seconds: float) -> None:
        self._app = app
        self._put_seconds = put_seconds
        self._lock = Lock()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "PUT":
            # The distance to the store is what this server is for.
            time.sleep(self._put_seconds)
        if method not in _CHANGES:
            return self._app(environ, start_response)
        with self._lock:
            return self._app(environ, start_response)


def serve(put_seconds: float) -> None:
    """Serve on a free port, whose URL is the one line of output, until killed."""
    # Loaded here: whoever only asks for a server need not load moto.
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        """Keeps connections open, and no log."""

        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            """Nothing."""

    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")
    app = Slowed(create_backend_app("s3"), put_seconds)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
