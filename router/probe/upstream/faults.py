"""The ways in which the upstream misbehaves, by name. Each quotes what it was sent, as real providers' errors do."""

import gzip
import html
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from router.probe.case import GOOD, Case, Lane
from router.probe.upstream import anthropic, google, openai
from router.probe.upstream.answer import EVENTS, JSON, Answer, End, dumps
from router.probe.upstream.received import Received
from router.surface import ENDPOINT_DIALECT, Dialect, Endpoint

_WIRES: dict[Dialect, ModuleType] = {Dialect.OPENAI: openai, Dialect.ANTHROPIC: anthropic, Dialect.GOOGLE: google}
_STATUSES = (400, 401, 403, 404, 422, 429, 500, 503)
_ECHO_CHARS = 64 * 1024
Fault = Callable[["Asked"], Answer]


class Asked:
    """A request on one of the wires, and what its case has to say to it."""

    def __init__(self, received: Received, endpoint: Endpoint, case: Case, trap: str) -> None:
        self.received = received
        self.wire = _WIRES[ENDPOINT_DIALECT[endpoint]]
        self.marks = case.marks
        self.trap = trap  # where a redirect leads

    def good(self, **options: Any) -> Answer:
        answer: Answer = self.wire.answer(self.received, self.marks.completion(), **options)
        return answer

    @property
    def quote(self) -> str:
        """An error's text: the prompt, and a canary of the upstream's own."""
        return f"Can't use {self.marks.completion()}: {self.received.text[:_ECHO_CHARS]}"

    def error(self) -> dict[str, Any]:
        made: dict[str, Any] = self.wire.error(self.quote, self.marks.completion())
        return made

    def error_event(self) -> bytes:
        made: bytes = self.wire.error_event(self.quote, self.marks.completion())
        return made


def names(lane: Lane) -> list[str]:
    """The faults that make sense on the lane."""
    return [*_FAULTS, *_TEXTS] if lane.generates else list(_FAULTS)


def answer(asked: Asked, fault: str) -> Answer:
    """What is sent. Good answers' and JSON errors' heads carry a canary too: request ids and cookies are often kept."""
    made = ({**_FAULTS, **_TEXTS}[fault])(asked)
    if fault != GOOD and not fault.endswith(" as JSON"):
        return made
    words = asked.marks.completion("head")
    return replace(made, headers=(*made.headers, ("x-request-id", words), ("set-cookie", f"upstream={words}; Path=/")))


def _plain(status: int, kind: str, body: bytes) -> Answer:
    return Answer(status, (("content-type", kind),), (body,))


def _error_json(status: int) -> Fault:
    return lambda asked: _plain(status, JSON, dumps(asked.error()))


def _error_html(status: int) -> Fault:
    return lambda asked: _plain(status, "text/html", _page(asked))


def _error_text(status: int) -> Fault:
    return lambda asked: _plain(status, "text/plain", asked.quote.encode())


def _page(asked: Asked) -> bytes:
    return f"<html><title>{asked.marks.completion()}</title><pre>{html.escape(asked.quote)}</pre></html>".encode()


def _cut(asked: Asked) -> Answer:
    """Within the first text of a stream, else within the JSON: after the canary's first half at least."""
    made = asked.good()
    if not made.chunked:
        return replace(made, pieces=(made.pieces[0][: len(made.pieces[0]) * 3 // 4],), end=End.CUT)
    first = made.pieces[: max(1, len(made.pieces) // 2)]
    return replace(made, pieces=(*first, made.pieces[len(first) % len(made.pieces)][:40]), end=End.CUT)


def _begun(asked: Asked) -> Answer:
    made = asked.good()
    if made.chunked:
        return replace(made, pieces=made.pieces[: max(1, len(made.pieces) // 2)])
    return replace(made, pieces=(made.pieces[0][: len(made.pieces[0]) // 2],))


def _after_some(asked: Asked, end: bytes) -> Answer:
    """A stream that goes well, then says `end`; what isn't a stream becomes one."""
    made = asked.good()
    some = made.pieces[: max(1, len(made.pieces) // 2)] if made.chunked else ()
    return Answer(200, (("content-type", EVENTS),), (*some, end), chunked=True)


def _zipped(asked: Asked, keep: float = 1.0) -> Answer:
    made = asked.good()
    data = gzip.compress(b"".join(made.pieces))
    data = data[: int(len(data) * keep)]
    return Answer(200, (*made.headers, ("content-encoding", "gzip")), (data,), chunked=made.chunked)


def _large(asked: Asked) -> Answer:
    words = asked.marks.completion()
    made: Answer = asked.wire.answer(asked.received, words + " lorem" * 1_000_000 + words)
    return made


def _with_text(asked: Asked, before: bytes, after: bytes) -> Answer:
    """The completion with raw bytes around it, which no JSON encoder would write."""
    words = asked.marks.completion().encode()
    made = asked.good()
    half = words[: len(words) // 2]
    return replace(made, pieces=tuple(piece.replace(half, before + half + after, 1) for piece in made.pieces))


_FAULTS: dict[str, Fault] = {
    GOOD: lambda asked: asked.good(),
    **{f"{status} as JSON": _error_json(status) for status in _STATUSES},
    **{f"{status} as HTML": _error_html(status) for status in _STATUSES},
    **{f"{status} as text": _error_text(status) for status in _STATUSES},
    "429 with retry-after": lambda asked: replace(
        _error_json(429)(asked), headers=(("content-type", JSON), ("retry-after", asked.marks.completion()))
    ),
    "an error with status 200": lambda asked: _plain(200, JSON, dumps(asked.error())),
    "HTML with status 200": lambda asked: _plain(200, "text/html", _page(asked)),
    "text with status 200": lambda asked: _plain(200, JSON, asked.quote.encode()),
    "malformed JSON": lambda asked: _plain(200, JSON, dumps(asked.error())[:-2] + asked.quote.encode()[:200]),
    "another shape": lambda asked: _plain(200, JSON, dumps([asked.quote, {asked.marks.completion(): 1}])),
    "a wrong content type": lambda asked: replace(asked.good(), headers=(("content-type", "text/plain"),)),
    "an error event": lambda asked: _after_some(asked, asked.error_event()),
    "a malformed event": lambda asked: _after_some(asked, b"data: {" + asked.quote.encode()[:400] + b"\n\n"),
    "cut": _cut,
    "reset": lambda asked: replace(_begun(asked), end=End.RESET),
    "closed at once": lambda asked: Answer(None, end=End.CUT),
    "hang": lambda asked: Answer(None, end=End.HANG),
    "hang-midway": lambda asked: replace(_begun(asked), end=End.HANG),
    "slow": lambda asked: replace(asked.good(), between_s=0.15),
    "a redirect": lambda asked: Answer(
        307, (("location", f"{asked.trap}/{asked.marks.completion()}"), ("content-type", JSON)),
        (dumps(asked.error()),),
    ),
    "gzip": _zipped,
    "gzip that ends early": lambda asked: _zipped(asked, 0.6),
    "an unknown coding": lambda asked: replace(
        asked.good(), headers=(("content-type", JSON), ("content-encoding", asked.marks.completion()))
    ),
    "usage that is text": lambda asked: asked.good(tokens=asked.marks.completion()),
    "usage that is huge": lambda asked: asked.good(tokens=10**30),
    "usage left out": lambda asked: asked.good(tokens=None),
}  # fmt: skip
_TEXTS: dict[str, Fault] = {
    "a tool call": lambda asked: asked.good(call=True),
    "a large answer": _large,
    "invalid UTF-8": lambda asked: _with_text(asked, b"\xff\xc3", b"\xed\xa0\x80"),
    "a lone surrogate": lambda asked: _with_text(asked, b"\\ud83d", b"\\udfff"),
    "a raw control character": lambda asked: _with_text(asked, b"\x00\x1b[31m", b"\x7f"),
}
