"""The one ASGI application: the gateway's paths are dispatched before any framework sees them, the rest goes to the web.

A body is plain bytes here until the gateway reads it: the house rules about bodies hold in this module too, and the watch
over what a request writes begins where its path is known to be the gateway's.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from governance import sinks
from governance.bodies import failure
from governance.vault.purpose import Actor, stating
from router.app import last_resort
from router.app.arrived import Arrived
from router.app.begin import begin
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
                with stating(Actor.GATEWAY):
                    await self._gateway(service, match, scope, receive, send)
            else:
                web: Any = service.web
                arrived = Arrived(scope, receive)
                with sinks.given(arrived.texts):
                    await web(scope, arrived.receive, send)
        except BaseException as error:
            failure.empty(error)  # whatever stands around this has nothing to show
            raise

    async def _gateway(self, service: Service, match: routes.Match, scope: Scope, receive: Receive, send: Send) -> None:
        """All that is done with a gateway's request goes here: what it writes is watched."""
        await service.gateway.serve(match, scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        last_resort.watch(asyncio.get_running_loop())
        self._service = service = await begin(self._settings)
        if service is None:
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._service = None
        await service.aclose()
        await send({"type": "lifespan.shutdown.complete"})
