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
_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_whole = msgspec.json.Decoder(msgspec.Raw)
_decode = msgspec.json.Decoder().decode


def strings(data: bytes) -> Iterator[bytes]:
    """Strings of a JSON text, as they stand and, where that differs, decoded (UTF-8).

    By tokens, so that of a member named twice both are there. What isn't JSON is content as a whole.
    """
    for token in _STRING.findall(data):
        if len(token) < LEAST:
            continue
        yield token
        if b"\\" in token:
            decoded = _decoded(token)
            if len(decoded) >= LEAST:
                yield decoded
    if len(data) >= LEAST and not _is_json(data):
        yield data


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


class AnswerText:
    """Texts of one answer as it comes: of a stream the pieces put together, each under its place in the events.

    `joined` only grows; `rest` is what stands in no event: a whole JSON answer, or what isn't one.
    """

    __slots__ = ("_events", "_line", "joined", "rest")

    def __init__(self) -> None:
        self._line = b""
        self._events = False
        self.joined: dict[Place, bytearray] = {}
        self.rest = bytearray()

    def feed(self, data: bytes) -> None:
        """The next bytes, cut anywhere."""
        lines = (self._line + data).splitlines(keepends=True)
        self._line = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        for line in lines:
            if line.startswith(b"data:"):
                self._events = True
                self._event(line[5:])
            elif not line.startswith(_FIELDS) and not (self._events and line.isspace()):
                self.rest += line

    def loose(self) -> list[bytes]:
        """Texts outside of events, anew with every call; of Google's array of answers the pieces are put together."""
        data = bytes(self.rest) if self._line.startswith(b"data:") else bytes(self.rest) + self._line
        found = _array(data)
        if found is None:
            return list(strings(data))
        return [bytes(text) for text in found.values() if len(text) >= LEAST]

    def _event(self, data: bytes) -> None:
        try:
            _gather(_decode(data), (), self.joined)
        except _UNREADABLE:
            self.rest += data


def _array(data: bytes) -> dict[Place, bytearray] | None:
    begun = data.strip()
    if not begun.startswith(b"["):
        return None
    for text in (begun, begun.rstrip(b",") + b"]"):
        try:
            found: dict[Place, bytearray] = {}
            for element in _decode(text):
                _gather(element, (), found)
        except _UNREADABLE:
            continue
        return found
    return None


def _gather(value: Any, place: Place, into: dict[Place, bytearray]) -> None:
    """Add every string to the text of its place. `index` and `type` tell apart what stands at one place in turns."""
    match value:
        case str():
            text = into.get(place)
            if text is None:
                text = into[place] = bytearray()
            text += encoded(value)
        case dict():
            told = [value.get(name) for name in ("index", "output_index", "content_index", "type")]
            here = (*place, *(each if isinstance(each, (int, str)) else None for each in told))
            for name, inner in value.items():
                if isinstance(inner, (str, dict, list)):
                    _gather(inner, (*here, name), into)
        case list():
            for number, inner in enumerate(value):
                if isinstance(inner, (str, dict, list)):
                    _gather(inner, (*place, number), into)
