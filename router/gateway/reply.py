"""Writes one answer to the caller: head once, then pieces, then the end. The only writer of response bytes."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from governance.bodies.body import Body

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Fixed = tuple[tuple[bytes, bytes], ...]
# Answers hold personal content: no cache may keep them (RFC 9111 section 5.2.2.5).
NOT_CACHED: Fixed = ((b"cache-control", b"no-store"),)


class Reply:
    """`status` is None until the head went out; `ended` once the last byte did. `fixed`: headers of every answer."""

    __slots__ = ("_fixed", "_send", "admitted", "counted", "ended", "finishing", "left", "probe", "status")

    def __init__(self, send: Send, fixed: Fixed = NOT_CACHED) -> None:
        self._send = send
        self._fixed = fixed
        self.status: int | None = None
        self.ended = False
        self.finishing = False  # the text is whole; only the provider's count of it is still to come
        self.counted = asyncio.Event()  # what the provider read can be told: it has said so, or it can be estimated
        self.admitted = False  # Credits are set aside, and a provider may be at work
        self.left = False  # the caller has
        self.probe = False  # it is the service's own

    async def whole(self, status: int, headers: Headers, body: Body) -> None:
        """A whole answer with its length."""
        await self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.end(body.expose())

    async def start(self, status: int, headers: Headers) -> None:
        """The head."""
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self._fixed]})

    async def piece(self, data: bytes) -> None:
        """Some bytes of the body, sent at once."""
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last bytes."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
