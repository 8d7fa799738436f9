"""What a request to the web application brought along: its own words, which may be recorded whoever repeats them in a
prompt. Read only where the guard is in doubt about a value."""

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from governance.bodies.known import texts_of

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Arrived:
    """Wraps `receive`; the shell bounds the body (64 KiB) that is kept while the request is served."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._body: list[bytes] = []

    async def receive(self) -> MutableMapping[str, Any]:
        """As the server's, remembering the body."""
        message = await self._receive()
        if message.get("body"):
            self._body.append(message["body"])
        return message

    def texts(self) -> Iterator[str]:
        """The client's address, header values, parts of the path, and fields of query and body."""
        client = self._scope.get("client")
        if client:
            yield str(client[0])
        for _, value in self._scope["headers"]:
            yield value.decode("latin-1")
        yield from unquote(self._scope["path"]).split("/")
        yield from _fields(self._scope["query_string"].decode("latin-1"))
        body = b"".join(self._body).decode("utf-8", "replace")
        try:
            for text in texts_of(json.loads(body)):
                yield str(text)
        except (ValueError, RecursionError):
            yield from _fields(body)


def _fields(text: str) -> Iterator[str]:
    for _, value in parse_qsl(text, max_num_fields=None):
        yield value
