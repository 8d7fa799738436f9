"""Strings of Redis dumps (RDB) and append-only files. Source: Redis `src/rdb.h`, `src/rdb.c`, `src/listpack.c`.

Wherever a dump has a string compressed with LZF it is found by its form. Strings that need a search of their own are read in
order, until the first value of a type that isn't known here (streams, modules).
"""

import re
from collections.abc import Iterator

from governance.bodies.scanner.files import READ_SIZE, File
from governance.bodies.scanner.lz77 import Broken, lzf
from governance.bodies.scanner.value import Seen, Value

MAGIC = b"REDIS0"
_COMMAND = re.compile(rb"(?:#TS:\d+\r\n)?\*\d{1,9}\r\n\$\d{1,9}\r\n")
_BULK = re.compile(rb"\$(\d{1,9})\r\n")
_STRING_MAX = 64 << 20
_TAIL = 16  # bytes that the head of a string takes at most
# Opcodes with what follows them: strings, lengths, or so many bytes.
_AUX, _RESIZE, _EXPIRE_MS, _EXPIRE, _SELECT, _IDLE, _FREQUENCY, _FUNCTION = (
    0xFA,
    0xFB,
    0xFC,
    0xFD,
    0xFE,
    0xF8,
    0xF9,
    0xF5,
)
_STRING, _LIST, _SET, _ZSET, _HASH, _ZSET2, _QUICKLIST, _QUICKLIST2 = 0, 1, 2, 3, 4, 5, 14, 18
_ONE_BLOB = frozenset((9, 10, 11, 12, 13, 16, 17, 20))
_LISTPACKS = frozenset((16, 17, 18, 20))


def is_append_only(head: bytes) -> bool:
    """Whether a file's first bytes are a command as clients send it."""
    return bool(_COMMAND.match(head))


def append_only_values(file: File, at: int = 0) -> Iterator[Value]:
    """Every argument of every command."""
    while at < file.size:
        window = file.read(at, READ_SIZE)
        found = _BULK.search(window)
        if found is None:
            at += max(len(window) - _TAIL, 1)
            continue
        position = 0
        while found is not None and (not position or found.end() + int(found[1]) <= len(window)):
            size = int(found[1])
            yield Value(
                "Redis value", at + found.end(), file.read(at + found.end(), min(size, _STRING_MAX)), Seen.WHOLE
            )
            position = found.end() + size
            found = _BULK.search(window, position)
        at += position


def dump_values(file: File) -> Iterator[Value]:
    """Strings of a dump; those that LZF hides wherever they are."""
    for offset in range(0, file.size, READ_SIZE):
        window = file.read(offset, READ_SIZE + _TAIL)
        at = window.find(b"\xc3")
        while 0 <= at < READ_SIZE:
            if (made := _unpacked(file, offset + at)) is not None:
                yield Value("Redis LZF", offset + at, made[0], Seen.NOT)
            at = window.find(b"\xc3", at + 1)
    try:
        yield from _Dump(file).values()
    except (IndexError, Broken):
        return  # damaged, or a type that isn't known: the rest was looked through as bytes


def _unpacked(file: File, at: int) -> tuple[bytes, int] | None:
    """What an LZF string becomes, and where it ends; None where there is none."""
    head = file.read(at + 1, 2 * 9)
    try:
        packed, used = _length(head, 0)
        size, used = _length(head, used)
    except IndexError:
        return None
    if not 4 <= packed <= _STRING_MAX or not packed < size <= min(_STRING_MAX, packed * 300):
        return None
    try:
        return lzf(file.read(at + 1 + used, packed), size), at + 1 + used + packed
    except Broken:
        return None


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length, and where the next thing begins. Raises IndexError at the end or where it is no length."""
    first = data[at]
    if first >> 6 == 0:
        return first & 63, at + 1
    if first >> 6 == 1:
        return (first & 63) << 8 | data[at + 1], at + 2
    size = {0x80: 4, 0x81: 8}.get(first)
    if size is None or len(data) < at + 1 + size:
        raise IndexError
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


class _Dump:
    """Reads a dump in order."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._at = 9  # behind the magic and the version

    def values(self) -> Iterator[Value]:
        while True:
            kind = self._bytes(1)[0]
            if kind == _AUX:
                yield from self._string()
                yield from self._string()
            elif kind == _FUNCTION:
                yield from self._string()
            elif kind == _RESIZE:
                self._number(), self._number()
            elif kind in (_SELECT, _IDLE):
                self._number()
            elif kind in (_EXPIRE_MS, _EXPIRE, _FREQUENCY):
                self._at += {_EXPIRE_MS: 8, _EXPIRE: 4, _FREQUENCY: 1}[kind]
            elif kind > 21:
                return  # the end, or what isn't known
            else:
                yield from self._string()  # the key
                yield from self._value(kind)

    def _value(self, kind: int) -> Iterator[Value]:
        if kind == _STRING:
            yield from self._string()
        elif kind in _ONE_BLOB:
            yield from self._blob(kind in _LISTPACKS)
        elif kind in (_LIST, _SET, _HASH, _QUICKLIST):
            for _ in range(self._number() * (2 if kind == _HASH else 1)):
                yield from self._string()
        elif kind == _QUICKLIST2:
            for _ in range(self._number()):
                yield from self._blob(self._number() == 2)
        elif kind in (_ZSET, _ZSET2):
            for _ in range(self._number()):
                yield from self._string()
                score = 8 if kind == _ZSET2 else self._bytes(1)[0]
                self._at += score if score < 253 else 0
        else:
            raise IndexError

    def _bytes(self, size: int) -> bytes:
        data = self._file.read(self._at, size)
        if len(data) < size:
            raise IndexError
        self._at += size
        return data

    def _number(self) -> int:
        head = self._file.read(self._at, 9)
        number, used = _length(head, 0)
        self._at += used
        return number

    def _string(self) -> Iterator[Value]:
        first = self._bytes(1)[0]
        self._at -= 1
        if first in (0xC0, 0xC1, 0xC2):
            self._at += 1 + {0xC0: 1, 0xC1: 2, 0xC2: 4}[first]
        elif first == 0xC3:
            made = _unpacked(self._file, self._at)
            if made is None:
                raise IndexError
            self._at = made[1]
            yield Value("Redis LZF", self._at, made[0], Seen.WHOLE)
        else:
            size, start = self._number(), self._at
            self._at += size
            yield Value("Redis value", start, self._file.read(start, min(size, _STRING_MAX)), Seen.WHOLE)

    def _blob(self, is_listpack: bool) -> Iterator[Value]:
        for value in self._string():
            yield value
            if is_listpack:
                yield from (Value("Redis value", value.offset, part, Seen.WHOLE) for part in _listpack(value.data))


def _listpack(data: bytes) -> Iterator[bytes]:
    """Strings of a listpack: each entry is its head, content, and its own size written backwards."""
    at = 6
    while at < len(data) and data[at] != 0xFF:
        first = data[at]
        if first >> 7 == 0:
            size, head = 0, 1
        elif first >> 6 == 2:
            size, head = first & 63, 1
        elif first >> 5 == 6:
            size, head = 0, 2
        elif first >> 4 == 14:
            size, head = (first & 15) << 8 | data[at + 1], 2
        elif first == 0xF0:
            size, head = int.from_bytes(data[at + 1 : at + 5], "little"), 5
        else:
            size, head = 0, {0xF1: 3, 0xF2: 4, 0xF3: 5, 0xF4: 9}.get(first, len(data))
        if size:
            yield data[at + head : at + head + size]
        entry = head + size
        at += entry + next(
            count for count, end in enumerate((127, 16383, 2097151, 268435455, 1 << 40), 1) if entry <= end
        )
