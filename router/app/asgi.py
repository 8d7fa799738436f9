"""The one ASGI application: the gateway's paths are dispatched before any framework sees them, the rest goes to the web."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from governance import sinks
from governance.bodies import failure
from governance.errors import ValueAPIError
from router.app import last_resort
from router.app.arrived import Arrived
from router.app.service import Service
from router.gateway import routes
from router.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application:
    """Opens the service with the server's lifespan and closes it with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._service: Service | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        service = self._service
        if service is None:
            raise RuntimeError("a request came before the start or after the end")
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        try:
            match = routes.match(scope["path"])
            if match is not None:
                await service.gateway.serve(match, scope, receive, send)
            else:
                web: Any = service.web
                arrived = Arrived(scope, receive)
                with sinks.given(arrived.texts):
                    await web(scope, arrived.receive, send)
        except BaseException as error:
            failure.empty(error)  # whatever stands around this has nothing to show
            raise

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        last_resort.watch(asyncio.get_running_loop())
        try:
            self._service = await Service.open(self._settings)
        except ValueAPIError as error:
            print(error, file=sys.stderr, flush=True)  # noqa: T201  the sentence that start-up stops with
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        service, self._service = self._service, None
        await service.aclose()
        await send({"type": "lifespan.shutdown.complete"})
