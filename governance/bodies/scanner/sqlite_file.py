"""Rows of SQLite files put together again: from pages in use and freed, the write-ahead log and the rollback journal.

What lies in one piece in the file is found without this. Here is what goes on in overflow pages, and what a value holds
that is compressed in a form without a head.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from governance.bodies.scanner.files import File
from governance.bodies.scanner.sqlite_pages import Cell, cells, columns
from governance.bodies.scanner.value import Seen, Value

MAGIC = b"SQLite format 3\0"
WAL_MAGICS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
JOURNAL_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_WAL_HEAD, _FRAME_HEAD = 32, 24
_PAYLOAD_MAX = 64 << 20
_FREED_MAX = 4 << 20  # what says where a freed row goes on may be noise
_JOURNAL_SECTOR = 512


class Pages(Protocol):
    """Pages by number, as seen from one of them."""

    size: int
    usable: int

    def at(self, number: int, seen_from: int) -> bytes:
        """The page, empty where there is none. `seen_from` tells versions apart."""


def values(file: File, beside: File | None = None) -> Iterator[Value]:
    """Every row of a database, log or journal. `beside` is the database that a log or journal belongs to."""
    head = file.read(0, 64)
    if head.startswith(MAGIC):
        yield from _rows(_Database(file))
    elif head.startswith(WAL_MAGICS):
        yield from _rows(_Wal(file, _Database(beside) if beside else None))
    elif head.startswith(JOURNAL_MAGIC) or beside is not None:
        yield from _rows(_Journal(file, head, _Database(beside) if beside else None))


def database_of(path: Path) -> Path | None:
    """The database that a file's name says it belongs to, where that exists."""
    for end in ("-wal", "-journal"):
        if path.name.endswith(end) and (found := path.with_name(path.name.removesuffix(end))).is_file():
            return found
    return None


class _Source(Pages, Protocol):
    def pages(self) -> Iterator[tuple[int, int, int, bytes]]: ...


def _rows(source: _Source) -> Iterator[Value]:
    for offset, seen_from, number, page in source.pages():
        for cell in cells(page, source.usable, 100 if number == 1 else 0):
            payload = _payload(cell, source, seen_from)
            if len(payload) > len(cell.local):
                yield Value("SQLite row", offset, payload, Seen.NOT)
            if cell.freed:
                yield Value("SQLite freed row", offset, payload, Seen.SOMEWHERE_WITHIN)
            else:
                yield from (Value("SQLite row", offset, value, Seen.WHOLE) for value in columns(payload))


def _payload(cell: Cell, pages: Pages, seen_from: int) -> bytes:
    """With what lies in overflow pages: the next one's number, then content."""
    if not cell.overflow:
        return cell.local
    parts = [cell.local[:-4] if cell.freed else cell.local]
    size_max = _FREED_MAX if cell.freed else min(cell.size, _PAYLOAD_MAX)
    size, number = len(parts[0]), cell.overflow
    seen: set[int] = set()
    while number and number not in seen and size < size_max:
        seen.add(number)
        page = pages.at(number, seen_from)
        if len(page) < pages.usable:
            break
        parts.append(page[4 : pages.usable][: size_max - size])
        size += len(parts[-1])
        number = int.from_bytes(page[:4], "big")
    return b"".join(parts) if len(parts) > 1 else cell.local


class _Database:
    def __init__(self, file: File) -> None:
        self._file = file
        head = file.read(0, 100)
        self.size = int.from_bytes(head[16:18], "big")
        self.size = 65536 if self.size == 1 else self.size
        if self.size < 512 or self.size & (self.size - 1):
            self.size = 4096
        self.usable = self.size - (head[20] if len(head) > 20 and head.startswith(MAGIC) else 0)

    def at(self, number: int, seen_from: int = 0) -> bytes:
        return self._file.read((number - 1) * self.size, self.size) if number > 0 else b""

    def pages(self) -> Iterator[tuple[int, int, int, bytes]]:
        for number in range(1, self._file.size // self.size + 1):
            yield (number - 1) * self.size, 0, number, self.at(number)


class _Wal:
    """Frames in order; a page may be in many. Frames of before the last reset are read as well."""

    def __init__(self, file: File, database: _Database | None) -> None:
        self._file = file
        self._database = database
        self.size = int.from_bytes(file.read(8, 4), "big")
        if self.size < 512 or self.size > 65536 or self.size & (self.size - 1):
            self.size = 4096
        self.usable = database.usable if database is not None and database.size == self.size else self.size
        self._count = max(0, file.size - _WAL_HEAD) // (_FRAME_HEAD + self.size)
        self._versions: dict[int, list[int]] = {}
        self._commits: list[int] = []
        for frame in range(self._count):
            number, committed = self._head(frame)
            self._versions.setdefault(number, []).append(frame)
            if committed:
                self._commits.append(frame)

    def _head(self, frame: int) -> tuple[int, int]:
        head = self._file.read(_WAL_HEAD + frame * (_FRAME_HEAD + self.size), 8)
        return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")

    def _page(self, frame: int) -> bytes:
        return self._file.read(_WAL_HEAD + frame * (_FRAME_HEAD + self.size) + _FRAME_HEAD, self.size)

    def at(self, number: int, seen_from: int) -> bytes:
        """As of the end of the transaction that the frame belongs to, else the next later version, else the database's."""
        found = self._versions.get(number, [])
        last = self._commits[at] if (at := bisect_left(self._commits, seen_from)) < len(self._commits) else self._count
        before = bisect_right(found, last)
        if before:
            return self._page(found[before - 1])
        if self._database is not None and (page := self._database.at(number)):
            return page
        return self._page(found[0]) if found else b""

    def pages(self) -> Iterator[tuple[int, int, int, bytes]]:
        for frame in range(self._count):
            yield _WAL_HEAD + frame * (_FRAME_HEAD + self.size), frame, self._head(frame)[0], self._page(frame)


class _Journal:
    """Pages as they were before a transaction: each behind its number and before its checksum."""

    def __init__(self, file: File, head: bytes, database: _Database | None) -> None:
        self._file = file
        self._database = database
        live = head.startswith(JOURNAL_MAGIC)  # else it was only zeroed, and its pages are there still
        self._sector = (int.from_bytes(head[20:24], "big") if live else 0) or _JOURNAL_SECTOR
        self.size = (int.from_bytes(head[24:28], "big") if live else 0) or (database.size if database else 4096)
        self.usable = database.usable if database is not None and database.size == self.size else self.size
        self._places = {number: offset for offset, number in self._heads()}

    def _heads(self) -> Iterator[tuple[int, int]]:
        at = self._sector
        while at + 8 + self.size <= self._file.size:
            if self._file.read(at, 8) == JOURNAL_MAGIC:  # the next part's header
                at += self._sector
                continue
            yield at + 4, int.from_bytes(self._file.read(at, 4), "big")
            at += 8 + self.size

    def at(self, number: int, seen_from: int = 0) -> bytes:
        if number in self._places:
            return self._file.read(self._places[number], self.size)
        return self._database.at(number) if self._database is not None else b""

    def pages(self) -> Iterator[tuple[int, int, int, bytes]]:
        for offset, number in self._heads():
            yield offset, 0, number, self._file.read(offset, self.size)
