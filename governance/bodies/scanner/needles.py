"""Needles, and the spellings in which each is looked for.

All is compared folded: lower-cased, without white space, NUL and the characters that encodings put in or exchange. So one
spelling stands for upper and lower case, wrapped lines, `\\"`, quoted-printable's soft line breaks, spaced hex, both
base64 alphabets, and, for ASCII, UTF-16 and UTF-32 in either byte order.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from governance.errors import Rejected

MATCHED_MIN = 16  # bytes of a needle in a row
FOLDED_MIN = 10  # of those, at least so many that folding keeps
_DROPPED = b"\0\t\n\v\f\r \\+-="  # `+` stands for a space in URLs, so `-`, its twin in base64url, goes as well
_FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_", b"abcdefghijklmnopqrstuvwxyz/")
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_ANCHOR = {"text": 8, "hex": 16, "base64": 10, "base32": 12}  # folded bytes: half of what MATCHED_MIN makes, or less


@dataclass(frozen=True, slots=True)
class Needle:
    """Bytes to look for. `name` says where they were put. Raises Rejected for fewer than 16 bytes, or hardly any text."""

    name: str
    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < MATCHED_MIN or len(fold(self.value)) < FOLDED_MIN:
            raise Rejected(
                f"A needle needs at least {MATCHED_MIN} bytes, most of them not white space.", field="needle"
            )


def fold(data: bytes) -> bytes:
    """As everything is compared: see the module."""
    return data.translate(_FOLDED, _DROPPED)


def unfolded_offset(data: bytes, folded_offset: int) -> int:
    """Where in `data` the byte is that is at this place once folded."""
    at = kept = 0
    while kept < folded_offset:
        block = data[at : at + folded_offset - kept]
        if not block:
            break
        at += len(block)
        kept += len(fold(block))
    while at < len(data) and data[at] in _DROPPED:
        at += 1
    return at


class Spans(NamedTuple):
    """Which of the needle's bytes each spelled byte holds bits of, and which of them begin or end with it."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    whole_from: tuple[int, ...]
    whole_to: tuple[int, ...]


class Spelling:
    """One way to write a needle, folded, and which of the needle's bytes each folded byte stands for."""

    __slots__ = ("_size", "_spans", "folded", "form", "needle")

    def __init__(self, needle: int, form: str, spelled: bytes, spans: Spans, size: int) -> None:
        self.needle = needle
        self.form = form
        self.folded = fold(spelled)
        self._size = size
        self._spans = spans
        if len(self.folded) < len(spelled):
            kept = [at for at, byte in enumerate(spelled) if byte not in _DROPPED]
            self._spans = Spans(*(tuple(side[at] for at in kept) for side in spans))

    def span(self, start: int, end: int) -> int:
        """How many of the needle's bytes the folded bytes from `start` to before `end` stand for, with what folding took
        from around them. A byte of which base64 or base32 shows some bits alone counts: the ends of a fragment share a character
        with what is beside it, or with nothing."""
        _, _, whole_from, whole_to = self._spans
        if self.form == "hex":
            return whole_to[end - 1] - whole_from[start]
        first = whole_to[start - 1] if start else 0
        return (whole_from[end] if end < len(whole_from) else self._size) - first

    def anchors(self) -> Sequence[int]:
        """Starts of anchors: whoever holds any 16 bytes of the needle in a row, so spelled, holds an anchor whole."""
        return _anchors(_ANCHOR[self.form], self._spans.starts, self._spans.ends, self._size)

    def anchor(self, start: int) -> bytes:
        """The anchor that begins there."""
        return self.folded[start : start + _ANCHOR[self.form]]


@lru_cache(4096)
def _anchors(length: int, starts: tuple[int, ...], ends: tuple[int, ...], size: int) -> Sequence[int]:
    found: list[int] = []
    first = after = 0
    for start in range(size - MATCHED_MIN + 1):
        while first < len(starts) and starts[first] < start:
            first += 1
        while after < len(ends) and ends[after] <= start + MATCHED_MIN:
            after += 1
        if after - first >= length and not (found and first <= found[-1] and found[-1] + length <= after):
            found.append(after - length)
    return found


def spellings(number: int, value: bytes) -> Iterator[Spelling]:
    """Every way in which the needle of this number is looked for."""
    seen = set()
    for form, spelled, spans in (*_texts(value), *_coded(value)):
        if (form, spelled) not in seen:
            seen.add((form, spelled))
            yield Spelling(number, form, spelled, spans, len(value))


def _texts(value: bytes) -> Iterator[tuple[str, bytes, Spans]]:
    yield "text", value, _plain_spans(len(value))
    if value.isascii():
        return
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    for cased in (str, str.lower, str.upper):
        for encoding in ("utf-8", *_WIDE, "latin-1"):
            spelled = [cased(character).encode(encoding, "replace") for character in text]
            starts: list[int] = []
            ends: list[int] = []
            at = 0
            for character, as_spelled in zip(text, spelled, strict=True):
                end = at + len(character.encode())
                starts += [at] * len(as_spelled)
                ends += [end] * len(as_spelled)
                at = end
            yield "text", b"".join(spelled), Spans(*(tuple(side) for side in (starts, ends, starts, ends)))


def _coded(value: bytes) -> Iterator[tuple[str, bytes, Spans]]:
    # As it is: what was lower-cased first is found once the base64 or hex is decoded.
    yield "hex", value.hex().encode(), _hex_spans(len(value))
    for before in range(3):
        # Characters at the ends also hold bits of what is around the value.
        first, after = -(-8 * before // 6), 8 * (before + len(value)) // 6
        yield "base64", base64.b64encode(bytes(before) + value)[first:after], _base64_spans(before, first, after)
    for before in range(5):
        first, after = -(-8 * before // 5), 8 * (before + len(value)) // 5
        yield "base32", base64.b32encode(bytes(before) + value)[first:after], _base32_spans(before, first, after)


@lru_cache(256)
def _plain_spans(size: int) -> Spans:
    starts, ends = tuple(range(size)), tuple(range(1, size + 1))
    return Spans(starts, ends, starts, ends)


@lru_cache(256)
def _hex_spans(size: int) -> Spans:
    return _bit_spans(4, 0, range(2 * size))


@lru_cache(1024)
def _base64_spans(before: int, first: int, after: int) -> Spans:
    return _bit_spans(6, before, range(first, after))


@lru_cache(1024)
def _base32_spans(before: int, first: int, after: int) -> Spans:
    return _bit_spans(5, before, range(first, after))


def _bit_spans(bits: int, before: int, characters: range) -> Spans:
    """For characters that hold so many bits each, of which those of `before` bytes aren't the needle's."""
    return Spans(
        tuple(bits * at // 8 - before for at in characters),
        tuple(-(-bits * (at + 1) // 8) - before for at in characters),
        tuple(-(-bits * at // 8) - before for at in characters),
        tuple(bits * (at + 1) // 8 - before for at in characters),
    )
