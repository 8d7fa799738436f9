"""HTTP/1.1 at the socket (RFC 9112): uvicorn's httptools protocol, with limits that hold before an application runs.

What it changes, because the server it builds on doesn't:

- a head, a body or a reader that drips, stops or grows is cut (`Limits`);
- framing that two parsers could read differently is refused and the connection closed, never repaired;
- an answer that ends before its request's body does closes the connection: no body is read after a 401, and no
  body byte is ever taken for a next request, also not behind an `Upgrade` that isn't followed;
- trailers don't change the headers that the application saw;
- of pipelined requests the one being answered learns that its client is gone;
- an exception is logged by type and place: its text could quote a prompt.

A body that breaks a limit raises `BodyTooLarge` or `RequestTimedOut` from the application's `receive()`, so that it
can answer in the caller's own protocol; before there is a request the answer is problem+json (RFC 9457).
"""

import asyncio
import ipaddress
import logging
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from governance.ids import uuid7
from router.errors import BodyTooLarge, GatewayError, InvalidRequest, RequestTimedOut, render

_LOGGER: Final = logging.getLogger("valueapi.http")
_LOGGER.setLevel(logging.INFO)  # at uvicorn's TRACE level the base class prints client addresses

# A parser callback can't tell how much of a read belonged to the head, so unparsed heads are fed in pieces this small.
_PIECE_BYTES: Final = 8192
_PIPELINE_MAX: Final = 8
_HOST: Final = re.compile(
    rb"(?:(?P<v6>\[[0-9A-Fa-f:.]{2,45}\])|[A-Za-z0-9][A-Za-z0-9._-]{0,254})(?::(?P<port>[0-9]{1,5}))?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_TARGET: Final = re.compile(rb"[!-\"$-~]+")  # visible ASCII without '#', RFC 9112 section 3.2


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost. Sizes in bytes, times in seconds; all are settings.

    `head_seconds_max` runs from the connection's start, or from a later head's first byte. The body's times count
    only while the application waits for it: in each `body_window_seconds` at least `body_bytes_per_second_min` times
    that many bytes must come, never nothing for `body_seconds_idle_max`, and all of it within `body_seconds_max`.
    `write_seconds_stalled_max` cuts a client that doesn't read. `connections_max` is per process; beyond it 503.
    """

    head_bytes_max: int = 32 * 1024
    target_bytes_max: int = 8 * 1024
    headers_max: int = 100
    head_seconds_max: float = 10.0
    body_bytes_max: int = 32 * 1024 * 1024
    body_seconds_idle_max: float = 20.0
    body_bytes_per_second_min: int = 100
    body_window_seconds: float = 10.0
    body_seconds_max: float = 600.0
    keepalive_seconds: float = 75.0
    write_seconds_stalled_max: float = 60.0
    linger_seconds: float = 1.0
    connections_max: int = 10_000


def new_request_id() -> str:
    """`req_` and a UUIDv7's 32 hex digits."""
    return f"req_{uuid7().hex}"


def make_protocol(limits: Limits, on_refusal: Callable[[str], None] | None = None) -> type["GatewayProtocol"]:
    """The class for `uvicorn.Config(http=...)`. `on_refusal` gets the code of each refusal made here, for a counter."""
    return type(
        "GatewayProtocol", (GatewayProtocol,), {"limits": limits, "on_refusal": staticmethod(on_refusal or _ignore)}
    )


def _ignore(code: str) -> None:
    return None


# --- pure: heads and clocks -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a head is refused. The message is ours and echoes nothing."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Head:
    """A head that passed: `path` and `query` as they came, and how the body is framed."""

    path: bytes
    query: bytes
    content_length: int
    chunked: bool
    expects_continue: bool

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0


def _bad(code: str, message: str) -> Refusal:
    return Refusal(400, code, message)


def read_head(method: bytes, version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> Head | Refusal:
    """Judge a parsed head; names are in lower case. Stricter than the parser where peers are known to disagree."""
    if version not in ("1.1", "1.0"):
        return Refusal(505, "http_version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    hosts, lengths, codings, expects = (
        [value.strip(b" \t") for name, value in headers if name == wanted]
        for wanted in (b"host", b"content-length", b"transfer-encoding", b"expect")
    )
    # RFC 9112 section 3.2: 400 for a missing, repeated or invalid Host.
    if len(hosts) != 1 and (version == "1.1" or hosts):
        return _bad("invalid_host", "Exactly one Host header is needed.")
    if hosts and not _valid_host(hosts[0]):
        return _bad("invalid_host", "The Host header isn't a host with an optional port.")
    # RFC 9112 section 6.1 and 6.3: any doubt about where the body ends is an attack until shown otherwise.
    if codings and lengths:
        return _bad("invalid_framing", "Content-Length and Transfer-Encoding exclude each other.")
    if codings and version == "1.0":
        return _bad("invalid_framing", "HTTP/1.0 has no Transfer-Encoding.")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        return Refusal(501, "transfer_coding_not_implemented", "The only transfer coding is chunked.")
    if len(lengths) > 1 or (lengths and not (lengths[0].isdigit() and len(lengths[0]) <= 18)):
        return _bad("invalid_framing", "Content-Length must be given once, as a number.")
    # RFC 9110 section 10.1.1; an HTTP/1.0 client can't receive a 100.
    if version == "1.1" and any(expect.lower() != b"100-continue" for expect in expects):
        return Refusal(417, "expectation_failed", "The only expectation is 100-continue.")
    parts = _split_target(method, target, hosts[0] if hosts else b"")
    if parts is None:
        return _bad("invalid_target", "The request target isn't valid.")
    return Head(
        path=parts[0],
        query=parts[1],
        content_length=int(lengths[0]) if lengths else 0,
        chunked=bool(codings),
        expects_continue=version == "1.1" and bool(expects),
    )


def _valid_host(host: bytes) -> bool:
    found = _HOST.fullmatch(host)
    if found is None or (found["port"] and int(found["port"]) > 65535):
        return False
    if found["v6"]:
        try:
            ipaddress.IPv6Address(found["v6"][1:-1].decode())
        except ValueError:
            return False
    return True


def _split_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes] | None:
    """Path and query of an origin-form, absolute-form or (OPTIONS) asterisk-form target; None for anything else."""
    if target == b"*":
        return (target, b"") if method == b"OPTIONS" else None
    if method == b"CONNECT" or not _TARGET.fullmatch(target):
        return None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute:
        # RFC 9112 section 3.2.2: the target's authority rules, so the two must not differ.
        if absolute[1].lower() != host.lower():
            return None
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    if not target.startswith(b"/"):
        return None
    path, _, query = target.partition(b"?")
    return path, query


class BodyClock:
    """Says when a body is late. Runs only between `wait` and `pause`: the application's own pauses aren't charged."""

    __slots__ = ("_last_at", "_limits", "_spent", "_wait_at", "_window_bytes", "_window_spent")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._wait_at: float | None = None
        self._last_at = 0.0
        self._spent = 0.0
        self._window_spent = 0.0
        self._window_bytes = 0

    def wait(self, now: float) -> None:
        """The application began to wait."""
        self._wait_at = self._last_at = now

    def pause(self, now: float) -> None:
        """The application has what it waited for, or gave up."""
        if self._wait_at is not None:
            self._spent += now - self._wait_at
            self._wait_at = None

    def got(self, count: int, now: float) -> None:
        """`count` bytes came."""
        self._last_at = now
        self._window_bytes += count

    def late(self, now: float) -> bool:
        """Is a limit broken? To be asked from time to time."""
        if self._wait_at is None:
            return False
        limits = self._limits
        spent = self._spent + now - self._wait_at
        if now - self._last_at >= limits.body_seconds_idle_max or spent >= limits.body_seconds_max:
            return True
        window = spent - self._window_spent
        if window >= limits.body_window_seconds:
            if self._window_bytes < limits.body_bytes_per_second_min * window:
                return True
            self._window_spent, self._window_bytes = spent, 0
        return False


# --- one request ------------------------------------------------------------------------------------------------------


class GatewayCycle(RequestResponseCycle):
    """One request and its answer. `failure` is what `receive()` raises when the body broke a limit."""

    def __init__(self, protocol: "GatewayProtocol", head: Head, keep_alive: bool) -> None:
        super().__init__(
            scope=protocol.scope,
            transport=protocol.transport,
            flow=protocol.flow,
            logger=protocol.logger,
            access_logger=protocol.access_logger,
            access_log=False,
            default_headers=protocol.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=head.expects_continue and head.has_body,
            keep_alive=keep_alive,
            on_response=protocol.on_response_complete,
        )
        self.protocol = protocol
        self.failure: GatewayError | None = None
        self.cut = False
        self.received_bytes = 0
        self.body_clock = BodyClock(protocol.limits)

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the application; whatever it does, the client gets one whole answer or a closed connection."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                self.logger.error("the application returned without a whole answer")
                await self._answer(GatewayError("Something went wrong on our side."))
        except GatewayError as error:
            await self._answer(error)
        except Exception as error:  # the last line of defence; not logged with its text, which could quote content
            self.logger.error("the application failed: %s", _place(error))
            await self._answer(GatewayError("Something went wrong on our side."))
        except BaseException:
            self.transport.abort()
            raise
        finally:
            self.on_response = _nothing

    async def _answer(self, error: GatewayError) -> None:
        if self.disconnected or self.response_complete:
            return
        if self.response_started:
            self.transport.close()  # in the middle of an answer only its missing end can tell
            return
        status, headers, body = render(error, None, new_request_id())
        headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def receive(self) -> ASGIReceiveEvent:
        """As ASGI says. Raises `BodyTooLarge`, `RequestTimedOut` or `InvalidRequest` when the body broke a limit."""
        self._raise_failure()
        if self.more_body and not self.message_event.is_set():
            self.protocol.watch_body(self)
        try:
            message = await super().receive()
        finally:
            self.body_clock.pause(self.protocol.loop.time())
        self._raise_failure()
        return message

    def _raise_failure(self) -> None:
        if self.failure is not None and not self.response_complete and not self.disconnected:
            raise self.failure.with_traceback(None)

    async def send(self, message: ASGISendEvent) -> None:
        """As ASGI says; an answer that begins before the body was received is this connection's last."""
        if message["type"] == "http.response.start" and not self.response_started:
            if self.more_body:
                self.cut = True
                kept = [(name, value) for name, value in message.get("headers", []) if name.lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
        elif self.cut and message["type"] == "http.response.body" and not message.get("more_body", False):
            self.keep_alive = True  # the base class must not close: the protocol lingers
        await super().send(message)


def _nothing() -> None:
    return None


def _place(error: BaseException) -> str:
    """Type and innermost line of an exception: enough to find the fault, nothing of its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} in {trace.tb_frame.f_globals.get('__name__', '?')} line {trace.tb_lineno}"


# --- one connection ---------------------------------------------------------------------------------------------------


class _Stop(Exception):
    """Ends the parser's run from inside a callback; the refusal is already on its way."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection. Get a class with your limits from `make_protocol`."""

    limits: ClassVar[Limits] = Limits()
    on_refusal: ClassVar[Callable[[str], None]] = staticmethod(_ignore)

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _LOGGER
        self.access_log = False
        self._running: GatewayCycle | None = None
        self._head: Head | None = None
        self._in_head = False
        self._in_body = False
        self._head_bytes = 0
        self._upgrading = False  # the parser skips this request's body, because it asks for an upgrade
        self._replaying = False  # a new parser is being told how that body is framed
        self._moved = False
        self._unfinished_bytes = 0
        self._deaf = False  # nothing more is parsed on this connection
        self._refusal: bytes | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # From the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections_max:
            self.connections.discard(self)  # while it lingers it must not keep out the next
            self._refuse(Refusal(503, "too_many_connections", "Too many connections; come back in a moment."))
        else:
            self._arm_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        running = self._running
        super().connection_lost(exc)
        # The base class tells only the newest of pipelined requests.
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        self._deaf = True
        self._unset_keepalive_if_required()
        for timer in (self._head_timer, self._body_timer, self._stall_timer, self._close_timer):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self.limits.write_seconds_stalled_max, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        at = 0
        while at < len(data) and not self._deaf:
            step = len(data) if self._in_body else _PIECE_BYTES
            self._feed(data[at : at + step] if step < len(data) or at else data)
            at += step
        if self._deaf:
            self.flow.pause_reading()
        elif self._running is None:
            self._arm_head_timer()

    def _feed(self, piece: bytes) -> None:
        self._moved = False
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            rest = piece[upgrade.args[0] :]
            if rest and not self._deaf:
                self._feed(rest)
            return
        except httptools.HttpParserError:
            if not self._deaf:
                self._malformed()
            return
        self._unfinished_bytes = 0 if self._moved else self._unfinished_bytes + len(piece)
        if self._unfinished_bytes > self.limits.head_bytes_max:
            if self._in_body:  # endless chunk extensions or trailers
                self._malformed()
            else:
                self._refuse_large_head()

    def _ignore_upgrade(self) -> None:
        """RFC 9110 section 7.8: an Upgrade may be ignored. The parser then has skipped the body, so tell a new one."""
        self._upgrading = False
        if self._head is None or not self._head.has_body or not self._in_body:
            return
        framing = (
            b"transfer-encoding: chunked" if self._head.chunked else b"content-length: %d" % self._head.content_length
        )
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._replaying = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\nhost: h\r\n" + framing + b"\r\n\r\n")
        self._replaying = False

    # From the parser

    def on_message_begin(self) -> None:
        if self._replaying:
            return
        super().on_message_begin()
        self._in_head = self._moved = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        if self._replaying:
            return
        self.url += url
        if len(self.url) > self.limits.target_bytes_max:
            self._refuse(Refusal(414, "uri_too_long", "The request target is too long."))
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes outside a head is a trailer: it must not change what the application already saw.
        if not self._in_head:
            return
        self._head_bytes += len(name) + len(value) + 4
        if len(self.headers) >= self.limits.headers_max or self._head_bytes > self.limits.head_bytes_max:
            self._refuse_large_head()
            raise _Stop
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._replaying:
            return
        self._in_head = False
        self._moved = True
        self._disarm_head_timer()
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if self._head_bytes + len(self.url) > self.limits.head_bytes_max:
            self._refuse_large_head()
            raise _Stop
        head = read_head(method, version, self.url, self.headers)
        if isinstance(head, Refusal):
            self._refuse(head)
            raise _Stop
        self._head = head
        self._in_body = True
        self._upgrading = self.parser.should_upgrade()
        path = head.path.decode("ascii")
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + head.path
        self.scope["query_string"] = head.query
        cycle = GatewayCycle(self, head, version == "1.1" and self.parser.should_keep_alive())
        if head.content_length > self.limits.body_bytes_max:
            cycle.failure = _too_large()
        self.cycle = cycle
        if self._running is None:
            self._start(cycle)
            return
        self.pipeline.appendleft((cycle, self.app))
        # Below this the socket is read on: only so is it seen that the client is gone.
        if len(self.pipeline) >= _PIPELINE_MAX:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        self._moved = True
        cycle = cast(GatewayCycle, self.cycle)
        if cycle.response_complete:
            return
        cycle.received_bytes += len(body)
        if cycle.failure is not None or cycle.received_bytes > self.limits.body_bytes_max:
            self._fail_body(cycle, cycle.failure or _too_large())
            raise _Stop
        cycle.waiting_for_100_continue = False  # RFC 9110 section 10.1.1: needless once the body is coming
        cycle.body_clock.got(len(body), self.loop.time())
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._upgrading and self._head is not None and self._head.has_body:
            return  # only the parser believes that the message ended here
        self._moved = True
        self._in_body = False
        self.cycle.more_body = False
        self.cycle.waiting_for_100_continue = False
        self.cycle.message_event.set()

    # From the cycles

    def _start(self, cycle: GatewayCycle) -> None:
        self._running = cycle
        self._start_asgi_task(cycle, self.app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._unset_keepalive_if_required()
        running = self._running
        if self.transport.is_closing():
            self._close()
        elif running is not None and running.cut:
            self._linger()
        elif self.pipeline:
            self._start(cast(GatewayCycle, self.pipeline.pop()[0]))
            self._read_on()
        elif self._refusal is not None:
            self._running = None
            self._send_refusal(self._refusal)
        else:
            self._running = None
            self._read_on()
            if self._in_head:
                self._arm_head_timer()
            else:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.limits.keepalive_seconds, self.timeout_keep_alive_handler
                )

    def _read_on(self) -> None:
        if not self._deaf:
            self.flow.resume_reading()

    def watch_body(self, cycle: GatewayCycle) -> None:
        """The application waits for the body: its clock runs."""
        cycle.body_clock.wait(self.loop.time())
        if self._body_timer is None:
            tick = min(1.0, self.limits.body_seconds_idle_max / 4, self.limits.body_window_seconds / 4)
            self._body_timer = self.loop.call_later(tick, self._check_body, cycle)

    def _check_body(self, cycle: GatewayCycle) -> None:
        self._body_timer = None
        if self._deaf or not cycle.more_body:
            return
        now = self.loop.time()
        if cycle.body_clock.late(now):
            self._fail_body(cycle, RequestTimedOut("The request's body came too slowly."))
        else:
            tick = min(1.0, self.limits.body_seconds_idle_max / 4, self.limits.body_window_seconds / 4)
            self._body_timer = self.loop.call_later(tick, self._check_body, cycle)

    # Refusals and the end of a connection

    def _malformed(self) -> None:
        if self._in_body:
            self._fail_body(cast(GatewayCycle, self.cycle), InvalidRequest("The request's body is not framed validly."))
        else:
            self._refuse(_bad("malformed_request", "The request isn't valid HTTP/1.1."))

    def _refuse_large_head(self) -> None:
        self._refuse(Refusal(431, "request_header_fields_too_large", "The request's headers are too large."))

    def _fail_body(self, cycle: GatewayCycle, error: GatewayError) -> None:
        """Make `receive()` raise; the application's answer is the connection's last, since the body is open."""
        type(self).on_refusal(error.code)
        self._deaf = True
        self.flow.pause_reading()
        cycle.failure = error
        cycle.body.clear()
        cycle.message_event.set()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer by ourselves, after what is still being answered, and close."""
        type(self).on_refusal(refusal.code)
        self._deaf = True
        self.flow.pause_reading()
        self._disarm_head_timer()
        self._refusal = _refusal_bytes(refusal, self.server_state.default_headers)
        if self._running is None:
            self._send_refusal(self._refusal)

    def _send_refusal(self, answer: bytes) -> None:
        self.transport.write(answer)
        self._linger()

    def _linger(self) -> None:
        """End our side, read no more, and close a moment later: closing over unread bytes at once would send a reset,
        which can overtake the answer (RFC 9112 section 9.6)."""
        self._deaf = True
        self.flow.pause_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._close_timer = self.loop.call_later(self.limits.linger_seconds, self._close)
        else:
            self._close()

    def _close(self) -> None:
        """Close, and don't wait for ever for a client that doesn't take the rest of its answer."""
        self.transport.close()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._close_timer = self.loop.call_later(self.limits.write_seconds_stalled_max, self.transport.abort)

    def _arm_head_timer(self) -> None:
        if self._head_timer is None and not self._in_body:
            self._head_timer = self.loop.call_later(self.limits.head_seconds_max, self._head_late)

    def _disarm_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(Refusal(408, "request_timeout", "The request's head came too slowly."))
        else:
            self.transport.close()  # nothing was asked, so there is nothing to answer


def _too_large() -> BodyTooLarge:
    return BodyTooLarge("The request's body is too large.")


def _refusal_bytes(refusal: Refusal, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    error = GatewayError(refusal.message, code=refusal.code)
    error.status = refusal.status
    _, headers, body = render(error, None, new_request_id())
    headers = [*default_headers, *headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[refusal.status] + lines + b"\r\n" + body
