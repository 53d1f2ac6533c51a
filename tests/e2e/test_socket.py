"""
The bad requests through a real socket, and those that only a socket can show.

Who answers what is docs/decisions/0025-the-server-speaks-plain-http-1.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests import bad_input
from tests.bad_input import CASES, Case
from tests.fixtures import files_of, redis_contents
from tests.raw_http import Answer, Connection
from tests.running import Running

BODY = json.dumps(bad_input.request(dry_run=True)).encode()
"""A good request that writes nothing, so that good and bad ones may stand side by side."""

LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


class Table(NamedTuple):
    """A service process with what the cases speak of."""

    running: Running
    keys: dict[str, str]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """One service for all cases: none of them may change anything."""
    live, dev = bad_input.workspaces()
    running = Running(tmp_path_factory.mktemp("socket"), live, dev)
    ids = {"live": live.id, "dev": dev.id}
    keys = {w: running.account(role, ids[name]) for w, (role, name) in bad_input.ROLES.items()}
    try:
        running.start()
        assert running.post("/ingest", bad_input.request())[0] == 200
        yield Table(running, {"admin": running.key, **keys})
    finally:
        running.close()


@pytest.fixture(autouse=True)
def _nothing_changes(table: Table) -> Iterator[None]:
    before = contents(table.running)
    yield
    assert before == contents(table.running)


def contents(running: Running) -> tuple[dict[str, bytes], dict[bytes, object]]:
    """Every byte of every store; the audit sums up on its own clock."""
    files = files_of(running.store).items()
    kept = {path: data for path, data in files if not path.startswith("audit/")}
    return kept, redis_contents(running.online)


@pytest.fixture(scope="module")
def kept_alive(table: Table) -> Iterator[list[Connection]]:
    """The one connection on which the cases are sent, and how often it was opened anew."""
    connections = [Connection(table.running.port)]
    yield connections
    connections[-1].close()


@pytest.fixture
def connection(table: Table) -> Iterator[Connection]:
    with Connection(table.running.port) as connection:
        yield connection


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_request(table: Table, kept_alive: list[Connection], case: Case) -> None:
    """The answer is the documented one, and the connection serves the next request."""
    headers = case.headers(table.keys)
    lines = [f"{case.method} {case.path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(case.data)}", "", ""]
    answer = kept_alive[-1].ask("\r\n".join(lines).encode() + case.data)
    case.check(answer.status, answer.json)
    assert is_ours(answer)
    if case.status == 413:
        # The rest of such a body may or may not be listened to.
        kept_alive[-1].close()
        kept_alive.append(Connection(table.running.port))


def test_connections_are_kept_through_every_refusal(kept_alive: list[Connection]) -> None:
    """All those cases took as many connections as there were bodies over the limit, and one."""
    assert kept_alive[-1].is_open()
    assert len(kept_alive) <= 1 + sum(case.status == 413 for case in CASES)
    assert len(CASES) > 400


def is_ours(answer: Answer) -> bool:
    """Has the answer an id by which it is found in the log?"""
    return len(answer.headers.get("X-Request-ID", "")) == 32


def chunks(*sizes: int) -> bytes:
    """The body in chunks of these sizes, the rest in one; without the last, empty chunk."""
    pieces, start = [], 0
    for size in (*sizes, len(BODY) - sum(sizes)):
        pieces.append(b"%x\r\n%s\r\n" % (size, BODY[start : start + size]))
        start += size
    return b"".join(pieces)


class Sent(NamedTuple):
    """A request with the header `Authorization` in it, and what becomes of it."""

    name: str
    headers: bytes
    body: bytes = BODY
    status: int = 200
    is_open: bool = True
    line: bytes = b"POST /ingest HTTP/1.1"

    def data(self, key: str) -> bytes:
        """The bytes of the request."""
        host = b"" if b"Host" in self.headers or b"HTTP/1.0" in self.line else b"Host: x\r\n"
        own = b"" if b"authorization" in self.headers.lower() else b"{AUTHORIZATION}"
        text = self.line + b"\r\n" + host + own + self.headers + b"\r\n"
        authorization = b"Authorization: Tecton-key {KEY}\r\n"
        return text.replace(b"{AUTHORIZATION}", authorization).replace(b"{KEY}", key.encode()) + (
            self.body
        )


TAKEN = [
    Sent("length", LENGTH),
    Sent("chunked", CHUNKED, chunks() + END),
    Sent("many chunks", CHUNKED, chunks(*[1] * 50) + END),
    Sent("Chunked", b"Transfer-Encoding: Chunked\r\n", chunks() + END),
    Sent("chunk extension", CHUNKED, b"%X;a=b\r\n%s\r\n" % (len(BODY), BODY) + END),
    Sent("trailer", CHUNKED, chunks() + b"0\r\nX-Trailer: x\r\n\r\n"),
    Sent("the same length twice", LENGTH * 2),
    Sent("length and chunks", LENGTH + CHUNKED, chunks() + END, is_open=False),
    Sent("chunks and length", CHUNKED + LENGTH, chunks() + END, is_open=False),
    Sent("HTTP/1.0", LENGTH, is_open=False, line=b"POST /ingest HTTP/1.0"),
    Sent("HTTP/1.0 kept", b"Connection: keep-alive\r\n" + LENGTH, line=b"POST /ingest HTTP/1.0"),
    Sent("Connection: close", b"Connection: close\r\n" + LENGTH, is_open=False),
    Sent("absolute form", LENGTH, line=b"POST http://elsewhere/ingest HTTP/1.1"),
    Sent("percent-encoded", LENGTH, line=b"POST /in%67est HTTP/1.1"),
    Sent("percent-encoded slash", LENGTH, line=b"POST /v2%2Fingest HTTP/1.1"),
    Sent("query", LENGTH, line=b"POST /ingest?x=1&workspace_name=dev HTTP/1.1"),
    Sent("fragment", LENGTH, line=b"POST /ingest#x HTTP/1.1"),
    Sent("two hosts", b"Host: x\r\nHost: y\r\n" + LENGTH),
    Sent("blanks around the key", b"Authorization:   Tecton-key {KEY} \t \r\n" + LENGTH),
    Sent("header in capitals", b"AUTHORIZATION: Tecton-key {KEY}\r\n" + LENGTH),
    Sent("bytes in a value", b"X-Odd: \xff\xfe\r\n" + LENGTH),
    Sent("other length by name", b"Content_Length: 5\r\n" + LENGTH),
    Sent("unknown expectation", b"Expect: something\r\n" + LENGTH),
    Sent("no HTTP/2", b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LENGTH),
    Sent("90 headers", b"".join(b"X-%d: x\r\n" % n for n in range(90)) + LENGTH),
    Sent("form", b"Content-Type: application/x-www-form-urlencoded\r\n" + LENGTH),
    Sent("multipart", b"Content-Type: multipart/form-data; boundary=x\r\n" + LENGTH),
    Sent("other charset", b"Content-Type: application/json; charset=utf-16\r\n" + LENGTH),
]


@pytest.mark.parametrize("sent", TAKEN, ids=lambda sent: sent.name)
def test_odd_but_whole_request_is_taken(table: Table, connection: Connection, sent: Sent) -> None:
    """One answer, and nothing after it is taken for another request."""
    connection.send(sent.data(table.running.key))
    answer = connection.answer()
    assert answer is not None
    assert (answer.status, answer.json["workspaceName"]) == (200, "live")
    assert is_ours(answer)
    assert connection.is_open() == sent.is_open


SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

REFUSED = [
    Sent("chunk size that is none", CHUNKED, b"zz\r\n" + BODY, 400, is_open=False),
    Sent("negative chunk size", CHUNKED, b"-5\r\n" + BODY, 400, is_open=False),
    Sent("empty chunk size", CHUNKED, b"\r\n" + BODY, 400, is_open=False),
    Sent("huge chunk size", CHUNKED, b"f" * 17 + b"\r\n" + BODY, 400, is_open=False),
    Sent("chunk longer than its size", CHUNKED, b"3\r\n" + BODY, 400, is_open=False),
    Sent("chunk size with a blank", CHUNKED, b" 3\r\n" + BODY, 400, is_open=False),
    Sent("body after the last chunk", CHUNKED, END + BODY, 400, is_open=False),
    Sent("chunks that hide a request", LENGTH + CHUNKED, END + SMUGGLED, 400, is_open=False),
    Sent("length that hides a request", CHUNKED + LENGTH, END + SMUGGLED, 400, is_open=False),
    Sent("length too short", b"Content-Length: 10\r\n", BODY, 400, is_open=False),
    Sent("no length", b"", BODY, 400, is_open=False),
    Sent("chunked twice", CHUNKED * 2, chunks() + END, 400),
    Sent("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", chunks() + END, 400),
    Sent("gzip and chunked", b"Transfer-Encoding: gzip\r\n" + CHUNKED, chunks() + END, 400),
    Sent(
        "compressed", b"Content-Encoding: gzip\r\nContent-Length: 4\r\n", b"\x1f\x8b\x08\x00", 400
    ),
    Sent("web socket", b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + LENGTH, status=400),
    Sent("key twice", b"Authorization: Tecton-key {KEY}\r\n" * 2 + LENGTH, status=401),
    Sent(
        "key and another scheme",
        b"Authorization: Tecton-key {KEY}\r\nAuthorization: Basic eDp5\r\n" + LENGTH,
        status=401,
    ),
    Sent("two keys", b"Authorization: Tecton-key {KEY}, Tecton-key {KEY}\r\n" + LENGTH, status=401),
    Sent("bytes in the key", b"Authorization: Tecton-key \xff\xe9\r\n" + LENGTH, status=401),
    Sent(
        "key of 10 kB", b"Authorization: Tecton-key " + b"x" * 10_000 + b"\r\n" + LENGTH, status=401
    ),
    Sent("key under CGI's name", b"HTTP_AUTHORIZATION: Tecton-key {KEY}\r\n" + LENGTH, status=401),
    Sent("proxy's key", b"Proxy-Authorization: Tecton-key {KEY}\r\n" + LENGTH, status=401),
    Sent(
        "key in a query",
        b"X-Authorization: x\r\n" + LENGTH,
        line=b"POST /ingest?key={KEY} HTTP/1.1",
        status=401,
    ),
    Sent("bytes in an idempotency key", b"Idempotency-Key: \xff\r\n" + LENGTH, status=400),
    Sent("long idempotency key", b"Idempotency-Key: " + b"x" * 256 + b"\r\n" + LENGTH, status=400),
    Sent("empty idempotency key", b"Idempotency-Key:\r\n" + LENGTH, status=400),
    *[
        Sent(path.decode(), LENGTH, status=404, line=b"POST %s HTTP/1.1" % path)
        for path in (
            *(b"//ingest", b"///ingest", b"/ingest/", b"/ingest%00", b"/ingest%zz", b"/ingest%ff"),
            *(b"/x/../ingest", b"/./ingest", b"/ingest;x=1", b"/%2Fingest", b"/ingest%20", b"*"),
            *(b"http://elsewhere", b"http://elsewhere//ingest", b"/%2e%2e/ingest", b"/ing%0aest"),
        )
    ],
    *[
        Sent(
            f"method {method.decode()[:9]}",
            LENGTH,
            status=405,
            line=b"%s /ingest HTTP/1.1" % method,
        )
        for method in (
            b"PUT",
            b"OPTIONS",
            b"post",
            b"Post",
            b"LOCK",
            b"A" * 200,
            b"X-!#$%&'*+.^_`|~",
        )
    ],
    Sent("other host", LENGTH, status=404, line=b"CONNECT elsewhere:80 HTTP/1.1"),
]


@pytest.mark.parametrize("sent", REFUSED, ids=lambda sent: sent.name)
def test_odd_request_is_refused(table: Table, connection: Connection, sent: Sent) -> None:
    """One of our errors; the connection goes on, unless nobody knows where the request ends."""
    connection.send(sent.data(table.running.key))
    answer = connection.answer()
    assert answer is not None
    assert (answer.status, list(answer.json)) == (sent.status, ["requestError"])
    assert is_ours(answer)
    if sent.is_open:
        assert connection.is_open()
    else:
        rest = connection.answer()
        assert rest is None or (rest.status, rest.body) == (400, b"")
        assert connection.answer() is None


def test_chunks_over_the_limit(table: Table, connection: Connection) -> None:
    """Counted as they come; the rest may or may not be listened to."""
    megabyte = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    sent = Sent("x", CHUNKED, megabyte * 11 + END)
    answer = connection.ask(sent.data(table.running.key))
    assert (answer.status, answer.json["requestError"]["errorType"]) == (
        413,
        "RequestTooLargeError",
    )


UNPARSED = [
    *[
        Sent(f"length {length.decode()}", b"Content-Length: %s\r\n" % length, status=400)
        for length in (b"-5", b"+5", b"0x10", b"5.0", b"5, 6", b"", b"x", b"9" * 23)
    ],
    Sent("two lengths", LENGTH + b"Content-Length: 5\r\n", status=400),
    Sent("list of one length twice", b"Content-Length: 5, 5\r\n", status=400),
    Sent("identity", b"Transfer-Encoding: identity\r\n" + LENGTH, status=400),
    Sent("gzip", b"Transfer-Encoding: gzip\r\n", status=400),
    Sent("chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n", chunks() + END, 400),
    Sent("xchunked", b"Transfer-Encoding: xchunked\r\n", chunks() + END, 400),
    Sent("blank before the colon", b"Transfer-Encoding : chunked\r\n", chunks() + END, 400),
    Sent("chunked in HTTP/1.0", CHUNKED, chunks() + END, 400, line=b"POST /ingest HTTP/1.0"),
    Sent("bytes in a name", b"X-\xff: x\r\n" + LENGTH, status=400),
    Sent("blank in a name", b"X Y: x\r\n" + LENGTH, status=400),
    Sent("no colon", b"X-Y\r\n" + LENGTH, status=400),
    Sent("NUL in a value", b"X-Y: a\x00b\r\n" + LENGTH, status=400),
    Sent("NUL in the key", b"Authorization: Tecton-key {KEY}\x00\r\n" + LENGTH, status=400),
    Sent("CR in the key", b"Authorization: Tecton-key {KEY}\rx\r\n" + LENGTH, status=400),
    Sent("folded key", b"Authorization: Tecton-key\r\n {KEY}\r\n" + LENGTH, status=400),
    Sent("folded header", b"X-Y: a\r\n\tb\r\n" + LENGTH, status=400),
    Sent("header of 1 MB", b"X-Y: " + b"x" * 1_000_000 + b"\r\n" + LENGTH, status=431),
    Sent("200 headers", b"".join(b"X-%d: x\r\n" % n for n in range(200)) + LENGTH, status=431),
    Sent("HTTP/0.9", LENGTH, status=400, line=b"POST /ingest"),
    Sent("HTTP/2.0", LENGTH, status=400, line=b"POST /ingest HTTP/2.0"),
    Sent("HTTP/1.2", LENGTH, status=400, line=b"POST /ingest HTTP/1.2"),
    Sent("http/1.1", LENGTH, status=400, line=b"POST /ingest http/1.1"),
    Sent("bytes in the path", LENGTH, status=400, line=b"POST /ing\xffest HTTP/1.1"),
    Sent("blank in the path", LENGTH, status=400, line=b"POST /in gest HTTP/1.1"),
    Sent("blank first", LENGTH, status=400, line=b" POST /ingest HTTP/1.1"),
    Sent("bytes in the method", LENGTH, status=400, line=b"P\xffST /ingest HTTP/1.1"),
    Sent("path of 70 kB", LENGTH, status=414, line=b"POST /%s HTTP/1.1" % (b"x" * 70_000)),
    Sent("TLS", b"", b"", 400, line=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500),
    Sent("Redis", b"", b"", 400, line=b"*1\r\n$4\r\nPING"),
]


@pytest.mark.parametrize("sent", UNPARSED, ids=lambda sent: sent.name)
def test_what_is_no_request_is_refused_by_the_server(
    table: Table, connection: Connection, sent: Sent
) -> None:
    """An empty answer without an id, and the connection ends: none of it reaches the service."""
    connection.send(sent.data(table.running.key))
    answer = connection.answer()
    assert answer is not None
    assert (answer.status, answer.body) == (sent.status, b"")
    assert not is_ours(answer)
    assert connection.answer() is None


def test_http_2_is_not_spoken(connection: Connection) -> None:
    """Its preface is no request of HTTP/1."""
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert connection.answer() is None


def test_head_is_answered_without_a_body(connection: Connection) -> None:
    """The status and headers of the refusal alone."""
    connection.send(b"HEAD /ingest HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = connection.answer("HEAD")
    assert answer is not None
    assert (answer.status, answer.headers["Allow"], answer.body) == (405, "POST", b"")
    assert connection.is_open()


def test_pipelined_requests_are_answered_in_order(table: Table, connection: Connection) -> None:
    """Good and bad ones, each with its own answer."""
    key = table.running.key
    requests = [
        Sent("a", LENGTH).data(key),
        Sent("b", b"Content-Length: 2\r\n", b"[]").data(key),
        Sent("c", CHUNKED, chunks() + END).data(key),
        Sent("d", b"Authorization: x\r\n" + LENGTH).data(key),
        SMUGGLED,
    ]
    connection.send(b"".join(requests))
    answers = [connection.answer() for _ in requests]
    assert [answer and answer.status for answer in answers] == [200, 400, 200, 401, 200]


def test_client_that_expects_is_told_to_continue(table: Table, connection: Connection) -> None:
    """`Expect: 100-continue`, as curl sends it with a large body."""
    sent = Sent("x", b"Expect: 100-continue\r\n" + LENGTH, b"")
    assert connection.ask(sent.data(table.running.key)).status == 100
    assert connection.ask(BODY).status == 200
    assert connection.is_open()


def test_body_is_read_before_an_early_answer(table: Table, connection: Connection) -> None:
    """Nine megabytes from a stranger: he sees his 401, and may go on."""
    large = b" " * 9_000_000
    head = b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(large)
    assert connection.ask(head + large).status == 401
    assert connection.is_open()


REAL = json.dumps(bad_input.request()).encode()
"""A good request that would be written."""

PARTS = [
    Sent("half the headers", b"", b"").data("{KEY}")[:-40],
    Sent("no body", b"Content-Length: %d\r\n" % len(REAL), b"").data("{KEY}"),
    Sent("half a body", b"Content-Length: %d\r\n" % len(REAL), REAL[:-9]).data("{KEY}"),
    # What is there is whole, and yet it is not what its sender meant to send.
    Sent("all but blanks", b"Content-Length: %d\r\n" % (len(REAL) + 9), REAL).data("{KEY}"),
    Sent("half a chunk", CHUNKED, b"%x\r\n%s" % (len(REAL), REAL[:-9])).data("{KEY}"),
    Sent("half the chunks", CHUNKED, b"%x\r\n%s\r\n" % (len(REAL) - 9, REAL[:-9])).data("{KEY}"),
]


@pytest.mark.parametrize("part", PARTS, ids=range(len(PARTS)))
@pytest.mark.parametrize("is_listening", [True, False])
def test_client_that_leaves_half_way(table: Table, part: bytes, is_listening: bool) -> None:
    """Nothing of its request is taken; if it listens, it is told or sees the end."""
    with Connection(table.running.port) as connection:
        connection.send(part.replace(b"{KEY}", table.running.key.encode()))
        if is_listening:
            connection.end()
            answer = connection.answer()
            assert answer is None or answer.status == 400
            assert connection.answer() is None
    assert table.running.get("/livez") == 200
