"""One HTTP/1.1 request as the upstream reads it: lenient, since a gateway's own mistakes are no concern of the probe."""

import asyncio
import re
from dataclasses import dataclass

from router.probe.canaries import tags
from router.surface import Endpoint

_BYTES_MAX = 128 * 1024 * 1024
_ENDPOINTS = (  # by the end of the path: a gateway may put anything before it
    (re.compile(rb"/chat/completions$"), Endpoint.CHAT),
    (re.compile(rb"/completions$"), Endpoint.COMPLETIONS),
    (re.compile(rb"/embeddings$"), Endpoint.EMBEDDINGS),
    (re.compile(rb"/responses$"), Endpoint.RESPONSES),
    (re.compile(rb"/messages/count_tokens$"), Endpoint.COUNT_TOKENS),
    (re.compile(rb"/messages$"), Endpoint.MESSAGES),
    (re.compile(rb":generateContent$"), Endpoint.GENERATE),
    (re.compile(rb":streamGenerateContent$"), Endpoint.STREAM_GENERATE),
    (re.compile(rb":countTokens$"), Endpoint.GOOGLE_COUNT_TOKENS),
)
_STREAM = re.compile(rb'"stream"\s*:\s*true')


@dataclass(frozen=True, slots=True, repr=False)
class Received:
    """Header names are lower-case."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def endpoint(self) -> Endpoint | None:
        return next((endpoint for pattern, endpoint in _ENDPOINTS if pattern.search(self.path)), None)

    @property
    def last(self) -> bool:
        """Whether the connection is to end after the answer."""
        return (b"connection", b"close") in self.headers

    @property
    def streams(self) -> bool:
        return self.endpoint is Endpoint.STREAM_GENERATE or _STREAM.search(self.body) is not None

    @property
    def json_array(self) -> bool:
        return self.endpoint is Endpoint.STREAM_GENERATE and b"alt=sse" not in self.target

    @property
    def text(self) -> str:
        """What an answer quotes: the body, whatever its encoding."""
        return self.body.decode("utf-8", "replace")

    def tag(self) -> str | None:
        """The tag of the case that sent this: of the first canary in the body, else in the head."""
        head = b"\n".join((self.target, *(name + b": " + value for name, value in self.headers)))
        return next(tags(self.body), None) or next(tags(head), None)


async def read(reader: asyncio.StreamReader) -> Received | None:
    """The next request; None at the connection's end. Raises ValueError or an asyncio error for what isn't HTTP/1.1."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head[:-4].split(b"\r\n")
    method, target, _ = line.split(b" ", 2)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in (each.partition(b":") for each in rest))
    given = dict(headers)
    if b"chunked" in given.get(b"transfer-encoding", b"").lower():
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(min(int(given.get(b"content-length", b"0")), _BYTES_MAX))
    return Received(method, target, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return bytes(body)
        if len(body) + size > _BYTES_MAX:
            raise ValueError("a body larger than any that is sent")
        body += await reader.readexactly(size)
        await reader.readexactly(2)
