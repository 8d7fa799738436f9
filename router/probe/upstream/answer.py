"""An answer as a value: its bytes, how they are framed, and where they end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JSON = "application/json"
EVENTS = "text/event-stream"


class End(StrEnum):
    """What happens after the pieces."""

    WHOLE = "whole"
    CUT = "cut"  # the connection closes, the body isn't whole
    RESET = "reset"
    HANG = "hang"  # nothing more comes until the probe's patience ends


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """`status` None: not even a head comes. `chunked` for streams, else a length that covers all pieces."""

    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes, ...] = ()
    chunked: bool = False
    end: End = End.WHOLE
    between_s: float = 0.0

    def head(self) -> bytes:
        length = sum(map(len, self.pieces)) + (1000 if self.end is not End.WHOLE else 0)
        framing = "transfer-encoding: chunked" if self.chunked else f"content-length: {length}"
        lines = [f"HTTP/1.1 {self.status} Answer", framing, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join((*lines, "", "")).encode()

    def framed(self, piece: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece

    def last(self) -> bytes:
        return b"0\r\n\r\n" if self.chunked else b""


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def whole(value: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, (("content-type", JSON),), (dumps(value),))


def stream(events: Sequence[bytes], kind: str = EVENTS) -> Answer:
    return Answer(200, (("content-type", kind),), tuple(events), chunked=True)


def event(value: object, name: str | None = None) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + dumps(value) + b"\n\n"


def halves(words: str) -> tuple[str, str]:
    """A stream's two pieces: each longer than the least fragment that a search finds."""
    return words[: len(words) // 2], words[len(words) // 2 :]
