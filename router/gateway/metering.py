"""What an answer used, and which of its bytes may go on to the caller. Sans-I/O.

A native stream is forwarded byte for byte, one whole event at a time: an event is looked at before it goes, so that an
upstream's error, which may quote the prompt, and whatever isn't the dialect's never reach the caller. The relay ends
such a stream with `tail()`, in the dialect's own error.
"""

from dataclasses import replace

from router.errors import GatewayError, encode, shape, stream_event
from router.providers.dialects import MalformedUpstream, wire
from router.providers.sse import ArraySplitter, SSESplitter, parse_event
from router.providers.usage import Usage, estimate_tokens
from router.surface import Dialect, Endpoint

_JSON_SPACE = b" \t\r\n"


class StreamMeter:
    """Feed it upstream's bytes, forward what it returns, then ask it what happened.

    `drop_usage_chunk`: withhold the usage-only chunk, because we asked for it and the caller didn't.
    `json_array`: Google's array form instead of server-sent events.
    `complete`: the dialect's own end came. `failed`: an error event, or anything that the dialect doesn't promise;
    from there on nothing is forwarded. A stream that ends neither complete nor failed was cut.
    """

    __slots__ = ("_array", "_begun", "_dialect", "_drop", "_ended", "_loose_end", "_reader", "_splitter", "failed")

    def __init__(self, dialect: Dialect, endpoint: Endpoint, *, drop_usage_chunk: bool, json_array: bool) -> None:
        self._dialect = dialect
        self._reader = wire(dialect).reader(endpoint)
        self._array = ArraySplitter() if json_array else None
        self._splitter = self._array or SSESplitter()
        self._drop = drop_usage_chunk
        self._begun = False
        self._ended = False  # the array's closing bracket was forwarded
        self._loose_end = False  # the last event was forwarded without its blank line
        self.failed = False

    def __repr__(self) -> str:
        state = "failed" if self.failed else "complete" if self.complete else "open"
        return f"<StreamMeter {self._dialect} {state}>"

    @property
    def complete(self) -> bool:
        """Whether the stream may end here: its end came, and in the array form the bracket too."""
        return not self.failed and self._reader.complete and (self._array is None or self._ended)

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to forward now: every event that this chunk completes. It never raises for what upstream sent."""
        if self.failed:
            return b""
        try:
            pieces = self._splitter.feed(chunk)
        except MalformedUpstream:
            self.failed = True
            return b""
        return self._forward(pieces)

    def close(self) -> bytes:
        """Upstream ended: the last bytes to forward, if it left out the blank line after its last event."""
        rest = self._splitter.close()
        if self.failed:
            return b""
        if self._array is not None:
            self.failed = bool(rest.strip(_JSON_SPACE))  # an element that never ended
            return b""
        if not rest.strip(b"\r\n"):
            return rest
        self._loose_end = True
        return self._forward([rest])

    def _forward(self, pieces: list[bytes]) -> bytes:
        out: list[bytes] = []
        for piece in pieces:
            try:
                usage_only = self._look(piece)
            except MalformedUpstream:
                self.failed = True
                break
            if not (usage_only and self._drop):
                out.append(piece)
        self._begun = self._begun or bool(out)
        return b"".join(out)

    def _look(self, piece: bytes) -> bool:
        if self._array is not None:
            return self._look_at_element(piece)
        name, data = parse_event(piece)
        if data is None:
            if name == b"error":
                raise MalformedUpstream("The upstream's stream carries an error.")
            return False
        return self._reader.read(name, data)

    def _look_at_element(self, piece: bytes) -> bool:
        brace = piece.find(b"{")
        if brace >= 0:
            return self._reader.read(b"", piece[brace:])
        if b"]" in piece:
            if not self._reader.complete:  # withheld, so that the error can still become the array's last element
                raise MalformedUpstream("The upstream's array ended before its answer did.")
            self._ended = True
        return False

    @property
    def counts_input(self) -> bool:
        """Whether the provider has said what it read."""
        return self._reader.usage is not None

    @property
    def counted(self) -> Usage | None:
        """The provider's last word on what was used; None where it didn't come."""
        seen = self._reader.usage
        return seen if seen is not None and not seen.estimated else None

    def usage(self, request_bytes: int) -> Usage:
        """The provider's figures where they came; else an estimate.

        Estimated output is the larger of what the provider had counted so far and the text seen, 4 bytes a token;
        estimated input is the provider's figure where it came, else the request's length, 4 bytes a token.
        """
        seen = self._reader.usage
        if seen is not None and not seen.estimated:
            return seen
        output = estimate_tokens(self._reader.text_bytes)
        if seen is None:
            return Usage(estimate_tokens(request_bytes), 0, output, estimated=True)
        return replace(seen, output_tokens=max(seen.output_tokens, output), estimated=True)

    def tail(self, error: GatewayError, request_id: str) -> bytes:
        """The bytes that end a broken stream with `error`, whatever was forwarded so far."""
        if self._array is None:
            gap = b"\n\n" if self._loose_end else b""
            return gap + stream_event(error, self._dialect, request_id)
        if self._ended:
            return b""  # the array is whole: nothing can be added to it
        opening = b"," if self._begun else b"["
        return opening + encode(shape(error, self._dialect, request_id)) + b"]"


def meter_json(dialect: Dialect, endpoint: Endpoint, body: bytes, request_bytes: int) -> Usage:
    """Usage of a whole answer: the provider's, or an estimate from its text and the request's length.

    Raises MalformedUpstream where the body isn't what its dialect promises; the caller gets 502 and none of it.
    """
    usage, text_bytes = wire(dialect).read_json(endpoint, body)
    if usage is not None:
        return usage
    return Usage(estimate_tokens(request_bytes), 0, estimate_tokens(text_bytes), estimated=True)
