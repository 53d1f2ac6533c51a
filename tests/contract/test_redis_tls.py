"""Redis through TLS: who is trusted, and who is not."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.errors import StoreUnavailable
from tecton.rows import FeatureRow
from tests.redis_proxy import RedisProxy
from tests.redis_servers import RedisClusterServers, RedisServer

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl on this machine"
)

ROWS = [FeatureRow("v", f"[{number}]", 1, 1, b"[1]", None) for number in range(200)]


class Certificate(NamedTuple):
    """A certificate that is its own authority, and its key."""

    file: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, name: str, places: str) -> Certificate:
        """One for places, as openssl spells them."""
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        options = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={name}".split()
        files = ["-keyout", str(made.key), "-out", str(made.file)]
        command = ["openssl", *options, "-addext", f"subjectAltName={places}", *files]
        subprocess.run(command, check=True, capture_output=True)
        return made

    def serving(self) -> ssl.SSLContext:
        """What a server with this certificate speaks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The server's."""
    folder = tmp_path_factory.mktemp("tls")
    return Certificate.make(folder, "redis", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture
def behind(redis_server: RedisServer) -> Iterator[Callable[[ssl.SSLContext], int]]:
    """Starts a TLS port before the server."""
    proxies: list[RedisProxy] = []

    def start(context: ssl.SSLContext) -> int:
        proxies.append(RedisProxy(redis_server.port, context))
        return proxies[-1].port

    yield start
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def port(behind: Callable[[ssl.SSLContext], int], certificate: Certificate) -> int:
    """A TLS port with the server's certificate."""
    return behind(certificate.serving())


def works(url: str) -> bool:
    """Can rows be written and read there?"""
    store = RedisOnlineStore.connect(url)
    store.mark_loaded(["v"])
    store.upsert(ROWS)
    return all(store.read([("v", row.key) for row in ROWS]))


def test_trusted_server_is_used(port: int, certificate: Certificate) -> None:
    """The authority is named in the URL."""
    assert works(f"rediss://localhost:{port}?ssl_ca_certs={certificate.file}")
    assert works(f"rediss://127.0.0.1:{port}/1?ssl_ca_certs={certificate.file}")


def test_untrusted_server_is_refused(port: int) -> None:
    """Nobody vouches for it; the message says so."""
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        works(f"rediss://:secret@localhost:{port}")


def test_server_of_another_name_is_refused(
    behind: Callable[[ssl.SSLContext], int], tmp_path: Path
) -> None:
    """Its certificate is trusted, but speaks of another host."""
    other = Certificate.make(tmp_path, "other", "DNS:elsewhere")
    with pytest.raises(StoreUnavailable, match="not valid for 'localhost'"):
        works(f"rediss://localhost:{behind(other.serving())}?ssl_ca_certs={other.file}")


def test_server_may_ask_who_calls(
    behind: Callable[[ssl.SSLContext], int], certificate: Certificate, tmp_path: Path
) -> None:
    """A client has a certificate too, if the URL names one."""
    client = Certificate.make(tmp_path, "client", "DNS:client")
    context = certificate.serving()
    context.load_verify_locations(client.file)
    context.verify_mode = ssl.CERT_REQUIRED
    url = f"rediss://localhost:{behind(context)}?ssl_ca_certs={certificate.file}"
    with pytest.raises(StoreUnavailable):
        works(url)
    assert works(f"{url}&ssl_certfile={client.file}&ssl_keyfile={client.key}")


def test_server_without_tls_is_refused(port: int, redis_server: RedisServer) -> None:
    """Neither side is understood by the other, and nobody waits for ever."""
    with pytest.raises(StoreUnavailable):
        works(f"redis://localhost:{port}?socket_timeout=1")
    with pytest.raises(StoreUnavailable):
        works(f"rediss://localhost:{redis_server.port}?socket_timeout=1")


def test_missing_authority_is_an_error(port: int) -> None:
    """A file that is not there is said to be missing."""
    with pytest.raises(StoreUnavailable, match="No such file"):
        works(f"rediss://localhost:{port}?ssl_ca_certs=/nonexistent.pem")


def test_cluster_is_used_through_tls(certificate: Certificate) -> None:
    """Each node has the certificate; without its authority none is trusted."""
    cluster = RedisClusterServers(lambda port: RedisProxy(port, certificate.serving()))
    try:
        url = cluster.url.replace("redis+", "rediss+")
        assert works(f"{url}?ssl_ca_certs={certificate.file}")
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            works(url)
    finally:
        cluster.remove()
