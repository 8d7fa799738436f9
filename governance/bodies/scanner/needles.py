"""Needles, and the spellings in which each is looked for.

All is compared folded: lower-cased, without white space, NUL and the characters that encodings put in or exchange. So one
spelling stands for upper and lower case, wrapped lines, `\\"`, quoted-printable's soft line breaks, spaced hex, both
base64 alphabets, and, for ASCII, UTF-16 and UTF-32 in either byte order.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from governance.errors import Rejected

MATCHED_MIN = 16  # bytes of a needle in a row
FOLDED_MIN = 10  # of those, at least so many that folding keeps
_DROPPED = b"\0\t\n\v\f\r \\+-="  # `+` stands for a space in URLs, so `-`, its twin in base64url, goes as well
_FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_", b"abcdefghijklmnopqrstuvwxyz/")
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_ANCHOR = {"text": 8, "hex": 16, "base64": 10}  # folded bytes: half of what MATCHED_MIN makes, or less


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


class Spelling:
    """One way to write a needle, folded, and which of the needle's bytes each folded byte stands for."""

    __slots__ = ("_ends", "_size", "_starts", "folded", "form", "needle")

    def __init__(self, needle: int, form: str, spelled: bytes, spans: "Spans", size: int) -> None:
        self.needle = needle
        self.form = form
        self.folded = fold(spelled)
        self._size = size
        self._starts, self._ends = spans
        if len(self.folded) < len(spelled):
            kept = [at for at, byte in enumerate(spelled) if byte not in _DROPPED]
            self._starts, self._ends = (tuple(side[at] for at in kept) for side in spans)

    def span(self, start: int, end: int) -> int:
        """How many of the needle's bytes the folded bytes from `start` to before `end` stand for, with what folding took
        from around them."""
        if self.form != "text":
            return self._ends[end - 1] - self._starts[start]
        first = self._ends[start - 1] if start else 0
        return (self._starts[end] if end < len(self._starts) else self._size) - first

    def anchors(self) -> Sequence[int]:
        """Starts of anchors: whoever holds any 16 bytes of the needle in a row, so spelled, holds an anchor whole."""
        return _anchors(_ANCHOR[self.form], self._starts, self._ends, self._size)

    def anchor(self, start: int) -> bytes:
        """The anchor that begins there."""
        return self.folded[start : start + _ANCHOR[self.form]]


Spans = tuple[tuple[int, ...], tuple[int, ...]]  # from where and to where in the needle each spelled byte stands for


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
            yield "text", b"".join(spelled), (tuple(starts), tuple(ends))


def _coded(value: bytes) -> Iterator[tuple[str, bytes, Spans]]:
    for cased in (value, *_other_cases(value)):
        if len(cased) != len(value):
            continue  # a letter whose other case is longer
        yield "hex", cased.hex().encode(), _hex_spans(len(value))
        for before in range(3):
            # Characters at the ends also hold bits of what is around the value.
            first, after = -(-8 * before // 6), 8 * (before + len(value)) // 6
            coded = base64.b64encode(bytes(before) + cased)[first:after]
            yield "base64", coded, _base64_spans(before, first, after)


def _other_cases(value: bytes) -> tuple[bytes, bytes]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.lower(), value.upper()
    return text.lower().encode(), text.upper().encode()


@lru_cache(256)
def _plain_spans(size: int) -> Spans:
    return tuple(range(size)), tuple(range(1, size + 1))


@lru_cache(256)
def _hex_spans(size: int) -> Spans:
    # A byte begins with its first digit and ends with its second.
    return tuple((at + 1) // 2 for at in range(2 * size)), tuple((at + 1) // 2 for at in range(2 * size))


@lru_cache(1024)
def _base64_spans(before: int, first: int, after: int) -> Spans:
    return (
        tuple(-(-6 * at // 8) - before for at in range(first, after)),
        tuple(6 * (at + 1) // 8 - before for at in range(first, after)),
    )
