"""The watch over fragments of bodies in flight: a request costs it almost nothing until a sink is in doubt.

A body is put down by reference. Only when a sink writes something that isn't known otherwise is what is new indexed:
the strings of its content (`content.py`), in `block_index.py`.

Bodies are watched while they are in flight and `linger_s` longer, since records of a request are written after it.
What bounds it: bytes of requests that ended, of answers, and blocks are bounded over all requests, and the oldest go
first (`dropped`). Of a body with more than 256 KiB of text every n-th block is indexed: only longer fragments are found
in it. Of an answer the last 256 KiB are kept.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from governance.bodies.block_index import BLOCK, BlockIndex, Run
from governance.bodies.body import Body
from governance.bodies.content import LEAST, AnswerText, Place, strings

_ENDED_MAX: Final = 10_000  # requests
_ANSWER_LEAST: Final = 4096
_SHORT: Final = 4096  # bytes of a text


class Holding:
    """One request's bytes, by reference. Prints nothing of them."""

    __slots__ = (
        "answer", "answer_bytes", "bodies", "body_bytes", "ended_at", "joined", "loose", "read", "texts", "watch"
    )  # fmt: skip

    def __init__(self, watch: "Watch", body: Body) -> None:
        self.watch = watch
        self.bodies = [body]
        self.body_bytes = len(body)
        self.answer: deque[bytes] = deque()
        self.answer_bytes = 0
        self.ended_at = 0.0
        self.read: AnswerText | None = None
        # Numbers in the index: of the bodies' texts, and of the answer's in events and outside of them.
        self.texts: list[int] = []
        self.joined: dict[Place, int] = {}
        self.loose: list[int] = []

    def also(self, body: Body) -> None:
        """The same request in other bytes, as a provider gets it."""
        self.bodies.append(body)
        self.body_bytes += len(body)
        self.watch.touched(self)

    def whole(self, body: Body) -> None:
        """All of what arrived in pieces: it stands for those that weren't looked at."""
        self.bodies.clear()
        self.body_bytes = 0
        self.also(body)

    def add(self, data: bytes) -> None:
        """A piece of the answer."""
        self.answer.append(data)
        self.answer_bytes += len(data)
        if self.answer_bytes > _ANSWER_LEAST:
            most = self.watch.answer_bytes_most()
            while self.answer_bytes > most and len(self.answer) > 1:
                self.answer_bytes -= len(self.answer.popleft())
        self.watch.touched(self)

    def __repr__(self) -> str:
        return f"<Holding {self.body_bytes} bytes>"


class Watch:
    """One per process. `hold` and `end` are called on the loop, `find` on any thread."""

    def __init__(
        self,
        *,
        linger_s: float = 10.0,
        ended_bytes_max: int = 16 << 20,
        answer_bytes_max: int = 256 << 10,
        answers_bytes_max: int = 16 << 20,
        blocks_max: int = 3 << 18,
        body_blocks_max: int = 1 << 14,
    ) -> None:
        self._linger_s = linger_s
        self._ended_bytes_max = ended_bytes_max
        self._answer_bytes_max = answer_bytes_max
        self._answers_bytes_max = answers_bytes_max
        self._blocks_max = blocks_max
        self._body_blocks_max = body_blocks_max
        self._live: dict[int, Holding] = {}
        self._new: dict[int, Holding] = {}
        self._ending: deque[Holding] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timed: asyncio.AbstractEventLoop | None = None
        # What follows changes under the lock alone.
        self._lock = threading.Lock()
        self._ended: deque[Holding] = deque()
        self._ended_bytes = 0
        self._index = BlockIndex()
        self._indexed: dict[int, Holding] = {}
        self.dropped = 0
        """Requests that left the index early, for want of room."""

    @property
    def overrun(self) -> int:
        """Values that were given up on."""
        return self._index.overrun

    def __repr__(self) -> str:
        return f"<Watch {len(self._live)} requests, {self._index.blocks} blocks>"

    def hold(self, body: Body) -> Holding:
        """Watch this request's body from now on."""
        holding = Holding(self, body)
        self._live[id(holding)] = self._new[id(holding)] = holding
        return holding

    def touched(self, holding: Holding) -> None:
        """Something of it isn't indexed yet."""
        self._new[id(holding)] = holding

    def answer_bytes_most(self) -> int:
        """What is kept of one answer before it is indexed: a share of what is kept of all."""
        return min(self._answer_bytes_max, max(_ANSWER_LEAST, self._answers_bytes_max // (len(self._live) or 1)))

    def end(self, holding: Holding) -> None:
        """The request is over; what is written of it comes now."""
        holding.ended_at = time.monotonic()
        if holding.read is not None:
            self.touched(holding)  # its answer is read a last time
        self._ending.append(holding)
        self._sweep()
        self._later()

    def _later(self) -> None:
        """Nothing stays in memory because nobody asks again."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._timer is None or self._timed is not loop:
            self._timed = loop
            self._timer = loop.call_later(self._linger_s + 0.1, self._due)

    def _due(self) -> None:
        self._timer = None
        self._sweep()
        if self._ended or self._ending:
            self._later()

    def _sweep(self) -> None:
        if self._lock.acquire(blocking=False):  # else a sink is at it on another thread, and sweeps itself
            try:
                self._forget_old()
            finally:
                self._lock.release()

    def _forget_old(self) -> None:
        while self._ending:
            holding = self._ending.popleft()
            self._ended.append(holding)
            self._ended_bytes += holding.body_bytes
        until = time.monotonic() - self._linger_s
        while self._ended and (
            self._ended[0].ended_at <= until
            or self._ended_bytes > self._ended_bytes_max
            or len(self._ended) > _ENDED_MAX
        ):
            holding = self._ended.popleft()
            self._ended_bytes -= holding.body_bytes
            self._live.pop(id(holding), None)
            self._new.pop(id(holding), None)
            self._unindex(holding)
        self._index.tidy()

    def _unindex(self, holding: Holding) -> None:
        self._indexed.pop(id(holding), None)
        for number in (*holding.texts, *holding.joined.values(), *holding.loose):
            self._index.drop(number)
        holding.texts.clear()
        holding.joined.clear()
        holding.loose.clear()

    def find(self, value: bytes) -> list[Run]:
        """Runs of at least 32 bytes that the value has in common with watched texts, in order, none overlapping."""
        if len(value) < LEAST:
            return []
        with self._lock:
            self._forget_old()
            while self._new:
                try:
                    _, holding = self._new.popitem()
                except KeyError:  # the loop's thread took the last one
                    break
                self._index_new(holding)
            return self._index.find(value)

    def _index_new(self, holding: Holding) -> None:
        self._indexed[id(holding)] = holding
        while holding.bodies:
            texts = list(strings(holding.bodies.pop().expose()))  # they stand for it from now on
            # Short ones are one text in the index, so that many of them cost as few; nothing ours holds a byte 255.
            short = b"\xff".join(text for text in texts if len(text) < _SHORT)
            for few in ([short], [text for text in texts if len(text) >= _SHORT]):
                size = sum(map(len, few))
                step = BLOCK * max(1, -(-size // (self._body_blocks_max * BLOCK)))
                holding.texts += [self._index.add(text, step) for text in few if len(text) >= LEAST]
        if holding.answer or (holding.ended_at and holding.read is not None):
            self._index_answer(holding)
        if self._index.blocks > self._blocks_max:
            self._make_room()

    def _index_answer(self, holding: Holding) -> None:
        if holding.read is None:
            holding.read = AnswerText()
        reader = holding.read
        pieces: list[bytes] = []
        while holding.answer:
            pieces.append(holding.answer.popleft())
            holding.answer_bytes -= len(pieces[-1])
        reader.feed(b"".join(pieces))
        del reader.rest[: -self._answer_bytes_max]
        loose = reader.loose(last=bool(holding.ended_at))
        if loose is not None:
            for number in holding.loose:
                self._index.drop(number)
            holding.loose = [self._index.add(text) for text in loose]
        for place in reader.grown:
            text = reader.joined[place]
            if place in holding.joined:
                self._index.grown(holding.joined[place])
            elif len(text) >= LEAST:
                holding.joined[place] = self._index.add(text)
        reader.grown.clear()

    def _make_room(self) -> None:
        """The oldest leave the index, those that ended first; some more than need be, so that it isn't often."""
        for ended in (True, False):
            for holding in list(self._indexed.values()):
                if self._index.blocks <= self._blocks_max * 7 // 8:
                    break
                if bool(holding.ended_at) is ended:
                    self._unindex(holding)
                    self.dropped += 1
        self._index.tidy()


_watch: Watch | None = None
_current: ContextVar[Holding | None] = ContextVar("holding", default=None)
_arriving: ContextVar[Holding | None] = ContextVar("arriving", default=None)


def watch_with(watch: Watch | None) -> None:
    """This one watches from now on; None: nobody does."""
    global _watch
    _watch = watch


@contextmanager
def arriving() -> Iterator[None]:
    """The block serves a request whose body comes in pieces: each is watched as it comes, by reference."""
    watch = _watch
    if watch is None:
        yield
        return
    holding = watch.hold(Body(b""))
    token = _arriving.set(holding)
    try:
        yield
    finally:
        _arriving.reset(token)
        watch.end(holding)


def arrived(piece: bytes) -> None:
    """The next piece of the body of the current request."""
    holding = _arriving.get()
    if holding is not None and piece:
        holding.also(Body(piece))


@contextmanager
def held(body: Body) -> Iterator[None]:
    """The block serves the request that this body came with."""
    watch = _watch
    if watch is None:
        yield
        return
    pieces = _arriving.get()
    if pieces is not None:
        pieces.whole(body)
    holding = pieces or watch.hold(body)
    token = _current.set(holding)
    try:
        yield
    finally:
        _current.reset(token)
        if pieces is None:
            watch.end(holding)


def sent(body: Body) -> None:
    """The current request goes on to a provider in these bytes."""
    holding = _current.get()
    if holding is not None:
        holding.also(body)


def answered(data: bytes) -> None:
    """A piece of the answer to the current request came."""
    holding = _current.get()
    if holding is not None:
        holding.add(data)
