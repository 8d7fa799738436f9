"""Values in files of a PostgreSQL data directory: tables, and the write-ahead log.

Source of the log's form: PostgreSQL `src/include/access/xlog_internal.h`, `xlogrecord.h`, `heapam_xlog.h`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from governance.bodies.scanner import inflate
from governance.bodies.scanner.files import File
from governance.bodies.scanner.lz77 import Broken, lz4_block, pglz
from governance.bodies.scanner.postgres_pages import (
    PAGE,
    TUPLE_FIXED,
    Toast,
    compressed_in,
    fields,
    is_page,
    tuples,
)
from governance.bodies.scanner.value import Seen, Value

_LOG_MAGIC = range(0xD000, 0xD200)  # each release's own: PostgreSQL 15 has 0xD110
_LONG_HEAD = 2
_RECORD_HEAD = 24
_RECORD_MAX = 64 << 20
_HEAP, _HEAP2 = 10, 9
_INSERTS = {0x00, 0x20, 0x40}  # insert, update, update within the page
_MULTI_INSERT = 0x50
_HAS_IMAGE, _HAS_DATA, _SAME_TABLE = 0x10, 0x20, 0x80
_HOLE, _PGLZ, _LZ4, _ZSTD = 0x01, 0x04, 0x08, 0x10
_IMAGE_MAX = PAGE


def is_table(file: File) -> bool:
    """Whether the file is pages of a table or index."""
    return file.size % PAGE == 0 and any(
        is_page(file.read(at, PAGE)) for at in range(0, min(file.size, 8 * PAGE), PAGE)
    )


def is_log(file: File) -> bool:
    """Whether the file is a segment of the write-ahead log."""
    head = file.read(0, 40)
    return (
        file.size >= 1 << 20
        and not file.size % PAGE
        and len(head) == 40
        and int.from_bytes(head[:2], "little") in _LOG_MAGIC
        and bool(head[2] & _LONG_HEAD)
        and int.from_bytes(head[32:36], "little") == file.size
    )


def table_values(file: File) -> Iterator[Value]:
    """What is compressed, toasted, or may be without a head."""
    toast = Toast()
    for offset in range(0, file.size, PAGE):
        yield from _page_values(file.read(offset, PAGE), offset, toast)
    yield from toast.values()


def _page_values(page: bytes, offset: int, toast: Toast) -> Iterator[Value]:
    yield from compressed_in(page, offset)
    if is_page(page):
        for columns, held in tuples(page):
            if not toast.add(columns, held, offset, lambda start, end, held=held: held[start:end]):  # type: ignore[misc]
                yield from fields(held, offset)


def log_values(file: File) -> Iterator[Value]:
    """The log without the headers of its pages, images of pages in it, and values of rows that it inserts."""
    log, first = _without_page_heads(file)
    yield Value("PostgreSQL log", 0, log, Seen.NOT)
    yield from compressed_in(log, 0)
    toast = Toast()
    for offset, record in _records(log, first):
        for block in _blocks(record):
            if block.image:
                yield Value("PostgreSQL page image", offset, block.image, Seen.NOT)
                yield from _page_values(block.image, offset, toast)
            for columns, held in _inserted(record, block.data):
                if not toast.add(columns, held, offset, lambda start, end, held=held: held[start:end]):  # type: ignore[misc]
                    yield from fields(held, offset)
    yield from toast.values()


def _without_page_heads(file: File) -> tuple[bytes, int]:
    """The log's bytes, and where its first record begins."""
    parts: list[bytes] = []
    first = 0
    for offset in range(0, file.size, PAGE):
        page = file.read(offset, PAGE)
        if not any(page):
            continue
        if not offset:
            first = -(-int.from_bytes(page[16:20], "little") // 8) * 8
        parts.append(page[40 if page[2] & _LONG_HEAD else 24 :])
    return b"".join(parts), first


def _records(log: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _RECORD_HEAD <= len(log):
        size = int.from_bytes(log[at : at + 4], "little")
        if not _RECORD_HEAD <= size <= _RECORD_MAX:
            at += 8  # the end, or a part of an older log: go on where a record may begin
            continue
        yield at, log[at : at + size]
        at += -(-size // 8) * 8


@dataclass(frozen=True, slots=True)
class _Block:
    image: bytes  # a whole page, its hole filled; empty where the record has none
    data: bytes


def _blocks(record: bytes) -> Iterator[_Block]:
    """Blocks that a record refers to; none where it is damaged."""
    heads: list[tuple[int, int, int, int, int]] = []
    at = _RECORD_HEAD
    try:
        while True:
            number = record[at]
            if number == 255:
                at += 2
                break
            if number == 254:
                at += 5
                break
            if number in (253, 252):
                at += 3 if number == 253 else 5
                continue
            if number > 32:
                return
            flags, size = record[at + 1], int.from_bytes(record[at + 2 : at + 4], "little")
            at += 4
            image = start = how = hole = 0
            if flags & _HAS_IMAGE:
                image, start = (int.from_bytes(record[at + part : at + part + 2], "little") for part in (0, 2))
                how = record[at + 4]
                at += 5
                if how & _HOLE:
                    hole = PAGE - image
                    if how & (_PGLZ | _LZ4 | _ZSTD):
                        hole, at = int.from_bytes(record[at : at + 2], "little"), at + 2
            heads.append((size, image, start, hole, how))
            at += 4 if flags & _SAME_TABLE else 16
            if at + sum(size + image for size, image, *_ in heads) >= len(record):
                break
    except IndexError:
        return
    for size, image, start, hole, how in heads:
        yield _Block(_image(record[at : at + image], start, hole, how), record[at + image : at + image + size])
        at += image + size


def _image(data: bytes, start: int, hole: int, how: int) -> bytes:
    if not data or not 0 <= hole <= PAGE:  # a header that says so is no record's: random bytes, or a page that was torn
        return b""
    try:
        if how & _PGLZ:
            data = pglz(data, PAGE - hole)
        elif how & _LZ4:
            data = lz4_block(data, PAGE - hole)
        elif how & _ZSTD:
            data = b"".join(inflate.zstd_stream().feed(data))
    except Broken:
        return b""
    return data[:start] + bytes(hole) + data[start:]


def _inserted(record: bytes, data: bytes) -> Iterator[tuple[int, bytes]]:
    """(columns, their bytes) of the tuples that a record's block brings."""
    manager, kind = record[17], record[16] & 0x70
    if manager == _HEAP and kind in _INSERTS and len(data) > 5:
        yield from _tuple(data[:2], data[4], data[5:])
    elif manager == _HEAP2 and kind == _MULTI_INSERT:
        at = 0
        while at + 7 < len(data):
            size = int.from_bytes(data[at : at + 2], "little")
            yield from _tuple(data[at + 2 : at + 4], data[at + 6], data[at + 7 : at + 7 + size])
            at += 7 + size + (7 + size) % 2


def _tuple(mask: bytes, head_size: int, rest: bytes) -> Iterator[tuple[int, bytes]]:
    if head_size >= TUPLE_FIXED:
        yield int.from_bytes(mask, "little") & 0x7FF, rest[head_size - TUPLE_FIXED :]
