"""The frame of a stream translation: server-sent events of one dialect in, those of another out.

Sans-I/O. A stream that ends before its dialect's own end, or carries an error, raises: the relay then closes it with
the caller's error event, never with a clean stop.
"""

from abc import ABC, abstractmethod
from typing import Protocol

from router.providers.dialects.base import MalformedUpstream
from router.providers.sse import SSESplitter, parse_event


class StreamTranslation(Protocol):
    """One stream's state. Both methods give the caller's bytes and raise MalformedUpstream."""

    def feed(self, chunk: bytes) -> bytes:
        """Upstream bytes, cut anywhere; the caller's whole events that they complete."""
        ...

    def finish(self) -> bytes:
        """The upstream has closed; the caller's last events. Raises where the stream hadn't come to its end."""
        ...


class EventStream(ABC):
    """Splits events, hands their data to `_event` until `_ended`, and insists on an end."""

    def __init__(self) -> None:
        self._splitter = SSESplitter()
        self._ended = False
        self._closed = False

    def feed(self, chunk: bytes) -> bytes:
        if self._closed:
            raise RuntimeError("fed after finish")
        return b"".join([self._one(raw) for raw in self._splitter.feed(chunk)])

    def finish(self) -> bytes:
        if self._closed:
            raise RuntimeError("finished twice")
        self._closed = True
        # A last event without its blank line counts if it is whole; a cut one isn't JSON and raises.
        rest = self._splitter.close()
        out = self._one(rest) if rest.strip(b"\r\n") else b""
        out += self._last()
        if not self._ended:
            raise MalformedUpstream("The upstream's stream ended before its answer did.")
        return out

    def _one(self, raw: bytes) -> bytes:
        if self._ended:
            return b""
        name, data = parse_event(raw)
        return b"" if data is None else self._event(name, data)

    @abstractmethod
    def _event(self, name: bytes, data: bytes) -> bytes:
        """Translate one event; set `_ended` with the one that ends the answer."""

    def _last(self) -> bytes:
        """For a dialect whose streams end with the connection: set `_ended` if the answer was whole."""
        return b""
