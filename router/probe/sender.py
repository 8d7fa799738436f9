"""Sends the cases over raw sockets: bytes as they are, broken ones too, and callers that leave."""

import asyncio
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from urllib.parse import urlsplit

from router.probe.canaries import CHARS, Direction
from router.probe.case import Case, Credential, Headers, Leave, Request
from router.surface import Dialect

_PIECE_BYTES = 256 * 1024
_KEPT_BYTES = 64 * 1024 * 1024
_CONCURRENT = 32
_RAW_PATIENCE_S = 3.0
_KEY_HEADER: dict[Dialect, Callable[[str], tuple[bytes, bytes]]] = {
    Dialect.OPENAI: lambda key: (b"authorization", f"Bearer {key}".encode()),
    Dialect.ANTHROPIC: lambda key: (b"x-api-key", key.encode()),
    Dialect.GOOGLE: lambda key: (b"x-goog-api-key", key.encode()),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case. `status` None: no answer's head came. `answered`: the completion's canary reached us."""

    case: str
    status: int | None
    how: str
    answered: bool


class Sender:
    """`keys` by credential; `headers` go with every request that isn't raw. `base` is the gateway's URL."""

    def __init__(
        self, base: str, keys: Mapping[Credential, str], *, headers: Headers = (), patience_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        parts = urlsplit(base)
        self._host = parts.hostname or "127.0.0.1"
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        # The official clients' base URLs end in the version, which every target has already.
        self._prefix = parts.path.rstrip("/").removesuffix("/v1").encode()
        self._keys = keys
        self._headers = headers
        self._patience_s = patience_s

    async def send_all(self, cases: Sequence[Case], done: Callable[[Outcome], None]) -> list[Outcome]:
        """Every case once, many at a time; `done` is called with each outcome as it comes."""
        slots = asyncio.Semaphore(_CONCURRENT)

        async def one(case: Case) -> Outcome:
            async with slots:
                outcome = await self.send(case)
            done(outcome)
            return outcome

        return list(await asyncio.gather(*(one(case) for case in cases)))

    async def send(self, case: Case) -> Outcome:
        """One case, to its end or to the end of patience."""
        answer, request = bytearray(), case.request()
        # Broken bytes don't ask for the connection to be closed, and a gateway may wait for more of them.
        patience_s = self._patience_s if request.raw is None else min(_RAW_PATIENCE_S, self._patience_s)
        try:
            async with asyncio.timeout(patience_s):
                how = await self._exchange(case, request, answer)
        except TimeoutError:
            how = "no end in time"
        except OSError:
            how = "connection refused or broken"
        return Outcome(case.name, _status(answer), how, _answered(case, bytes(answer)))

    async def _exchange(self, case: Case, request: Request, answer: bytearray) -> str:
        """Fills `answer` with what comes back."""
        leave = request.leave
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        reading = asyncio.ensure_future(_read(reader, answer, leave is Leave.IN_ANSWER))
        try:
            if leave is not None:
                # A reset, as from a process that died: nothing is flushed, nothing waited for.
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            data = self._bytes(case, request)
            if leave is Leave.IN_BODY:
                writer.write(data[: len(data) - len(request.body or b"") // 3])
                await writer.drain()
                await asyncio.sleep(0.05)
                return "left"
            with suppress(ConnectionError):  # it may answer and close before it has read everything
                for at in range(0, len(data), _PIECE_BYTES):
                    writer.write(data[at : at + _PIECE_BYTES])
                    await writer.drain()
            if leave is Leave.WAITING:
                await asyncio.sleep(0.3)
                return "left"
            await reading
            return "left" if leave else "ended"
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await reading
            writer.transport.abort() if leave else writer.close()

    def _bytes(self, case: Case, request: Request) -> bytes:
        if request.raw is not None:
            return request.raw
        target = request.target if request.target.startswith(b"http") else self._prefix + request.target
        headers = [
            (b"host", f"{self._host}:{self._port}".encode()), (b"connection", b"close"),
            *self._key(case), *self._headers, *request.headers, *_length(request),
        ]  # fmt: skip
        if case.lane is not None and case.lane.wire is Dialect.ANTHROPIC:
            headers.append((b"anthropic-version", b"2023-06-01"))
        head = b"\r\n".join((request.method + b" " + target + b" HTTP/1.1", *(n + b": " + v for n, v in headers)))
        return head + b"\r\n\r\n" + (_chunked(request.body) if request.chunked else request.body or b"")

    def _key(self, case: Case) -> Headers:
        if case.credential is Credential.OWN or case.lane is None:
            return ()
        return (_KEY_HEADER[case.lane.wire](self._keys[case.credential]),)


def _length(request: Request) -> Headers:
    if request.chunked:
        return ((b"transfer-encoding", b"chunked"),)
    if request.body is None and request.declared is None:
        return ()
    size = request.declared if request.declared is not None else len(request.body or b"")
    return ((b"content-length", str(size).encode()),)


def _chunked(body: bytes | None) -> bytes:
    """Sizes that don't divide a canary's place evenly, so that some are split between two chunks."""
    data, made = body or b"", bytearray()
    for at in range(0, len(data), 65_521):
        piece = data[at : at + 65_521]
        made += b"%x\r\n%s\r\n" % (len(piece), piece)
    return bytes(made + b"0\r\n\r\n")


async def _read(reader: asyncio.StreamReader, into: bytearray, first_alone: bool) -> None:
    """Until the end, or until the first bytes of a body."""
    while len(into) < _KEPT_BYTES:
        piece = await reader.read(65536)
        if not piece:
            return
        into += piece
        if first_alone and not into.endswith(b"\r\n\r\n") and b"\r\n\r\n" in into:
            return


def _status(answer: bytes | bytearray) -> int | None:
    line = bytes(answer[:16]).split(b" ")
    return int(line[1][:3]) if len(line) > 1 and line[0].startswith(b"HTTP/") and line[1][:3].isdigit() else None


def _answered(case: Case, answer: bytes) -> bool:
    """Whether the completion came through whole, or in the two halves of a stream."""
    values = [c.value.encode() for c in case.marks if c.direction is Direction.COMPLETION and c.name.endswith("/text")]
    half = CHARS // 2
    return any(value in answer or (value[:half] in answer and value[half:] in answer) for value in values)
