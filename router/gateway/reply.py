"""Writes one answer to the caller: head once, then pieces, then the end. The only writer of response bytes."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from governance.bodies.body import Body

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class Reply:
    """`status` is None until the head went out; `ended` once the last byte did."""

    __slots__ = ("_send", "admitted", "counted", "ended", "finishing", "left", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.ended = False
        self.finishing = False  # the text is whole; only the provider's count of it is still to come
        self.counted = asyncio.Event()  # what the provider read can be told: it has said so, or it can be estimated
        self.admitted = False  # Credits are set aside, and a provider may be at work
        self.left = False  # the caller has

    async def whole(self, status: int, headers: Headers, body: Body) -> None:
        """A whole answer with its length."""
        await self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.end(body.expose())

    async def start(self, status: int, headers: Headers) -> None:
        """The head. Answers hold personal content: no cache may keep them (RFC 9111 section 5.2.2.5)."""
        self.status = status
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, (b"cache-control", b"no-store")]}
        )

    async def piece(self, data: bytes) -> None:
        """Some bytes of the body, sent at once."""
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last bytes."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
