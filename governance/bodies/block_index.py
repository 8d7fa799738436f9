"""The index of fragments: texts cut into blocks of 16 bytes, found by their hashes, and compared before it counts.

Any fragment of 32 bytes that a value shares with a text holds a whole block of the text's, which the value shows at
some offset: so a value is looked at once per byte, however many texts there are. What one value may cost beyond that is
bounded; a value that is given up on is counted (`overrun`).
"""

import itertools
import time
from typing import Final

from governance.bodies.content import LEAST

BLOCK: Final = 16
_COMPARED_MAX: Final = 4096  # places that one value is compared with
_SCANNED_MAX: Final = 32 << 20  # bytes that are gone through for it
_TIME_MAX_S: Final = 0.1  # of CPU
_VALUE_MAX: Final = 1 << 18  # of a longer value both ends are looked at
_HASH: Final = (1 << 60) - 1  # a larger integer takes more memory
_REBUILT_LEAST: Final = 1 << 13

Run = tuple[int, int]
"""Offsets in a value: of the first byte, and behind the last."""
Text = bytes | bytearray


class BlockIndex:
    """Texts by number. Not for several threads at once."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._texts: dict[int, Text] = {}
        self._taken: dict[int, int] = {}  # blocks of each
        self._cut_to: dict[int, int] = {}
        self._index: dict[int, int | list[int]] = {}
        """Texts that hold a block, by its hash; those that are gone too, until `tidy`."""
        self._put = 0
        self.blocks = 0
        """Of the texts that are here."""
        self.overrun = 0

    def add(self, text: Text, step: int = BLOCK) -> int:
        """Its number. A `step` of several blocks leaves some out: fragments of `step` + 15 bytes are found then."""
        number = next(self._numbers)
        self._texts[number] = text
        self._taken[number] = self._cut_to[number] = 0
        self.grown(number, step)
        return number

    def grown(self, number: int, step: int = BLOCK) -> None:
        """A text that was added has more at its end."""
        text, index, begin = self._texts[number], self._index, self._cut_to[number]
        end = len(text) // BLOCK * BLOCK
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
        self._cut_to[number] = end
        self._taken[number] += taken
        self._put += taken
        self.blocks += taken

    def drop(self, number: int) -> None:
        """It is gone."""
        del self._texts[number], self._cut_to[number]
        self.blocks -= self._taken.pop(number)

    def tidy(self) -> None:
        """Leave out the blocks of texts that are gone, where they are the most."""
        if self._put - self.blocks <= max(self.blocks, _REBUILT_LEAST):
            return
        kept: dict[int, int | list[int]] = {}
        for block, known in self._index.items():
            if isinstance(known, int):
                if known in self._texts:
                    kept[block] = known
            elif left := [number for number in known if number in self._texts]:
                kept[block] = left if len(left) > 1 else left[0]
        self._index = kept
        self._put = self.blocks

    def find(self, value: bytes) -> list[Run]:
        """Runs of at least 32 bytes that the value has in common with texts, in order, none overlapping."""
        if not self._index or len(value) < LEAST:
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
        until = time.thread_time() + _TIME_MAX_S
        inside = bytearray(len(value))  # 1 where a block begins that a run holds
        for known, at in alike:
            if inside[at]:
                continue
            if time.thread_time() > until:
                self.overrun += 1
                return _merged(runs, shift)
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
                    inside[run[0] : run[1] - BLOCK + 1] = b"\1" * (run[1] - BLOCK + 1 - run[0])
                    break
                if place >= 0:
                    put_off.append((at, text, place))
        self._compare_the_rest(value, put_off, runs, inside, until)
        return _merged(runs, shift)

    def _compare_the_rest(
        self, value: bytes, put_off: list[tuple[int, Text, int]], runs: list[Run], inside: bytearray, until: float
    ) -> None:
        """Where a block's first place in a text didn't agree any further, its next ones may."""
        compared = 0
        for at, text, place in put_off:
            if inside[at]:
                continue
            block = value[at : at + BLOCK]
            while (place := text.find(block, place + 1)) >= 0:
                compared += 1
                if compared > _COMPARED_MAX or time.thread_time() > until:
                    self.overrun += 1
                    return
                run = _extended(value, at, text, place)
                if run[1] - run[0] >= LEAST:
                    runs.append(run)
                    inside[run[0] : run[1] - BLOCK + 1] = b"\1" * (run[1] - BLOCK + 1 - run[0])
                    break


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
