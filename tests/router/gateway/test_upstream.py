"""Against real sockets: each test scripts one server, byte for byte."""

import asyncio
import gzip
import logging
import socket
import ssl
import time
import traceback
import zlib
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from governance import outbound
from governance.bodies.body import Body
from governance.bodies.fragments import held
from governance.errors import ValueAPIError
from governance.sinks import Sink
from router.gateway.upstream import (
    AnswerTooLarge,
    ConnectFailed,
    HttpxUpstream,
    Timeouts,
    UpstreamBroken,
    UpstreamRequest,
    UpstreamTimeout,
)
from tests.router.gateway.scripted import says, serving
from tests.services.guarding import guarding

CANARY = b"canary-4f1c-prompt"
QUICK = Timeouts(connect_s=2, first_byte_s=0.3, between_bytes_s=0.3, total_s=3, write_s=2)


def request(url: str, timeouts: Timeouts = QUICK, body: bytes = CANARY) -> UpstreamRequest:
    return UpstreamRequest(
        "POST", url, [(b"content-type", b"application/json"), (b"x-key", b"sk-1")], Body(body), timeouts
    )


def nothing() -> None:
    """For tests that don't ask when a request's first byte may have left."""


@pytest.fixture
async def upstream() -> AsyncIterator[HttpxUpstream]:
    client = HttpxUpstream()
    yield client
    await client.aclose()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nhi"


async def test_sends_only_what_was_given(upstream: HttpxUpstream) -> None:
    outbound.take()
    async with serving(says(OK)) as server:
        answer = await upstream.send(request(server.url), nothing)
        assert outbound.take() == {"127.0.0.1"}
        assert (answer.status, (await answer.read(10)).expose()) == (200, b"hi")
        assert answer.headers["x-a"] == "1, 2"
        lines = server.heads[0].decode().lower().split("\r\n")
        names = sorted(line.split(":")[0] for line in lines[1:] if line)
        assert lines[0] == "post /v1/x http/1.1"
        assert names == ["accept-encoding", "content-length", "content-type", "host", "x-key"]
        assert "accept-encoding: identity" in lines
        assert server.bodies == [CANARY]


async def test_says_when_a_byte_may_have_left(upstream: HttpxUpstream) -> None:
    told: list[str] = []
    async with serving(says(OK)) as server:
        for _ in range(2):  # on a new connection and on one that is used again
            await (await upstream.send(request(server.url), lambda: told.append("sent"))).read(10)
    assert told == ["sent", "sent"]


async def test_nothing_was_sent_while_the_upstream_does_not_accept() -> None:
    told: list[str] = []
    upstream = HttpxUpstream()
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # beyond its queue Linux drops the handshakes
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(UpstreamTimeout, match="connect"):
            await upstream.send(request(url, replace(QUICK, connect_s=0.2)), lambda: told.append("sent"))
    await upstream.aclose()
    assert told == []


@pytest.mark.parametrize("kind", ["tls", "tunnel"])
async def test_a_handshake_or_a_tunnel_is_no_byte_of_the_request(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.set_result(await reader.read(64))
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    url = f"https://127.0.0.1:{port}/"
    if kind == "tunnel":
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        url = "https://upstream.invalid/"
    upstream = HttpxUpstream(trust_env=True)
    sending = asyncio.ensure_future(upstream.send(request(url), lambda: told.append("sent")))
    try:
        assert (await first).startswith(b"\x16" if kind == "tls" else b"CONNECT ")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await upstream.aclose()
        listener.close()
    assert told == []


async def test_connection_is_reused_and_no_cookie_is_kept(upstream: HttpxUpstream) -> None:
    cookie = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=b; Path=/\r\n\r\n"
    async with serving(says(cookie)) as server:
        for _ in range(2):
            assert len(await (await upstream.send(request(server.url), nothing)).read(0)) == 0
        assert server.connections == 1
        assert b"cookie" not in server.heads[1].lower()
        assert len(upstream._client.cookies) == 0


@pytest.mark.parametrize("name", [b"Host", b"content-length", b"Transfer-Encoding", b"Connection", b"accept-encoding"])
async def test_framing_headers_are_ours(upstream: HttpxUpstream, name: bytes) -> None:
    bad = UpstreamRequest("POST", "http://127.0.0.1:9/", [(name, b"1")], Body(b""), QUICK)
    with pytest.raises(ValueError, match="only the upstream client"):
        await upstream.send(bad, nothing)


async def test_refused_connection(upstream: HttpxUpstream) -> None:
    listener = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    with pytest.raises(ConnectFailed):
        await upstream.send(request(f"http://127.0.0.1:{port}/"), nothing)


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "tls.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + cert.public_bytes(pem)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context, path


async def test_tls_is_verified(tmp_path: Path, upstream: HttpxUpstream) -> None:
    context, path = self_signed(tmp_path)
    async with serving(says(OK), tls=context) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(ConnectFailed):  # a stranger's certificate
            await upstream.send(request(url), nothing)
        trusting = HttpxUpstream(verify=ssl.create_default_context(cafile=path))
        with pytest.raises(ConnectFailed):  # a trusted certificate for another name
            await trusting.send(request(url.replace("localhost", "127.0.0.1")), nothing)
        assert server.bodies == []
        assert (await (await trusting.send(request(url), nothing)).read(10)).expose() == b"hi"
        await trusting.aclose()


def test_a_context_that_does_not_verify_is_refused() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(ValueError, match="verify"):
        HttpxUpstream(verify=context)


async def test_hang_before_the_head(upstream: HttpxUpstream) -> None:
    async with serving(says(hang=True)) as server:
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.send(request(server.url), nothing)
        assert caught.value.phase == "first_byte"


async def test_dripping_head_is_bounded(upstream: HttpxUpstream) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serving(drip) as server:
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.send(request(server.url), nothing)
        assert caught.value.phase == "first_byte"


async def test_server_that_reads_nothing(upstream: HttpxUpstream) -> None:
    listener = await asyncio.start_server(lambda r, w: r._transport.pause_reading(), "127.0.0.1", 0)  # type: ignore[attr-defined]
    port = listener.sockets[0].getsockname()[1]
    limits = Timeouts(connect_s=2, first_byte_s=2, between_bytes_s=2, total_s=5, write_s=0.3)
    with pytest.raises(UpstreamTimeout) as caught:
        await upstream.send(request(f"http://127.0.0.1:{port}/", limits, bytes(16 << 20)), nothing)
    assert caught.value.phase == "write"
    listener.close()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((b"HTTP/1.1 200 OK\r\nContent-Le",), id="cut-mid-head"),
        pytest.param((), id="cut-before-head"),
        pytest.param((b"canary-answer, not HTTP\r\n\r\n",), id="not-http"),
        pytest.param((b"HTTP/1.1 200 OK\r\n" + b"X-A: " + bytes([97]) * 200_000 + b"\r\n\r\n",), id="huge-head"),
        pytest.param((b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",), id="101"),
        pytest.param((b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",), id="coding"),
        pytest.param((b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\nx",), id="two"),
    ],
)
async def test_broken_before_the_body(upstream: HttpxUpstream, parts: tuple[bytes, ...]) -> None:
    async with serving(says(*parts, close=True)) as server:
        with pytest.raises(UpstreamBroken):
            await upstream.send(request(server.url), nothing)


GZIP = gzip.compress(CANARY * 500, mtime=0)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((b"Content-Length: 99\r\n\r\nhalf",), id="short"),
        pytest.param((b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",), id="unterminated"),
        pytest.param((b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",), id="bad-chunk"),
        pytest.param((b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",), id="not-gzip"),
        pytest.param((b"Content-Encoding: gzip\r\nContent-Length: 30\r\n\r\n" + GZIP[:30],), id="short-gzip"),
    ],
)
async def test_broken_body(upstream: HttpxUpstream, parts: tuple[bytes, ...]) -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\n", *parts, close=True)) as server:
        answer = await upstream.send(request(server.url), nothing)
        with pytest.raises(UpstreamBroken):
            await answer.read(1 << 20)


async def test_what_came_before_the_cut_is_delivered(upstream: HttpxUpstream) -> None:
    cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with serving(says(cut, close=True)) as server:
        answer = await upstream.send(request(server.url), nothing)
        got = []
        with pytest.raises(UpstreamBroken):
            async for chunk in answer.chunks():
                got.append(chunk)
        assert got == [b"hello"]


async def test_informational_answers_are_passed_over(upstream: HttpxUpstream) -> None:
    async with serving(says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n", OK)) as server:
        answer = await upstream.send(request(server.url), nothing)
        assert (answer.status, (await answer.read(10)).expose()) == (200, b"hi")


async def test_silence_in_the_body(upstream: HttpxUpstream) -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", hang=True)) as server:
        answer = await upstream.send(request(server.url), nothing)
        with pytest.raises(UpstreamTimeout) as caught:
            await answer.read(100)
        assert caught.value.phase == "between_bytes"


async def test_drip_ends_at_the_total(upstream: HttpxUpstream) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    limits = Timeouts(connect_s=1, first_byte_s=1, between_bytes_s=0.5, total_s=0.8, write_s=1)
    async with serving(drip) as server:
        answer = await upstream.send(request(server.url, limits), nothing)
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout) as caught:
            await answer.read(10_000)
        assert caught.value.phase == "total"
        assert time.monotonic() - began < 2


async def test_a_slow_reader_is_not_the_upstreams_fault(upstream: HttpxUpstream) -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    async with serving(says(body)) as server:
        got = []
        async for chunk in (await upstream.send(request(server.url), nothing)).chunks():
            await asyncio.sleep(0.35)  # longer than between_bytes_s
            got.append(chunk)
        assert b"".join(got) == b"ab"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_answers(upstream: HttpxUpstream, status: int) -> None:
    async with serving(says(OK)) as elsewhere:
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
        async with serving(says(head.encode())) as server:
            answer = await upstream.send(request(server.url), nothing)
            assert answer.status == status
            await answer.aclose()
        assert elsewhere.connections == 0


async def test_unparseable_location_is_still_an_answer(upstream: HttpxUpstream) -> None:
    async with serving(says(b"HTTP/1.1 307 X\r\nLocation: http://[::bad\r\nContent-Length: 0\r\n\r\n")) as server:
        assert (await upstream.send(request(server.url), nothing)).status == 307


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", GZIP),
        ("x-gzip", GZIP),
        ("gzip", gzip.compress(CANARY * 200, mtime=0) + gzip.compress(CANARY * 300, mtime=0)),
        ("deflate", zlib.compress(CANARY * 500)),
        ("identity", CANARY * 500),
    ],
    ids=["gzip", "x-gzip", "two gzip members", "deflate", "identity"],
)
async def test_codings_are_undone(upstream: HttpxUpstream, coding: str, encoded: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(encoded)}\r\n\r\n".encode()
    half = len(encoded) // 2
    async with serving(says(head, encoded[:half], encoded[half:])) as server:
        answer = await upstream.send(request(server.url), nothing)
        assert (await answer.read(1 << 20)).expose() == CANARY * 500


async def test_a_small_answer_that_inflates_is_cut_at_the_limit(upstream: HttpxUpstream) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    async with serving(says(head, bomb)) as server:
        answer = await upstream.send(request(server.url), nothing)
        with pytest.raises(AnswerTooLarge, match="larger"):
            await answer.read(1 << 20)


async def test_close_delimited_body(upstream: HttpxUpstream) -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)) as server:
        answer = await upstream.send(request(server.url), nothing)
        assert (await answer.read(100)).expose() == b"all of it"


async def test_read_closes_when_too_large(upstream: HttpxUpstream) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + bytes(2000))
        await server.until_gone(reader)

    async with serving(script) as server:
        with pytest.raises(AnswerTooLarge, match="larger"):
            await (await upstream.send(request(server.url), nothing)).read(1000)
        await asyncio.wait_for(server.gone.wait(), 1)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_cancel_closes_the_socket_at_once(upstream: HttpxUpstream, head: bytes) -> None:
    arrived = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        arrived.set()
        await server.until_gone(reader)

    async def call() -> None:
        limits = Timeouts(connect_s=9, first_byte_s=9, between_bytes_s=9, total_s=9, write_s=9)
        await (await upstream.send(request(server.url, limits), nothing)).read(100)

    async with serving(script) as server:
        task = asyncio.create_task(call())
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 1)


async def test_leaving_the_stream_closes_the_socket(upstream: HttpxUpstream) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await server.until_gone(reader)

    async with serving(script) as server:
        answer = await upstream.send(request(server.url), nothing)
        await answer.aclose()
        await asyncio.wait_for(server.gone.wait(), 1)


async def test_root_at_debug_learns_nothing(upstream: HttpxUpstream, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("httpx2", "httpcore2", "httpcore2.http11", "httpcore2.connection"):
        logging.getLogger(name).setLevel(logging.DEBUG)  # as an operator would, after start-up
    with caplog.at_level(logging.DEBUG):
        async with serving(says(OK)) as server:
            await (await upstream.send(request(server.url), nothing)).read(10)
        logging.getLogger("elsewhere").debug("the handler works")
    assert [r.name for r in caplog.records if r.name.startswith(("http", "elsewhere"))] == ["elsewhere"]
    assert "sk-1" not in caplog.text and "/v1/x" not in caplog.text


async def test_the_log_test_could_fail(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("httpcore2.http11")
    filters, propagate = logger.filters[:], (logger.propagate, logging.getLogger("httpcore2").propagate)
    logger.filters.clear()
    logger.propagate = logging.getLogger("httpcore2").propagate = True
    logger.setLevel(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG):
            async with serving(says(OK)) as server, httpx2.AsyncClient() as client:
                await client.post(server.url, headers={"x-key": "sk-1"}, content=CANARY)
        assert "httpcore2.http11" in {r.name for r in caplog.records}
    finally:
        logger.filters[:] = filters
        logger.propagate, logging.getLogger("httpcore2").propagate = propagate


@pytest.mark.parametrize(
    "parts",
    [(b"canary-4f1c-prompt\r\n\r\n",), (b"HTTP/1.1 200 OK\r\ncanary-4f1c-prompt\r\n\r\n",)],
    ids=["line", "field"],
)
async def test_errors_quote_nothing(upstream: HttpxUpstream, parts: tuple[bytes, ...]) -> None:
    async with serving(says(*parts, close=True)) as server:
        with pytest.raises(ValueAPIError) as caught:
            await upstream.send(request(server.url), nothing)
    text = "".join(traceback.format_exception(caught.value))
    assert caught.value.__suppress_context__
    assert CANARY.decode() not in text
    assert "127.0.0.1" not in text


def test_a_request_shows_no_header_and_no_body() -> None:
    shown = repr(request("http://h/secret-path"))
    assert "sk-1" not in shown and CANARY.decode() not in shown and "secret-path" not in shown


async def test_what_is_sent_and_what_is_answered_is_watched(upstream: HttpxUpstream, event_log: Path) -> None:
    """A completion that echoes no prompt, and a prompt in a provider's words, are withheld from every sink."""
    translated = "as the provider is asked it: the kettle and the knee in B flat"
    completion = "The lighthouse keeper's niece counted forty-one gulls before the fog came."
    wire = f'{{"content": "{completion}"}}'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(wire)}\r\n\r\n".encode()
    with guarding() as guard:
        assert not guard.withholds(Sink.LOG, translated) and not guard.withholds(Sink.LOG, completion)
        async with serving(says(head + wire)) as server:
            with held(Body(b"{}")):
                answer = await upstream.send(request(server.url, body=f'{{"q": "{translated}"}}'.encode()), nothing)
                assert guard.withholds(Sink.LOG, f"sent: {translated}")
                assert not guard.withholds(Sink.LOG, completion)
                await answer.read(1000)
                for sink in Sink:
                    assert guard.withholds(sink, completion), sink
                    assert guard.withholds(sink, translated), sink
