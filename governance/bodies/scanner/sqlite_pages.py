"""Cells of SQLite pages: what a page holds in use, and what was freed within it. Source: https://sqlite.org/fileformat2.html"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LEAF_TABLE, _LEAF_INDEX, _INNER_INDEX, _INNER_TABLE = 0x0D, 0x0A, 0x02, 0x05


_BEGUN = re.compile(rb"(?:(?<=\0\0\0\0)|\A)[^\0].{15,}?(?=\0\0\0\0|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's payload: what lies in the page, how long it is in all, and which page it goes on in (0 for none)."""

    local: bytes
    size: int
    overflow: int
    freed: bool = False


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number there, and where the next thing begins. Raises IndexError at the end."""
    value = 0
    for count in range(8):
        byte = data[at + count]
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at + count + 1
    return value << 8 | data[at + 8], at + 9


def _local_size(payload: int, usable: int, leaf_table: bool) -> int:
    most = usable - 35 if leaf_table else (usable - 12) * 64 // 255 - 23
    if payload <= most:
        return payload
    least = (usable - 12) * 32 // 255 - 23
    kept = least + (payload - least) % (usable - 4)
    return kept if kept <= most else least


def cells(page: bytes, usable: int, head: int = 0) -> Iterator[Cell]:
    """Cells of a page whose header begins at `head` (100 in a file's first page), then freed ones; none where it is no such
    page. Whether the page is in use doesn't matter: a freed one keeps its cells."""
    kind = page[head] if len(page) > head + 12 else 0
    if kind not in (_LEAF_TABLE, _LEAF_INDEX, _INNER_INDEX):
        return
    first = head + (12 if kind == _INNER_INDEX else 8)
    count = int.from_bytes(page[head + 3 : head + 5], "big")
    if first + 2 * count > usable:
        return
    for at in range(first, first + 2 * count, 2):
        start = int.from_bytes(page[at : at + 2], "big")
        if first <= start < usable:
            try:
                yield _cell(page, start, usable, kind)
            except IndexError:
                continue
    yield from _freed(page, usable, head, first + 2 * count)


def _cell(page: bytes, start: int, usable: int, kind: int) -> Cell:
    if kind == _INNER_INDEX:
        start += 4
    size, start = varint(page, start)
    if kind == _LEAF_TABLE:
        _, start = varint(page, start)
    local = _local_size(size, usable, kind == _LEAF_TABLE)
    end = start + local
    overflow = int.from_bytes(page[end : end + 4], "big") if local < size else 0
    return Cell(page[start:end], size, overflow)


def _freed(page: bytes, usable: int, head: int, array_end: int) -> Iterator[Cell]:
    """Freed blocks, and the gap between the cell pointers and the cells: deleted rows, their first bytes overwritten."""
    content = int.from_bytes(page[head + 5 : head + 7], "big") or 65536
    for begun in _BEGUN.finditer(page[array_end:content] if array_end < content <= usable else b""):
        yield _block(page[array_end + begun.start() : content])
    at, seen = int.from_bytes(page[head + 1 : head + 3], "big"), 0
    while at and at + 4 <= usable and seen < usable // 4:
        following, size = (int.from_bytes(page[at + part : at + part + 2], "big") for part in (0, 2))
        block = page[at : min(at + size, usable)]
        if len(block) >= 16:
            yield _block(block)
        if following <= at:
            break
        at, seen = following, seen + 1


def _block(freed: bytes) -> Cell:
    """Where the row went on in other pages, the number of the first is its last four bytes."""
    return Cell(freed, len(freed), int.from_bytes(freed[-4:], "big"), freed=True)


def columns(record: bytes) -> Iterator[bytes]:
    """Text and blob values of a record; none where it is damaged."""
    try:
        head, at = varint(record, 0)
        if not 1 <= head <= len(record):
            return
        value = head
        while at < head:
            kind, at = varint(record, at)
            if kind >= 12:
                size = (kind - 12) // 2
                if value < len(record):
                    yield record[value : value + size]
            else:
                size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind]
            value += size
    except IndexError:
        return
