"""Against a real server and real sockets, on both event loops: what is written, byte for byte, and what comes back."""

import asyncio
import json
import logging
import re
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import uvicorn

from governance.sinks import Sink
from router.errors import GatewayError, InvalidKey, render
from router.gateway.protocol import Limits, make_protocol
from router.surface import Dialect
from tests.services.guarding import guarding

CANARY = "canary-77aa-prompt"
SMALL = Limits(
    head_seconds_max=0.4,
    body_bytes_max=100_000,
    body_seconds_idle_max=0.4,
    body_bytes_per_second_min=100,
    body_window_seconds=0.8,
    body_seconds_max=2.0,
    keepalive_seconds=0.4,
    write_seconds_stalled_max=0.5,
    linger_seconds=0.2,
)


@dataclass
class Seen:
    """What the application saw, and levers for it."""

    requests: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    disconnects: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    proceed: threading.Event = field(default_factory=threading.Event)
    refusals: Counter[str] = field(default_factory=Counter)


def application(seen: Seen) -> Callable[..., Any]:
    async def answer(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers + length})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def read(receive: Any) -> bytes:
        out: bytes = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                seen.disconnects.set()
                return out
            out += bytes(message["body"])
            if not message["more_body"]:
                return out

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        seen.entered.set()
        if path == "/401":
            seen.requests.append((path, b""))
            return await answer(send, 401, [], b"who are you")
        if path == "/raise":
            raise ValueError(CANARY)
        if path == "/typed":
            raise InvalidKey("No such key.")
        if path == "/nothing":
            return None
        if path == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ValueError(CANARY)
        if path == "/endless":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await read(receive)
            gone = asyncio.ensure_future(read(receive))
            while not gone.done():
                await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
                await asyncio.sleep(0)
            return None
        if path == "/hold":
            await read(receive)
            message = await receive()
            assert message["type"] == "http.disconnect"
            return seen.disconnects.set()
        if path == "/wait":
            await read(receive)
            await asyncio.to_thread(seen.proceed.wait, 5)
            seen.requests.append((path, b""))
            return await answer(send, 200, [], b"waited")
        if path == "/lazy":
            await asyncio.sleep(1.2)  # longer than any body limit, without waiting for the body
        try:
            body = await read(receive)
        except GatewayError as error:
            if path != "/dialect":
                raise
            return await answer(send, *render(error, Dialect.OPENAI, "req_1"))
        seen.requests.append((path, body))
        seen.headers.append(list(scope["headers"]))
        await answer(send, 200, [], b"ok " + path.encode() + b" " + str(len(body)).encode())

    return app


@dataclass
class Running:
    port: int
    seen: Seen
    server: uvicorn.Server

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(8)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def ask(self, data: bytes) -> bytes:
        """Everything that comes back until the server ends."""
        with self.connect() as sock:
            sock.sendall(data)
            return drain(sock)


def drain(sock: socket.socket) -> bytes:
    out = b""
    try:
        while part := sock.recv(65536):
            out += part
    except ConnectionResetError:
        pass
    return out


def until(sock: socket.socket, mark: bytes) -> bytes:
    out = b""
    while mark not in out:
        part = sock.recv(65536)
        assert part, out
        out += part
    return out


@contextmanager
def running(limits: Limits, loop: str = "asyncio", **config: Any) -> Iterator[Running]:
    seen = Seen()
    listener = socket.create_server(("127.0.0.1", 0))
    protocol = make_protocol(limits, lambda code: seen.refusals.update([code]))
    server = uvicorn.Server(
        uvicorn.Config(
            application(seen), http=protocol, loop=loop, log_config=None, lifespan="off", ws="none", **config
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Running(listener.getsockname()[1], seen, server)
    finally:
        seen.disconnects.set()
        seen.proceed.set()
        server.should_exit = server.force_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def shared_server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(SMALL, request.param) as server:
        yield server


@pytest.fixture
def server(shared_server: Running) -> Running:
    seen = shared_server.seen
    seen.requests.clear()
    seen.headers.clear()
    seen.refusals.clear()
    for event in (seen.disconnects, seen.entered, seen.proceed):
        event.clear()
    return shared_server


def statuses(data: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def refused(answer: bytes, status: int) -> None:
    """One whole problem+json answer with our request id, that closes and echoes nothing."""
    assert statuses(answer) == [status], answer
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert fields[b"content-type"] == b"application/problem+json"
    assert fields[b"connection"] == b"close"
    assert int(fields[b"content-length"]) == len(body)
    assert re.fullmatch(rb"req_[0-9a-f]{32}", fields[b"x-request-id"])
    assert json.loads(body)["request_id"].encode() == fields[b"x-request-id"]
    assert json.loads(body)["status"] == status
    assert CANARY.encode() not in answer


GET = b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    lines = [f"POST /{path} HTTP/1.1".encode(), b"Host: h", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


# --- framing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(post("x", b"0\r\n\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400, id="cl-te"),
        pytest.param(post("x", b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400, id="te-cl"),
        pytest.param(post("x", b"hello", b"Content-Length: 5", b"Content-Length: 5"), 400, id="cl-cl-same"),
        pytest.param(post("x", b"hello", b"Content-Length: 5", b"Content-Length: 6"), 400, id="cl-cl-differ"),
        pytest.param(post("x", b"hello", b"Content-Length: 5, 5"), 400, id="cl-list"),
        pytest.param(post("x", b"hello", b"Content-Length: +5"), 400, id="cl-plus"),
        pytest.param(post("x", b"hello", b"Content-Length: 0x5"), 400, id="cl-hex"),
        pytest.param(post("x", b"hello", b"Content-Length: -5"), 400, id="cl-minus"),
        pytest.param(post("x", b"hello", b"Content-Length: "), 400, id="cl-empty"),
        pytest.param(post("x", b"hello", b"Content-Length: " + b"9" * 30), 400, id="cl-overflow"),
        pytest.param(post("x", b"hello", b"Content-Length : 5"), 400, id="space-before-colon"),
        pytest.param(post("x", b"", b"Transfer-Encoding: gzip"), None, id="te-gzip"),
        pytest.param(post("x", b"", b"Transfer-Encoding: identity"), None, id="te-identity"),
        pytest.param(post("x", b"0\r\n\r\n", b"Transfer-Encoding: gzip, chunked"), None, id="te-list"),
        pytest.param(post("x", b"0\r\n\r\n", b"Transfer-Encoding: xchunked"), None, id="te-xchunked"),
        pytest.param(post("x", b"0\r\n\r\n", b"Transfer-Encoding: \x0bchunked"), None, id="te-vt"),
        pytest.param(post("x", b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"), None, id="te-te"),
        pytest.param(b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="te-http10"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400, id="obs-fold"),
        pytest.param(b"GET /x HTTP/1.1\nHost: h\n\n", 400, id="bare-lf"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400, id="bare-cr"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400, id="nul-value"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: h\r\nX\x00Y: a\r\n\r\n", 400, id="nul-name"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", 400, id="no-name"),
        pytest.param(b"GET /x\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, id="nul-target"),
        pytest.param(b"GET /x y HTTP/1.1\r\nHost: h\r\n\r\n", 400, id="space-target"),
        pytest.param(b"GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n", 400, id="non-ascii-target"),
        pytest.param(b"GET /x#y HTTP/1.1\r\nHost: h\r\n\r\n", 400, id="fragment"),
        pytest.param(b"GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400, id="relative-target"),
        pytest.param(b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400, id="asterisk-get"),
        pytest.param(b"GET http://other/x HTTP/1.1\r\nHost: h\r\n\r\n", 400, id="authority-differs"),
        pytest.param(b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 400, id="connect"),
        pytest.param(b"GET /x HTTP/2.0\r\nHost: h\r\n\r\n", None, id="version-2"),
        pytest.param(b"GET /x HTTP/1.2\r\nHost: h\r\n\r\n", None, id="version-1.2"),
        pytest.param(b"GET /x\r\n\r\n", None, id="version-0.9"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400, id="tls-hello"),
        pytest.param(CANARY.encode() + b" nonsense\r\n\r\n", 400, id="nonsense"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", 417, id="expect"),
    ],
)
def test_ambiguous_requests_are_refused_and_closed(server: Running, data: bytes, status: int | None) -> None:
    answer = server.ask(data + LAST)
    refused(answer, status or statuses(answer)[0])
    assert status or statuses(answer)[0] in (400, 501, 505)
    assert server.seen.requests == []
    assert sum(server.seen.refusals.values()) == 1


@pytest.mark.parametrize(
    "host",
    [
        *(b"", b"Host: \r\n", b"Host: h\r\nHost: h\r\n", b"Host: h\r\nHost: i\r\n", b"Host: h:99999\r\n"),
        *(b"Host: h:x\r\n", b"Host: a b\r\n", b"Host: h/x\r\n", b"Host: u@h\r\n", b"Host: [::g]\r\n"),
        *(b"Host: [::1\r\n", b"Host: h,i\r\n", b"Host: -h\r\n", b"Host: h\xc3\xa9\r\n"),
        b"Host: " + b"h" * 300 + b"\r\n",
    ],
)
def test_invalid_host(server: Running, host: bytes) -> None:
    refused(server.ask(b"GET /x HTTP/1.1\r\n" + host + b"\r\n" + LAST), 400)
    assert server.seen.requests == []
    assert server.seen.refusals == {"invalid_host": 1}


@pytest.mark.parametrize(
    "host", [b"h", b"h:80", b"a-b.example.", b"a_b:8000", b"127.0.0.1:1", b"[::1]", b"[fe80::1]:65535"]
)
def test_valid_host(server: Running, host: bytes) -> None:
    answer = server.ask(b"GET /x HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")
    assert statuses(answer) == [200]


def test_http_1_0_needs_no_host_and_closes(server: Running) -> None:
    assert b"ok /x 0" in server.ask(b"GET /x HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://h/a?b=c", "/a"),
        (b"HTTP://H", "/"),
        (b"http://h?b", "/"),
        (b"/a%20b?c", "/a b"),
        (b"//other/x", "//other/x"),
    ],
)
def test_targets(server: Running, target: bytes, path: str) -> None:
    assert statuses(server.ask(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")) == [200]
    assert server.seen.requests == [(path, b"")]


def test_options_asterisk(server: Running) -> None:
    server.ask(b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert server.seen.requests == [("*", b"")]


def test_http2_preface_is_closed(server: Running) -> None:
    answer = server.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40))
    assert answer == b"" or statuses(answer)[0] in (400, 505)
    assert server.seen.requests == []


# --- bodies, pipelining and smuggling ---------------------------------------------------------------------------------

INNER = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    chunked = post("b", b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")
    answer = server.ask(GET % b"a" + chunked + post("c", b"xyz", b"Content-Length: 3") + LAST)
    assert re.findall(rb"ok (/\w+ \d+)", answer) == [b"/a 0", b"/b 5", b"/c 3", b"/last 0"]


def test_many_pipelined_requests_all_get_their_answer(server: Running) -> None:
    answer = server.ask(GET % b"a" * 100 + LAST)
    assert statuses(answer) == [200] * 101


def test_byte_by_byte(server: Running) -> None:
    with server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post("b", b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked") + LAST:
            sock.sendall(bytes([byte]))
        assert re.findall(rb"ok (/\w+ \d+)", drain(sock)) == [b"/b 5", b"/last 0"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_body_is_never_run_as_a_request(server: Running, chunked: bool, at_once: bool) -> None:
    """The answer ends before the body does; what comes then looks like a request."""
    head = post("401", b"", b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000")
    with server.connect() as sock:
        if at_once:
            sock.sendall(head + INNER * 3)
            answer = drain(sock)
        else:
            sock.sendall(head)
            answer = until(sock, b"who are you")
            try:
                sock.sendall(INNER * 3)
                sock.sendall(INNER)
            except OSError:
                pass
            answer += drain(sock)
    assert statuses(answer) == [401]
    assert b"connection: close" in answer
    assert server.seen.requests == [("/401", b"")]


def test_a_whole_body_with_an_early_answer_keeps_the_connection(server: Running) -> None:
    answer = server.ask(post("401", INNER, b"Content-Length: %d" % len(INNER)) + LAST)
    assert statuses(answer) == [401, 200]
    assert [path for path, _ in server.seen.requests] == ["/401", "/last"]


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_an_upgrade_is_ignored_and_its_body_stays_a_body(
    server: Running, upgrade: bytes, chunked: bool, at_once: bool
) -> None:
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER) if chunked else INNER
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(INNER)
    head = post(
        "up", b"", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: x", b"Upgrade: " + upgrade, framing
    )
    with server.connect() as sock:
        if at_once:
            sock.sendall(head + body + LAST)
        else:
            sock.sendall(head)
            assert server.seen.entered.wait(5)
            sock.sendall(body)
            sock.sendall(LAST)
        answer = drain(sock)
    assert statuses(answer) == [200, 200]
    assert server.seen.requests == [("/up", INNER), ("/last", b"")]


def test_upgrades_without_a_body(server: Running) -> None:
    up = b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert statuses(server.ask(up * 3 + LAST)) == [200] * 4


def test_trailers_do_not_become_headers(server: Running) -> None:
    body = b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\nHost: evil\r\n\r\n"
    answer = server.ask(post("t", body, b"Transfer-Encoding: chunked", b"Trailer: Authorization") + LAST)
    assert statuses(answer) == [200, 200]
    assert [name for name, _ in server.seen.headers[0]] == [b"host", b"transfer-encoding", b"trailer"]


@pytest.mark.parametrize("rubbish", [b"zz\r\n", b"5;\x00\r\n", b"5\r\nhelloX"])
def test_malformed_chunks_end_the_request_not_another(server: Running, rubbish: bytes) -> None:
    answer = server.ask(post("c", rubbish, b"Transfer-Encoding: chunked") + INNER)
    refused(answer, 400)
    assert server.seen.requests == []


def test_rubbish_behind_a_running_request_waits_its_turn(server: Running) -> None:
    """The base class would write its 400 into the middle of the first answer."""
    with server.connect() as sock:
        sock.sendall(GET % b"wait" + b"rubbish\r\n\r\n" + INNER)
        assert server.seen.entered.wait(5)
        server.seen.proceed.set()
        answer = drain(sock)
    assert statuses(answer) == [200, 400]
    assert answer.index(b"waited") < answer.index(b" 400 ")
    assert server.seen.requests == [("/wait", b"")]


def test_data_after_connection_close_is_not_run(server: Running) -> None:
    assert statuses(server.ask(LAST + INNER)) == [200]
    assert [path for path, _ in server.seen.requests] == ["/last"]


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_oversize_heads(server: Running) -> None:
    fits = b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"X-%d: " % 1 + b"a" * 32_000 + b"\r\nConnection: close\r\n\r\n"
    assert statuses(server.ask(fits)) == [200]
    refused(server.ask(fits.replace(b"a" * 32_000, b"a" * 33_000)), 431)
    refused(server.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"X: a\r\n" * 101 + b"\r\n"), 431)
    assert server.seen.refusals == {"request_header_fields_too_large": 2}


def test_an_endless_header_is_cut_while_it_comes(server: Running) -> None:
    for start in (b"GET /a HTTP/1.1\r\nHost: h\r\nX: ", b"GET /a HTTP/1.1\r\n", b""):
        with server.connect() as sock:
            sock.sendall(start)
            try:
                for _ in range(200):
                    sock.sendall((b"a" * 1024) if start.endswith(b" ") else b"\r\n" * 512 if not start else b"X" * 1024)
            except OSError:
                pass
            answer = drain(sock)
            assert not answer or statuses(answer)[0] in (400, 431)
    assert server.seen.requests == []


def test_long_targets(server: Running) -> None:
    refused(server.ask(b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n"), 414)
    assert statuses(server.ask(b"GET /" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")) == [200]


@pytest.mark.parametrize("path", ["x", "dialect"])
def test_a_declared_body_too_large(server: Running, path: str) -> None:
    answer = server.ask(post(path, b"a", b"Content-Length: 100001"))
    assert statuses(answer) == [413] and b"connection: close" in answer
    assert (b'"type":"invalid_request_error"' in answer) == (path == "dialect")
    assert server.seen.requests == []


@pytest.mark.parametrize("path", ["x", "dialect"])
def test_a_chunked_body_too_large(server: Running, path: str) -> None:
    chunk = b"2710\r\n" + b"a" * 10_000 + b"\r\n"
    fits = server.ask(post(path, chunk * 10 + b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Connection: close"))
    assert b"100000" in fits
    with server.connect() as sock:
        sock.sendall(post(path, b"", b"Transfer-Encoding: chunked"))
        try:
            for _ in range(500):
                sock.sendall(chunk)
        except OSError:
            pass
        assert statuses(drain(sock)) == [413]


@pytest.mark.parametrize("what", ["extension", "trailer"])
def test_endless_chunk_extensions_and_trailers(server: Running, what: str) -> None:
    start = b"5\r\nhello\r\n" + (b"5;x=" if what == "extension" else b"0\r\nX: ")
    sent = 0
    with server.connect() as sock:
        sock.sendall(post("x", start, b"Transfer-Encoding: chunked"))
        try:
            while sent < 50 << 20:
                sent += sock.send(b"a" * 65536)
        except OSError:
            pass
        assert statuses(drain(sock)) in ([400], [])
    assert sent < 12 << 20  # what the kernel's buffers took
    assert server.seen.requests == []


def test_no_body_is_read_after_a_401(server: Running) -> None:
    total, sent = 50 << 20, 0
    began = time.monotonic()
    with server.connect(receive_buffer=65536) as sock:
        sock.sendall(post("401", b"", b"Content-Length: %d" % total))
        answer = until(sock, b"who are you")
        piece = memoryview(bytes(65536))
        try:
            while sent < total:
                sent += sock.send(piece)
        except OSError:
            pass
    assert statuses(answer) == [401]
    assert sent < 12 << 20  # what the kernel's buffers took, not the server
    assert time.monotonic() - began < 5
    assert server.seen.requests == [("/401", b"")]


async def test_clients_that_send_first_still_read_the_401(server: Running) -> None:
    url = f"http://127.0.0.1:{server.port}/401"
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.post(url, content=bytes(1 << 20), timeout=10)).text == "who are you"
    with httpx2.Client(trust_env=False) as blocking:  # more than all buffers hold: its write fails, its read doesn't
        answer = await asyncio.to_thread(blocking.post, url, content=bytes(50 << 20), timeout=10)
        assert (answer.status_code, answer.text) == (401, "who are you")


# --- expectations -----------------------------------------------------------------------------------------------------


def test_continue_is_sent_when_the_body_is_wanted(server: Running) -> None:
    with server.connect() as sock:
        sock.sendall(post("x", b"", b"Content-Length: 5", b"Expect: 100-Continue", b"Connection: close"))
        assert until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert b"ok /x 5" in drain(sock)


@pytest.mark.parametrize(("path", "length", "status"), [("401", 5, 401), ("x", 200_000, 413)])
def test_no_continue_when_the_answer_is_no(server: Running, path: str, length: int, status: int) -> None:
    answer = server.ask(post(path, b"", b"Content-Length: %d" % length, b"Expect: 100-continue"))
    assert statuses(answer) == [status]


def test_no_continue_when_the_body_is_there_or_empty(server: Running) -> None:
    for length, body in ((5, b"hello"), (0, b"")):
        expects = (b"Content-Length: %d" % length, b"Expect: 100-continue", b"Connection: close")
        assert statuses(server.ask(post("x", body, *expects))) == [200]


def test_http_1_0_expectations_are_ignored(server: Running) -> None:
    with server.connect() as sock:
        sock.sendall(b"POST /x HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert server.seen.entered.wait(5)
        sock.sendall(b"hello")
        assert statuses(drain(sock)) == [200]


# --- times ------------------------------------------------------------------------------------------------------------


def test_a_half_sent_head_is_cut(server: Running) -> None:
    began = time.monotonic()
    refused(server.ask(b"GET /x HTTP/1.1\r\nHost: h\r\nX-Canary: " + CANARY.encode()), 408)
    assert 0.3 < time.monotonic() - began < 3


def test_a_dripping_head_is_cut(server: Running) -> None:
    with server.connect() as sock:
        began = time.monotonic()
        answer = b""
        sock.settimeout(0.05)  # between two bytes
        for byte in b"GET /x HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 100:
            sock.sendall(bytes([byte]))
            try:
                answer = sock.recv(65536)
                break
            except TimeoutError:
                continue
        assert statuses(answer) == [408]
        assert 0.3 < time.monotonic() - began < 3


@pytest.mark.parametrize("first", [b"", b"\r\n", GET % b"x", GET % b"x" + b"\r\n"])
def test_idle_connections_are_closed_without_a_word(server: Running, first: bytes) -> None:
    began = time.monotonic()
    answer = server.ask(first)
    assert statuses(answer) == ([200] if b"GET" in first else [])
    assert 0.3 < time.monotonic() - began < 3


def test_a_second_head_gets_its_time_and_no_more(server: Running) -> None:
    with server.connect() as sock:
        sock.sendall(GET % b"wait" + b"GET /x HT")
        assert server.seen.entered.wait(5)
        time.sleep(0.6)  # longer than a head may take: the first request's time isn't the second head's
        server.seen.proceed.set()
        until(sock, b"waited")
        sock.sendall(b"TP/1.1\r\nHost: h\r\n\r\n")
        until(sock, b"ok /x")
        sock.sendall(b"GET /y HT")
        refused(drain(sock), 408)


@pytest.mark.parametrize("path", ["x", "dialect"])
def test_a_body_that_stops_is_cut(server: Running, path: str) -> None:
    began = time.monotonic()
    answer = server.ask(post(path, b"half", b"Content-Length: 8"))
    assert statuses(answer) == [408]
    assert (b'"error"' in answer) == (path == "dialect")
    assert 0.3 < time.monotonic() - began < 3


def drip(server: Running, piece: bytes, every: float, seconds: float) -> tuple[list[int], float]:
    with server.connect() as sock:
        sock.sendall(post("x", b"", b"Content-Length: 99999"))
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            sock.sendall(piece)
            sock.settimeout(every)
            try:
                sock.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                continue
        took = time.monotonic() - began
        sock.settimeout(5)
        return statuses(drain(sock)), took


def test_a_dripping_body_is_cut(server: Running) -> None:
    got, took = drip(server, b"a", 0.1, 5)  # 10 B/s, never idle
    assert got == [408] and took < 2


def test_a_body_that_takes_too_long_in_all_is_cut(server: Running) -> None:
    got, took = drip(server, b"a" * 50, 0.1, 5)  # 500 B/s is enough, but not for ever
    assert got == [408] and 1.8 < took < 4


def test_an_application_that_takes_its_time_is_not_charged_to_the_client(server: Running) -> None:
    with server.connect() as sock:
        sock.sendall(post("lazy", b"hel", b"Content-Length: 5", b"Connection: close"))
        assert server.seen.entered.wait(5)
        time.sleep(1.3)
        sock.sendall(b"lo")
        assert b"ok /lazy 5" in drain(sock)


def test_a_client_that_does_not_read_is_cut(server: Running) -> None:
    with server.connect(receive_buffer=4096) as sock:
        sock.sendall(GET % b"endless")
        assert server.seen.disconnects.wait(5)


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [b"", GET % b"x", b"GET /x HT"])
def test_a_client_that_leaves_is_noticed_also_behind_pipelined_requests(server: Running, second: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(GET % b"hold" + second)
        assert server.seen.entered.wait(5)
        assert not server.seen.disconnects.is_set()
    assert server.seen.disconnects.wait(1)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_too_many_connections(loop: str) -> None:
    with running(replace(SMALL, connections_max=2, keepalive_seconds=5, head_seconds_max=5), loop) as server:
        held = [server.connect() for _ in range(2)]
        for sock in held:
            sock.sendall(GET % b"x")
            until(sock, b"ok /x")
        answer = server.ask(GET % b"x")
        refused(answer, 503)
        assert b"retry-after: " in answer
        held.pop().close()
        deadline = time.monotonic() + 5
        while statuses(server.ask(LAST)) != [200]:
            assert time.monotonic() < deadline
        held.pop().close()


def test_an_early_answer_over_tls(tmp_path: Path) -> None:
    pem = tmp_path / "t.pem"
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=h",
    ]
    subprocess.run([*new, "-keyout", pem, "-out", tmp_path / "c.pem", "-days", "2"], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=tmp_path / "c.pem")
    context.check_hostname = False
    with running(SMALL, ssl_keyfile=pem, ssl_certfile=tmp_path / "c.pem") as server:
        with context.wrap_socket(server.connect()) as sock:
            sock.sendall(post("401", INNER, b"Content-Length: 1000"))
            assert statuses(drain(sock)) == [401]
        with context.wrap_socket(server.connect()) as sock:
            sock.sendall(b"nonsense\r\n\r\n")
            refused(drain(sock), 400)
        assert server.seen.requests == [("/401", b"")]


def test_shut_down_does_not_wait_for_idle_or_lingering_connections() -> None:
    with running(replace(SMALL, keepalive_seconds=60, head_seconds_max=60)) as server:
        idle, half = server.connect(), server.connect()
        idle.sendall(GET % b"x")
        until(idle, b"ok /x")
        half.sendall(b"GET /x HT")
        server.server.should_exit = True
        assert drain(idle) == b"" and drain(half) == b""
        idle.close()
        half.close()


# --- what the application does wrong, and logs ------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("raise", 500), ("typed", 401), ("nothing", 500)])
def test_failures_become_whole_answers(server: Running, path: str, status: int) -> None:
    refused(server.ask(GET % path.encode()), status)


def test_a_failure_inside_an_answer_leaves_it_visibly_unfinished(server: Running) -> None:
    answer = server.ask(GET % b"half")
    assert answer.endswith(b"half")
    assert b"content-length: 9" in answer


def test_logs_hold_nothing_of_a_request(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1), structlog.testing.capture_logs() as ours:
        server.ask(GET % b"raise")
        server.ask(GET % b"half")
        server.ask(f"GET /x?{CANARY} HTTP/1.1\r\nHost: h\r\nX: {CANARY}\r\nConnection: close\r\n\r\n".encode())
        server.ask(f"GET /{CANARY} HTTP/1.1\r\nHost: {CANARY} {CANARY}\r\n\r\n".encode())
        server.ask(CANARY.encode() * 3 + b"\r\n\r\n")
    assert CANARY not in caplog.text and CANARY not in str(ours)
    assert "127.0.0.1" not in "".join(r.getMessage() for r in caplog.records if r.name != "asyncio")
    failures = [(each["type"], each["place"].partition(":")[0]) for each in ours]
    assert failures == [("ValueError", "test_connection.py")] * 2
    assert all(r.exc_info is None for r in caplog.records)


def test_the_logger_never_traces() -> None:
    assert not logging.getLogger("valueapi.http").isEnabledFor(5)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/account/sign-up"])
def test_a_gateways_body_is_watched_before_the_gateway_reads_it(server: Running, path: str) -> None:
    """This application stands where anything between socket and gateway would; other pages' forms aren't watched."""
    text = "The lighthouse keeper's niece counted forty-one gulls before the fog came."
    with guarding() as guard:
        assert not guard.withholds(Sink.LOG, text)
        body = f'{{"content": "{text}"}}'.encode()
        server.ask(post(path[1:], body, b"Connection: close", b"Content-Length: %d" % len(body)))
        assert guard.withholds(Sink.LOG, text) is path.endswith("completions")
