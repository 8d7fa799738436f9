"""One request and its answer, as the application sees them."""

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

import structlog
from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from governance.bodies import failure, fragments
from router.errors import GatewayError, render
from router.gateway import routes
from router.gateway.protocol.body_clock import BodyClock
from router.gateway.protocol.head import Head
from router.gateway.request_name import RequestName

if TYPE_CHECKING:
    from router.gateway.protocol.connection import GatewayProtocol

_log = structlog.get_logger("valueapi.http")


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
            await self._run(app)
        except BaseException as error:
            self.transport.abort()
            failure.empty(error)
            raise
        finally:
            self.on_response = _nothing

    async def _run(self, app: ASGI3Application) -> None:
        try:
            # From its first piece on: whatever stands before the gateway can't write it either.
            ours = routes.match(self.scope["path"]) is not None
            with fragments.arriving() if ours else nullcontext():
                await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                self.logger.error("the application returned without a whole answer")
                await self._answer(GatewayError("Something went wrong on our side."))
        except GatewayError as error:
            await self._answer(error)
        except Exception as error:  # the last line of defence; not logged with its text, which could quote content
            met = failure.of(error)
            failure.empty(error)
            _log.error("the application failed", type=met.type, place=met.place)
            await self._answer(GatewayError("Something went wrong on our side."))

    async def _answer(self, error: GatewayError) -> None:
        if self.disconnected or self.response_complete:
            return
        if self.response_started:
            self.transport.close()  # in the middle of an answer only its missing end can tell
            return
        status, headers, body = render(error, None, RequestName().text)
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
        if message["type"] == "http.request":
            fragments.arrived(message["body"])
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
