"""Serves the answers on loopback, and remembers what arrived: which cases, and what it should not have been sent."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from router.probe.canaries import Direction, Marks
from router.probe.case import Case, Request
from router.probe.upstream import faults
from router.probe.upstream.answer import Answer, End, whole
from router.probe.upstream.received import Received, read

_HEAD_BYTES_MAX = 1024 * 1024


class Upstream:
    """`cases` are known by their tags. `hang_s` is how long a hanging answer hangs."""

    def __init__(self, cases: Mapping[str, Case], *, hang_s: float) -> None:
        self._cases = cases
        self._hang_s = hang_s
        self.carried: set[str] = set()  # tags of cases whose body arrived
        self.sent_on: Counter[str] = Counter()  # names of canaries that arrived where only a prompt should
        self.redirected: Counter[str] = Counter()  # names of cases whose redirect was followed
        self.requests = 0
        self.trap = ""
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        await self._connection(reader, writer, trap=False)

    async def trapped(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to the port that redirects lead to."""
        await self._connection(reader, writer, trap=True)

    async def aclose(self) -> None:
        """End every connection, hanging ones too."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, trap: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while (received := await read(reader)) is not None:
                self.requests += 1
                case = self._cases.get(received.tag() or "")
                if trap:
                    self.redirected[case.name if case else "unknown"] += 1
                    await self._write(writer, whole({}))
                    break
                if not await self._write(writer, self._answer(received, case)) or received.last:
                    break
        except (ValueError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the gateway left, or speaks something else
        except asyncio.CancelledError:
            pass  # the probe is over
        finally:
            self._open.discard(task)
            writer.close()

    def _answer(self, received: Received, case: Case | None) -> Answer:
        endpoint = received.endpoint
        if endpoint is None:
            # A gateway may look which models there are; whatever else is no wire of ours.
            return whole({"object": "list", "data": []}, 200 if received.path.endswith(b"/models") else 404)
        if case is None:
            case = _UNKNOWN
        else:
            self._remember(received, case)
        return faults.answer(faults.Asked(received, endpoint, case, self.trap), case.fault)

    def _remember(self, received: Received, case: Case) -> None:
        head = b"\n".join((received.target, *(name + b": " + value for name, value in received.headers)))
        for canary in list(case.marks):
            value = canary.value.encode()
            if canary.direction is Direction.PROMPT:
                if value in received.body:
                    self.carried.add(case.tag)
            elif value in head or value in received.body:
                self.sent_on[canary.name] += 1

    async def _write(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        """False where the connection must end."""
        if answer.status is not None:
            writer.write(answer.head())
            for piece in answer.pieces:
                writer.write(answer.framed(piece))
                await writer.drain()
                if answer.between_s:
                    await asyncio.sleep(answer.between_s)
        if answer.end is End.WHOLE:
            writer.write(answer.last())
            await writer.drain()
            return True
        if answer.end is End.HANG:
            await asyncio.sleep(self._hang_s)
        if answer.end is End.RESET:
            writer.transport.abort()
        return False


_UNKNOWN = Case("unknown", Marks("unknown", 0), lambda marks: Request())  # answers a request that carries no canary


@asynccontextmanager
async def running(upstream: Upstream, port: int | None = None) -> AsyncIterator[int]:
    """The port that it listens on, chosen where none is given. Raises OSError where that is in use."""
    servers = [
        await asyncio.start_server(upstream.trapped, "127.0.0.1", 0, limit=_HEAD_BYTES_MAX),
        await asyncio.start_server(upstream.serve, "127.0.0.1", port or 0, limit=_HEAD_BYTES_MAX),
    ]
    trap, listening = (_port(server) for server in servers)
    upstream.trap = f"http://127.0.0.1:{trap}"
    try:
        yield listening
    finally:
        for server in servers:
            server.close()
        await upstream.aclose()
        for server in servers:
            with suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 5)


def _port(server: asyncio.Server) -> int:
    address: tuple[str, int] = server.sockets[0].getsockname()
    assert server.sockets[0].family == socket.AF_INET
    return address[1]
