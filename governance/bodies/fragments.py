"""The watch over fragments of bodies in flight: a request costs it almost nothing until a sink is in doubt.

A body is put down by reference. Only when a sink writes something that isn't known otherwise is what is new indexed:
the strings of its content (`content.py`), cut into blocks of 16 bytes. Any fragment of 32 bytes that a value shares
with a string holds a whole block of the string's, which the value shows at some offset: so a value is looked at once
per byte, however many bodies there are, and what looks alike is compared byte by byte before it counts.

Bodies are watched while they are in flight and `linger_s` longer, since records of a request are written after it.
What bounds it: bytes of requests that ended, of answers, and blocks are bounded over all requests, and the oldest go
first (`dropped`). Of a body with more than 256 KiB of text every n-th block is indexed: only longer fragments are found
in it. Of an answer the last 256 KiB are kept.
"""

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from governance.bodies.body import Body
from governance.bodies.content import LEAST, AnswerText, Place, strings

BLOCK: Final = 16
_COMPARED_MAX: Final = 4096  # places that one value is compared with
_SCANNED_MAX: Final = 32 << 20  # bytes that are gone through for it
_VALUE_MAX: Final = 1 << 18  # of a longer value both ends are looked at
_ENDED_MAX: Final = 10_000  # requests
_ANSWER_LEAST: Final = 4096
_HASH: Final = (1 << 60) - 1  # a larger integer takes more memory

Run = tuple[int, int]
"""Offsets in a value: of the first byte, and behind the last."""
Text = bytes | bytearray


class Holding:
    """One request's bytes, by reference. Prints nothing of them."""

    __slots__ = (
        "answer", "answer_bytes", "blocks", "bodies", "body_bytes", "cut_to", "ended_at", "joined", "loose", "read",
        "watch",
    )  # fmt: skip

    def __init__(self, watch: "Watch", body: Body) -> None:
        self.watch = watch
        self.bodies = [body]
        self.body_bytes = len(body)
        self.answer: deque[bytes] = deque()
        self.answer_bytes = 0
        self.ended_at = 0.0
        self.read: AnswerText | None = None
        self.blocks = 0
        self.cut_to: dict[int, int] = {}  # the texts that are indexed, and how far
        self.joined: dict[Place, int] = {}
        self.loose: list[int] = []

    def also(self, body: Body) -> None:
        """The same request in other bytes, as a provider gets it."""
        self.bodies.append(body)
        self.body_bytes += len(body)
        self.watch.touched(self)

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
        self._numbers = itertools.count()
        self._texts: dict[int, Text] = {}
        self._index: dict[int, int | list[int]] = {}
        """Texts that hold a block, by its hash."""
        self._indexed: dict[int, Holding] = {}
        self._blocks = 0  # that were put into the index, those of texts that are gone too
        self._blocks_live = 0
        self.dropped = 0
        """Requests that left the index early, for want of room."""
        self.overrun = 0
        """Values that share blocks with more places than are compared."""

    def __repr__(self) -> str:
        return f"<Watch {len(self._live)} requests, {self._blocks_live} blocks>"

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
        if self._blocks - self._blocks_live > max(self._blocks_live, self._blocks_max // 64):
            self._rebuild()

    def _unindex(self, holding: Holding) -> None:
        self._indexed.pop(id(holding), None)
        for number in holding.cut_to:
            del self._texts[number]
        holding.cut_to.clear()
        holding.joined.clear()
        holding.loose.clear()
        self._blocks_live -= holding.blocks
        holding.blocks = 0

    def _rebuild(self) -> None:
        """Leave out the blocks of texts that are gone."""
        kept: dict[int, int | list[int]] = {}
        for block, known in self._index.items():
            if isinstance(known, int):
                if known in self._texts:
                    kept[block] = known
            elif left := [number for number in known if number in self._texts]:
                kept[block] = left if len(left) > 1 else left[0]
        self._index = kept
        self._blocks = self._blocks_live

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
            if not self._index:
                return []
            if len(value) <= _VALUE_MAX:
                return self._runs(value, 0)
            half = _VALUE_MAX // 2
            return self._runs(value[:half], 0) + self._runs(value[-half:], len(value) - half)

    def _runs(self, value: bytes, shift: int) -> list[Run]:
        index = self._index
        alike = [
            (known, at)
            for at in range(len(value) - BLOCK + 1)
            if (known := index.get(hash(value[at : at + BLOCK]) & _HASH)) is not None
        ]
        if not alike:
            return []
        # What is rare says most: who fills the index with one block can't hide the others behind it.
        alike.sort(key=lambda each: 1 if isinstance(each[0], int) else len(each[0]))
        runs: list[Run] = []
        put_off: list[tuple[int, Text, int]] = []
        scanned = 0
        for known, at in alike:
            if any(begin <= at and at + BLOCK <= end for begin, end in runs):
                continue
            for number in (known,) if isinstance(known, int) else known:
                text = self._texts.get(number)
                if text is None:
                    continue
                place = text.find(value[at : at + BLOCK])
                scanned += place if place >= 0 else len(text)
                if scanned > _SCANNED_MAX:
                    self.overrun += 1
                    return _merged(runs, shift)
                run = _extended(value, at, text, place) if place >= 0 else (at, at)
                if run[1] - run[0] >= LEAST:
                    runs.append(run)
                    break
                if place >= 0:
                    put_off.append((at, text, place))
        self._compare_the_rest(value, put_off, runs)
        return _merged(runs, shift)

    def _compare_the_rest(self, value: bytes, put_off: list[tuple[int, Text, int]], runs: list[Run]) -> None:
        """Where a block's first place in a text didn't agree any further, its next ones may."""
        compared = 0
        for at, text, place in put_off:
            if any(begin <= at and at + BLOCK <= end for begin, end in runs):
                continue
            block = value[at : at + BLOCK]
            while (place := text.find(block, place + 1)) >= 0:
                compared += 1
                if compared > _COMPARED_MAX:
                    self.overrun += 1
                    return
                run = _extended(value, at, text, place)
                if run[1] - run[0] >= LEAST:
                    runs.append(run)
                    break

    def _index_new(self, holding: Holding) -> None:
        while holding.bodies:
            texts = list(strings(holding.bodies.pop().expose()))  # they stand for it from now on
            size = sum(map(len, texts))
            step = BLOCK * max(1, -(-size // (self._body_blocks_max * BLOCK)))
            for text in texts:
                self._put(holding, text, step)
        if holding.answer:
            self._index_answer(holding)
        if self._blocks_live > self._blocks_max:
            self._make_room()

    def _index_answer(self, holding: Holding) -> None:
        if holding.read is None:
            holding.read = AnswerText()
        reader = holding.read
        while holding.answer:
            piece = holding.answer.popleft()
            holding.answer_bytes -= len(piece)
            reader.feed(piece)
        del reader.rest[: -self._answer_bytes_max]
        loose = reader.loose()
        for number in holding.loose:
            taken = holding.cut_to.pop(number) // BLOCK
            del self._texts[number]
            holding.blocks -= taken
            self._blocks_live -= taken
        holding.loose = [self._put(holding, text, BLOCK) for text in loose]
        for place, text in reader.joined.items():
            if place in holding.joined:
                self._cut(holding, holding.joined[place], text, BLOCK)
            elif len(text) >= LEAST:
                holding.joined[place] = self._put(holding, text, BLOCK)

    def _put(self, holding: Holding, text: Text, step: int) -> int:
        number = next(self._numbers)
        self._texts[number] = text
        holding.cut_to[number] = 0
        self._indexed[id(holding)] = holding
        self._cut(holding, number, text, step)
        return number

    def _cut(self, holding: Holding, number: int, text: Text, step: int) -> None:
        index, begin, end = self._index, holding.cut_to[number], len(text) // BLOCK * BLOCK
        part = bytes(text[begin:end])
        fresh: dict[int, int | list[int]] = dict.fromkeys(
            [hash(part[at : at + BLOCK]) & _HASH for at in range(0, len(part), step)], number
        )
        for block in fresh.keys() & index.keys():
            known = index[block]
            if isinstance(known, int):
                fresh[block] = known if known == number else [known, number]
            else:
                if known[-1] != number:
                    known.append(number)
                fresh[block] = known
        index.update(fresh)
        taken = len(range(0, len(part), step))
        holding.cut_to[number] = end
        holding.blocks += taken
        self._blocks += taken
        self._blocks_live += taken

    def _make_room(self) -> None:
        """The oldest leave the index, those that ended first; some more than need be, so that it isn't often."""
        for ended in (True, False):
            for holding in list(self._indexed.values()):
                if self._blocks_live <= self._blocks_max * 7 // 8:
                    break
                if bool(holding.ended_at) is ended:
                    self._unindex(holding)
                    self.dropped += 1
        self._rebuild()


def _extended(value: bytes, at: int, text: Text, place: int) -> Run:
    """The longest run around a block that stands in both."""
    begin = at
    while min(begin, place) >= 64 and value[begin - 64 : begin] == text[place - 64 : place]:
        begin, place = begin - 64, place - 64
    while begin and place and value[begin - 1] == text[place - 1]:
        begin, place = begin - 1, place - 1
    place, end = place + (at - begin) + BLOCK, at + BLOCK
    while value[end : end + 64] == text[place : place + 64] and end + 64 <= len(value) and place + 64 <= len(text):
        end, place = end + 64, place + 64
    while end < len(value) and place < len(text) and value[end] == text[place]:
        end, place = end + 1, place + 1
    return begin, end


def _merged(runs: list[Run], shift: int) -> list[Run]:
    out: list[Run] = []
    for begin, end in sorted(runs):
        if out and begin + shift < out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end + shift))
        else:
            out.append((begin + shift, end + shift))
    return out


_watch: Watch | None = None
_current: ContextVar[Holding | None] = ContextVar("holding", default=None)


def watch_with(watch: Watch | None) -> None:
    """This one watches from now on; None: nobody does."""
    global _watch
    _watch = watch


@contextmanager
def held(body: Body) -> Iterator[None]:
    """The block serves the request that this body came with."""
    watch = _watch
    if watch is None:
        yield
        return
    holding = watch.hold(body)
    token = _current.set(holding)
    try:
        yield
    finally:
        _current.reset(token)
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
