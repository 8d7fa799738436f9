"""An answer as bytes, and how a fault deforms it: pure, so that it can be tested without a socket."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from router.providers.simulator.faults import Fault

JSON_TYPE = b"application/json"
SSE_TYPE = b"text/event-stream; charset=utf-8"
ECHO_CHARS_MAX = 200_000

Ending = Literal["whole", "cut", "hang"]


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """Status, headers and the body in the chunks it is sent in; a stream's chunks are its events.

    `ending`: whole; cut (the connection ends after the chunks, with the body unfinished); hang (it stays open).
    """

    status: int
    content_type: bytes
    chunks: Sequence[bytes]
    streamed: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()
    ending: Ending = "whole"
    delay_ms: int = 0
    gap_ms: int = 0


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a dialect contributes to a fault: its error object, an error inside a stream, the stream's terminators."""

    error: Callable[[int, str], object]
    error_event: Callable[[str], bytes]
    terminators: int
    """How many of a stream's last chunks say that it ended well."""


def dumps(value: object) -> bytes:
    """Compact UTF-8 as providers send it: U+2028 and its like stand raw. Lone surrogates are escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def plain(value: object, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """A JSON answer."""
    return Reply(status, JSON_TYPE, (dumps(value),), headers=headers)


def events(chunks: Sequence[bytes], content_type: bytes = SSE_TYPE) -> Reply:
    """A stream."""
    return Reply(200, content_type, chunks, streamed=True)


def deform(reply: Reply, fault: Fault | None, shapes: Shapes, echo: str) -> Reply:
    """The reply under a fault. `echo` is the prompt's text, which real upstreams quote in their errors."""
    if fault is None or reply.status != 200:
        return reply
    echo = echo[:ECHO_CHARS_MAX]
    if fault.status is not None:
        seconds = fault.number("retry_after", -1)
        headers = ((b"retry-after", str(seconds).encode()),) if seconds >= 0 else ()
        return plain(shapes.error(fault.status, f"Simulated failure while handling: {echo}"), fault.status, headers)
    return _DEFORM.get(fault.kind, _same)(reply, fault, shapes, echo)


def _same(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return reply


def _delay(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, delay_ms=fault.number("ms", 200))


def _middle(reply: Reply) -> int:
    return max(1, len(reply.chunks) // 2)


def _halved(reply: Reply) -> list[bytes]:
    """The first half: whole events of a stream, else half of the bytes."""
    if reply.streamed:
        return list(reply.chunks[: _middle(reply)])
    body = b"".join(reply.chunks)
    return [body[: len(body) // 2]]


def _cut(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, chunks=_halved(reply), ending="cut")


def _cut_json(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    if not reply.streamed:
        return _cut(reply, fault, shapes, echo)
    at = _middle(reply)
    torn = reply.chunks[at] if at < len(reply.chunks) else reply.chunks[-1]
    return replace(reply, chunks=[*reply.chunks[:at], torn[: len(torn) * 2 // 3]], ending="cut")


def _malformed(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    broken = b'{"choices": [{"broken": "' + echo.encode(errors="replace") + b'", ]]'
    if not reply.streamed:
        return replace(reply, chunks=[broken])
    broken = broken.replace(b"\r", b" ").replace(b"\n", b" ")
    at = _middle(reply)
    return replace(reply, chunks=[*reply.chunks[:at], b"data: " + broken + b"\n\n", *reply.chunks[at:]])


def _html(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    page = f"<!doctype html><html><body><h1>Bad gateway</h1><pre>{echo}</pre></body></html>"
    return Reply(200, b"text/html; charset=utf-8", (page.encode(errors="replace"),))


def _error_event(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    message = f"Simulated failure while handling: {echo}"
    if not reply.streamed:
        return plain(shapes.error(500, message))
    return replace(reply, chunks=[*reply.chunks[: _middle(reply)], shapes.error_event(message)])


def _redirect(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return Reply(307, b"text/plain", (b"moved",), headers=((b"location", b"/redirected"),))


def _slow(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    size = max(1, fault.number("bytes", 16))
    body = b"".join(reply.chunks)
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    # Streamed framing: a drip under a content length looks the same on the wire, but this one needs none.
    return replace(reply, chunks=parts, streamed=True, gap_ms=fault.number("ms", 20))


def _hang_midway(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, chunks=_halved(reply), ending="hang")


def _hang(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, status=0, chunks=(), ending="hang")


def _close(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, status=0, chunks=(), ending="cut")


def _wrong_type(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, content_type=b"text/plain; charset=utf-8")


def _no_terminator(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, chunks=list(reply.chunks)[: -shapes.terminators]) if reply.streamed else reply


def _empty(reply: Reply, fault: Fault, shapes: Shapes, echo: str) -> Reply:
    return replace(reply, chunks=())


_DEFORM: dict[str, Callable[[Reply, Fault, Shapes, str], Reply]] = {
    "delay": _delay,
    "cut": _cut,
    "cut_json": _cut_json,
    "malformed": _malformed,
    "html": _html,
    "error_event": _error_event,
    "redirect": _redirect,
    "slow": _slow,
    "hang": _hang,
    "hang_midway": _hang_midway,
    "close": _close,
    "wrong_type": _wrong_type,
    "no_terminator": _no_terminator,
    "empty": _empty,
}
