"""The one seam to an upstream provider: bytes out, status, headers and bytes back.

ValueAPIError
└── UpstreamError
    ├── ConnectFailed      nothing was sent: refused, unresolvable, TLS not verified
    ├── UpstreamTimeout    `phase` says which limit ran out
    └── UpstreamBroken     the answer broke off or isn't HTTP; the request may have been processed
        └── AnswerTooLarge it is longer than the reader takes

Texts are ours: no URL, header, body or library message, and no cause is chained, since a cause could quote them.
A 3xx is an answer like any other: a redirect is never followed, because it would carry the prompt elsewhere.
"""

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Final, Literal, Protocol

import httpx2

from governance import outbound
from governance.bodies import fragments
from governance.bodies.body import Body
from governance.errors import ValueAPIError

Sending = Callable[[], object]
Phase = Literal["connect", "write", "first_byte", "between_bytes", "total"]

_CLIENT_LOGGERS: Final = (
    "httpx2",
    "httpcore2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
)
# These decide where a message ends and who is addressed: only the client sets them.
_OURS: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"accept-encoding", b"connection", b"expect"}
)
_WRITE_EVENTS: Final = frozenset({"http11.send_request_headers.started"})
_HEAD_EVENTS: Final = frozenset({"http11.receive_response_headers.started"})
_PIECE_BYTES: Final = 1 << 18


class UpstreamError(ValueAPIError):
    """The upstream could not be used. The text says how, and quotes nothing."""


class ConnectFailed(UpstreamError):
    """No connection: nothing of the request left this process."""


class UpstreamTimeout(UpstreamError):
    """A limit of `Timeouts` ran out."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(f"the upstream took too long ({phase})")
        self.phase: Phase = phase


class UpstreamBroken(UpstreamError):
    """The answer broke off, isn't HTTP, can't be decoded, or is larger than allowed."""


class AnswerTooLarge(UpstreamBroken):
    """The answer is longer than its reader takes: asking again for the same brings the same."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one attempt, in seconds. `connect_s` includes name resolution, the wait for a pool slot and TLS."""

    connect_s: float
    first_byte_s: float
    between_bytes_s: float
    total_s: float
    write_s: float


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What leaves: nothing is added but host, content-length and `accept-encoding: identity`."""

    method: str
    url: str
    headers: list[tuple[bytes, bytes]]
    body: Body
    timeouts: Timeouts

    def __repr__(self) -> str:
        return f"<UpstreamRequest {self.method} {self.body!r}>"


class UpstreamAnswer(Protocol):
    """A status and headers that arrived, and a body that may still be arriving."""

    @property
    def status(self) -> int:
        """HTTP status, 200 to 599."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; a repeated field is joined with `, ` (RFC 9110 section 5.2)."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The decoded body as it comes, once. Raises `UpstreamTimeout`, `UpstreamBroken`, with the socket closed."""

    async def read(self, limit: int) -> Body:
        """The whole decoded body, under the request's tag. Raises `AnswerTooLarge` when it is larger than `limit` bytes."""

    async def aclose(self) -> None:
        """Give the connection back, or close it at once when the body isn't finished."""


class Upstream(Protocol):
    """Sends requests; one object for a process's life."""

    async def send(self, request: UpstreamRequest, sending: Sending) -> UpstreamAnswer:
        """Return when the answer's head is there. Raises `ConnectFailed`, `UpstreamTimeout`, `UpstreamBroken`.

        `sending` is called before the request's first byte may leave: while it wasn't, the upstream has seen nothing.
        """

    async def aclose(self) -> None:
        """Close every connection."""


def silence_client_loggers() -> None:
    """Make the HTTP client's loggers say nothing, whatever the root logger is set to.

    At DEBUG they print URLs, headers and body events; a filter stays even if someone lowers their level again.
    """
    for name in _CLIENT_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
        logger.handlers.clear()
        if _drop not in logger.filters:
            logger.addFilter(_drop)


def _drop(record: logging.LogRecord) -> bool:
    return False


class _Deadline:
    """One timer for the phases of `send`: the client's trace events move it, and `phase` says what ran out."""

    __slots__ = ("_scope", "_sending", "_timeouts", "_total_at", "phase")

    def __init__(self, timeouts: Timeouts, total_at: float, sending: Sending) -> None:
        self._timeouts = timeouts
        self._total_at = total_at
        self._sending = sending
        self.phase: Phase = "connect"
        self._scope = asyncio.timeout_at(None)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._move("connect", self._timeouts.connect_s)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)

    def _move(self, phase: Phase, seconds: float) -> None:
        at = asyncio.get_running_loop().time() + seconds
        self.phase = "total" if at >= self._total_at else phase
        self._scope.reschedule(min(at, self._total_at))

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event in _WRITE_EVENTS and info["request"].method != b"CONNECT":  # a proxy's tunnel carries nothing yet
            self._sending()
        if self._scope.expired():
            return
        if event in _WRITE_EVENTS:
            self._move("write", self._timeouts.write_s)
        elif event in _HEAD_EVENTS:
            self._move("first_byte", self._timeouts.first_byte_s)


class HttpxUpstream:
    """`Upstream` on httpx2 over HTTP/1.1, TLS verified, one pool.

    `verify` is a context for private roots (tests, a company's CA); verification itself can't be turned off here.
    `trust_env` lets HTTPS_PROXY and friends route requests. Raises `ValueError` when `verify` doesn't verify.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | None = None,
        trust_env: bool = False,
        connections_max: int = 1000,
        keepalive_max: int = 200,
        keepalive_s: float = 30.0,
    ) -> None:
        if verify is not None and (verify.verify_mode is not ssl.CERT_REQUIRED or not verify.check_hostname):
            raise ValueError("the TLS context must verify certificates and host names")
        silence_client_loggers()
        self._client = httpx2.AsyncClient(
            verify=verify if verify is not None else True,
            trust_env=trust_env,
            http1=True,
            http2=False,
            follow_redirects=False,
            timeout=None,
            limits=httpx2.Limits(
                max_connections=connections_max,
                max_keepalive_connections=keepalive_max,
                keepalive_expiry=keepalive_s,
            ),
            # A jar that accepts from nobody: an upstream's cookie would link one caller's requests to another's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def send(self, request: UpstreamRequest, sending: Sending) -> UpstreamAnswer:
        """See `Upstream.send`. Raises `ValueError` for a header that only the client may set: a bug of ours."""
        if any(name.lower() in _OURS for name, _ in request.headers):
            raise ValueError("a header that only the upstream client may set was given")
        fragments.sent(request.body)
        total_at = asyncio.get_running_loop().time() + request.timeouts.total_s
        deadline = _Deadline(request.timeouts, total_at, sending)
        try:
            async with deadline:
                outgoing = _outgoing(request, deadline)
                outbound.saw(outgoing.url.host)
                response = await self._client.send(outgoing, stream=True, auth=httpx2.Auth())
        except TimeoutError:
            raise UpstreamTimeout(deadline.phase) from None
        except (httpx2.ConnectError, httpx2.ProxyError, httpx2.UnsupportedProtocol):
            raise ConnectFailed("no connection to the upstream") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError):
            raise UpstreamBroken("the upstream broke off before its answer") from None
        try:
            return _HttpxAnswer(response, request.timeouts.between_bytes_s, total_at, request.body.tag)
        except UpstreamBroken:
            await response.aclose()
            raise

    async def aclose(self) -> None:
        """See `Upstream.aclose`."""
        await self._client.aclose()


def _outgoing(request: UpstreamRequest, deadline: _Deadline) -> httpx2.Request:
    return httpx2.Request(
        request.method,
        request.url,
        headers=[*request.headers, (b"accept-encoding", b"identity")],
        content=request.body.expose() or None,
        extensions={"timeout": httpx2.Timeout(None).as_dict(), "trace": deadline.trace},
    )


class _HttpxAnswer:
    def __init__(self, response: httpx2.Response, between_bytes_s: float, total_at: float, tag: str) -> None:
        self.status: int = response.status_code
        if self.status < 200:
            raise UpstreamBroken("the upstream switched protocols")
        self.headers: Mapping[str, str] = _joined(response.headers.raw)
        self._decoder = _decoder(self.headers.get("content-encoding", ""))
        self._response = response
        self._between_bytes_s = between_bytes_s
        self._total_at = total_at
        self._tag = tag

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        raw = self._response.aiter_raw()
        try:
            while (data := await self._next(raw)) is not None:
                for piece in (data,) if self._decoder is None else self._decoder.decode(data):
                    fragments.answered(piece)
                    yield piece
            if self._decoder is not None:
                self._decoder.finish()
        finally:
            # Also when the reader stops early or is cancelled: the upstream must not go on producing.
            await raw.aclose()
            await self._response.aclose()

    async def _next(self, raw: AsyncGenerator[bytes, None]) -> bytes | None:
        # One timer a chunk, never one around a `yield`: that would fire while the reader runs.
        at = asyncio.get_running_loop().time() + self._between_bytes_s
        phase: Phase = "total" if at >= self._total_at else "between_bytes"
        try:
            async with asyncio.timeout_at(min(at, self._total_at)):
                return await anext(raw, None)
        except TimeoutError:
            raise UpstreamTimeout(phase) from None
        except (httpx2.HTTPError, httpx2.StreamError):
            raise UpstreamBroken("the upstream's answer broke off") from None

    async def read(self, limit: int) -> Body:
        out = bytearray()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                out += chunk
                if len(out) > limit:
                    raise AnswerTooLarge("the upstream's answer is larger than allowed")
        return Body(bytes(out), self._tag)

    async def aclose(self) -> None:
        await self._response.aclose()


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    out: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        out[key] = f"{out[key]}, {text}" if key in out else text
    return out


class _Inflate:
    """gzip and deflate (RFC 9110 section 8.4.1) in bounded pieces; a stream that isn't finished is an error."""

    def __init__(self, coding: str) -> None:
        self._wbits = 16 + zlib.MAX_WBITS if coding == "gzip" else zlib.MAX_WBITS
        self._inflate = zlib.decompressobj(self._wbits)
        self._started = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._inflate.eof:  # RFC 1952 section 2.2: members may follow each other
                    self._inflate = zlib.decompressobj(self._wbits)
                self._started = True
                piece = self._inflate.decompress(data, _PIECE_BYTES)
                data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
                if piece:
                    yield piece
        except zlib.error:
            raise UpstreamBroken("the upstream's answer can't be decoded") from None

    def finish(self) -> None:
        if self._started and not self._inflate.eof:
            raise UpstreamBroken("the upstream's answer broke off")


def _decoder(content_encoding: str) -> _Inflate | None:
    """Identity was asked for; a single gzip or deflate is still understood, everything else refused."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip"):
        return _Inflate("gzip")
    if coding == "deflate":
        return _Inflate("deflate")
    raise UpstreamBroken("the upstream used a content coding that wasn't asked for")
