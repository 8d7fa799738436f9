"""Framing of streams, sans-I/O: server-sent events, and Google's JSON array.

Both splitters take chunks cut anywhere and give back whole pieces whose concatenation is exactly what came in, so
that a piece can be forwarded byte for byte or withheld. Both are bounded: MalformedUpstream past `limit`.

Events: HTML Standard, section 9.2 "Server-sent events". A line ends with CR LF, LF or CR and with nothing else:
U+2028, U+2029, U+0085, VT and FF are content.
"""

import re
from typing import Final

from router.providers.dialects.base import MalformedUpstream

EVENT_BYTES_MAX: Final = 32 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_MARK = re.compile(rb'["\\{}\[\]]')
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry", b""})  # b"": a comment, a line that starts with a colon


class SSESplitter:
    """Bytes in, raw events out, each with its closing blank line.

    When a blank line's CR ends a chunk the event is given at once, and an LF that follows comes as a piece of its own,
    an empty line that means nothing.
    """

    __slots__ = ("_after_cr", "_buffer", "_limit", "_seen")

    def __init__(self, limit: int = EVENT_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._seen = 0  # no blank line starts before this offset
        self._after_cr = False  # the last event's CR may be the first half of a CR LF
        self._limit = limit

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that this chunk completes. Raises MalformedUpstream when one grows past the limit."""
        self._buffer += chunk
        events: list[bytes] = []
        start = 0
        if self._after_cr and self._buffer:
            self._after_cr = False
            if self._buffer[0] == 0x0A:
                events.append(b"\n")
                start = 1
        while (end := _BLANK_LINE.search(self._buffer, max(start, self._seen))) is not None:
            events.append(bytes(self._buffer[start : end.end()]))
            start = self._seen = end.end()
            self._after_cr = start == len(self._buffer) and end[0].endswith(b"\r")
        del self._buffer[:start]
        # A line's end may be among the last bytes and the blank line's with the next ones: CR LF is the longest.
        self._seen = max(0, len(self._buffer) - 2)
        if len(self._buffer) > self._limit or any(len(event) > self._limit for event in events):
            raise MalformedUpstream("The upstream sent an event that is too long.")
        return events

    def close(self) -> bytes:
        """What is left without a closing blank line; empty after a whole stream."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._seen = 0
        return rest


def parse_event(raw: bytes) -> tuple[bytes, bytes | None]:
    """Name and data of one raw event; data None where it has no data line (a comment that keeps the line open).

    Raises MalformedUpstream for a line that isn't a field, such as a line of HTML.
    """
    if raw.startswith(b"data: ") and raw.endswith(b"\n\n") and raw.count(b"\n") == 2 and b"\r" not in raw:
        return b"", raw[6:-2]
    name = b""
    data: list[bytes] = []
    for line in raw.removeprefix(_BOM).splitlines():  # bytes split at CR, LF and CR LF only
        field, _, value = line.partition(b":")
        if field not in _FIELDS:
            raise MalformedUpstream("The upstream sent a line that isn't a server-sent event's.")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return name, b"\n".join(data) if data else None


class ArraySplitter:
    """A JSON array of objects in, its pieces out: each an object with the bracket, comma and white space before it.

    `closed` is True once the array's closing bracket came; that bracket and white space after it are a last piece.
    `streamGenerateContent` without `alt=sse` answers so (ai.google.dev, generateContent).
    """

    __slots__ = ("_buffer", "_depth", "_first", "_in_string", "_limit", "_pos", "closed")

    def __init__(self, limit: int = EVENT_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._pos = 0  # all before it has been looked at
        self._depth = 0
        self._in_string = False
        self._first = True
        self._limit = limit
        self.closed = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The pieces that this chunk completes. Raises MalformedUpstream for anything but an array of objects."""
        self._buffer += chunk
        pieces: list[bytes] = []
        start = 0
        while (mark := _MARK.search(self._buffer, self._pos)) is not None:
            byte = mark[0]
            if byte == b"\\":
                if not self._in_string:
                    raise MalformedUpstream("The upstream's stream isn't JSON.")
                if mark.end() == len(self._buffer):  # what it escapes comes with the next chunk
                    self._pos = mark.start()
                    break
                self._pos = mark.end() + 1
                continue
            self._pos = mark.end()
            if byte == b'"':
                self._in_string = not self._in_string
            elif self._in_string:
                continue
            elif byte in b"{[":
                self._open(byte, bytes(self._buffer[start : mark.start()]))
            else:
                self._depth -= 1
                if self._depth < 2:
                    pieces.append(bytes(self._buffer[start : self._pos]))
                    start = self._pos
                    if self._depth < 1:
                        self._end(pieces[-1])
        else:
            self._pos = len(self._buffer)
        if self.closed:  # only white space may follow
            tail = bytes(self._buffer[start:])
            if tail.strip(b" \t\r\n"):
                raise MalformedUpstream("The upstream went on after its array's end.")
            if tail:
                pieces.append(tail)
            start = len(self._buffer)
        del self._buffer[:start]
        self._pos = max(0, self._pos - start)
        if len(self._buffer) > self._limit or any(len(piece) > self._limit for piece in pieces):
            raise MalformedUpstream("The upstream sent an element that is too long.")
        return pieces

    def _open(self, byte: bytes, before: bytes) -> None:
        gap = before.strip(b" \t\r\n")
        if self._depth == 0:
            wrong = self.closed or byte != b"[" or bool(gap)
        elif self._depth == 1:
            wrong = byte != b"{" or gap != (b"[" if self._first else b",")
            self._first = False
        else:
            wrong = False
        if wrong:
            raise MalformedUpstream("The upstream's stream isn't an array of objects.")
        self._depth += 1

    def _end(self, piece: bytes) -> None:
        if self.closed or piece.translate(None, b" \t\r\n") != (b"[]" if self._first else b"]"):
            raise MalformedUpstream("The upstream's array ended wrongly.")
        self.closed = True

    def close(self) -> bytes:
        """What is left of an element or array that never ended; empty after a whole array."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._pos = 0
        return rest
