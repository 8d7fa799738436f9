"""One connection: what the parser finds becomes requests, each answered in turn; refusals end it."""

import asyncio
import logging
import urllib.parse
from collections.abc import Callable
from typing import Any, ClassVar, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from router.errors import BodyTooLarge, GatewayError, InvalidRequest, RequestTimedOut, render
from router.gateway.protocol.cycle import GatewayCycle
from router.gateway.protocol.head import Head, Refusal, read_head
from router.gateway.protocol.limits import Limits
from router.gateway.request_name import RequestName

_LOGGER: Final = logging.getLogger("valueapi.http")
_LOGGER.setLevel(logging.INFO)  # at uvicorn's TRACE level the base class prints client addresses

# A parser callback can't tell how much of a read belonged to the head, so unparsed heads are fed in pieces this small.
_PIECE_BYTES: Final = 8192
_PIPELINE_MAX: Final = 8


def make_protocol(limits: Limits, on_refusal: Callable[[str], None] | None = None) -> type["GatewayProtocol"]:
    """The class for `uvicorn.Config(http=...)`. `on_refusal` gets the code of each refusal made here, for a counter."""
    return type(
        "GatewayProtocol", (GatewayProtocol,), {"limits": limits, "on_refusal": staticmethod(on_refusal or _ignore)}
    )


def _ignore(code: str) -> None:
    return None


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
            self._refuse(Refusal(400, "malformed_request", "The request isn't valid HTTP/1.1."))

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
    _, headers, body = render(error, None, RequestName().text)
    headers = [*default_headers, *headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[refusal.status] + lines + b"\r\n" + body
