"""What of a body is content: every JSON string in it that is long enough to be told again, names of members included.

A model's name or an enumeration's value that stands in a body is harmless here: what the house itself may write is
exempt where it is written (`known.py`). Pure functions of bytes; nothing is kept.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

LEAST = 32
"""Bytes of the shortest fragment that is watched."""

_UNREADABLE = (ValueError, RecursionError)  # a caller may nest as deep as it likes
# Possessive, and it ends with the data too: from a quote on it always matches, so that no byte is gone through twice.
_STRING = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"?', re.DOTALL)
_HEAD_MAX = 2 << 20  # bytes; of a longer body its beginning and its end are looked at
_TAIL_MAX = 1 << 20
_whole = msgspec.json.Decoder(msgspec.Raw)
_decode = msgspec.json.Decoder().decode


def strings(data: bytes) -> Iterator[bytes]:
    """Strings of a JSON text, as they stand and, where that differs, decoded (UTF-8). Linear, and at most 4 MiB are read.

    By tokens, so that of a member named twice both are there. What isn't JSON is content as a whole.
    """
    if len(data) <= _HEAD_MAX + _TAIL_MAX:
        yield from _tokens(data)
    else:
        yield from _tokens(data[:_HEAD_MAX])
        # Whether the cut was within a string isn't known: both are taken for it.
        tail = data[-_TAIL_MAX:]
        yield from _tokens(tail)
        yield from _tokens(b'"' + tail)
    if len(data) >= LEAST and not _is_json(data):
        yield data


def _tokens(data: bytes) -> Iterator[bytes]:
    for hit in _STRING.finditer(data):
        token: bytes = hit[1]
        if len(token) < LEAST:
            continue
        yield token
        if b"\\" in token:
            decoded = _decoded(token)
            if len(decoded) >= LEAST:
                yield decoded


def _is_json(data: bytes) -> bool:
    try:
        _whole.decode(data)
    except _UNREADABLE:
        return False
    return True


def _decoded(token: bytes) -> bytes:
    try:
        text: str = json.loads(b'"' + token + b'"', strict=False)
    except _UNREADABLE:
        return b""
    return encoded(text)


def encoded(text: str) -> bytes:
    """UTF-8; a half of a surrogate pair, which JSON may hold, is kept."""
    return text.encode("utf-8", "surrogatepass")


Place = tuple[object, ...]
_FIELDS = (b"event:", b"id:", b"retry:", b":")  # of an event, beside its data
_LINE_MAX = 256 << 10  # bytes of a line before its end is seen
_JOINED_MAX = 4 << 20  # bytes of all places together
_PLACES_MAX = 4096
_DEEPEST = 32
_READ_MAX = 8 << 20  # bytes outside of events that are read again because more came


class AnswerText:
    """Texts of one answer as it comes: of a stream the pieces put together, each under its place in the events.

    `joined` only grows, up to 4 MiB; `rest` is what stands in no event: a whole JSON answer, or what isn't one.
    """

    __slots__ = ("_events", "_line", "_read", "_size", "grown", "joined", "rest")

    def __init__(self) -> None:
        self._line = bytearray()
        self._events = False
        self._read = 0
        self._size = 0
        self.joined: dict[Place, bytearray] = {}
        self.grown: set[Place] = set()
        """Places that have more since whoever reads this emptied it."""
        self.rest = bytearray()

    @property
    def kept_bytes(self) -> int:
        """What it holds of the answer."""
        return len(self._line) + len(self.rest) + self._size

    def feed(self, data: bytes) -> None:
        """The next bytes, cut anywhere. What of them was seen before isn't gone through again."""
        if b"\n" not in data and b"\r" not in data:
            self._line += data
        else:
            lines = bytes(self._line + data).splitlines(keepends=True)
            self._line = bytearray(lines.pop() if not lines[-1].endswith((b"\n", b"\r")) else b"")
            for line in lines:
                self._whole_line(line)
        if len(self._line) > _LINE_MAX:  # no event of any provider's
            self.rest += self._line
            self._line.clear()

    def _whole_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._events = True
            self._event(line[5:])
        elif not line.startswith(_FIELDS) and not (self._events and line.isspace()):
            self.rest += line

    def loose(self, last: bool = False) -> list[bytes] | None:
        """Texts outside of events, anew with every call; of Google's array of answers the pieces are put together.

        None: too much was read again already, and this isn't the `last` time.
        """
        data = bytes(self.rest) if self._line.startswith(b"data:") else bytes(self.rest + self._line)
        if self._read > _READ_MAX and not last:
            return None
        self._read += len(data)
        found = _array(data)
        if found is None:
            return list(strings(data))
        return [bytes(text) for text in found.values() if len(text) >= LEAST]

    def _event(self, data: bytes) -> None:
        if self._size > _JOINED_MAX or len(self.joined) > _PLACES_MAX:
            return
        try:
            found: list[tuple[Place, bytes]] = []
            _gather(_decode(data), (), found)
        except _UNREADABLE:
            self.rest += data
            return
        for place, text in found:
            self.joined.setdefault(place, bytearray()).extend(text)
            self.grown.add(place)
            self._size += len(text)


def _array(data: bytes) -> dict[Place, bytearray] | None:
    begun = data.strip()
    if not begun.startswith(b"["):
        return None
    for text in (begun, begun.rstrip(b",") + b"]"):
        try:
            pieces: list[tuple[Place, bytes]] = []
            for element in _decode(text):
                _gather(element, (), pieces)
        except _UNREADABLE:
            continue
        found: dict[Place, bytearray] = {}
        for place, piece in pieces:
            found.setdefault(place, bytearray()).extend(piece)
        return found
    return None


def _gather(value: Any, place: Place, into: list[tuple[Place, bytes]], depth: int = 0) -> None:
    """Every string with its place. `index` and `type` tell apart what stands at one place in turns.

    Raises ValueError for what is nested deeper than any answer.
    """
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    match value:
        case str():
            into.append((place, encoded(value)))
        case dict():
            told = [value.get(name) for name in ("index", "output_index", "content_index", "type")]
            here = (*place, *(each if isinstance(each, (int, str)) else None for each in told))
            for name, inner in value.items():
                if isinstance(inner, (str, dict, list)):
                    _gather(inner, (*here, name), into, depth + 1)
        case list():
            for number, inner in enumerate(value):
                if isinstance(inner, (str, dict, list)):
                    _gather(inner, (*place, number), into, depth + 1)
