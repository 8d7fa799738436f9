"""Pages of PostgreSQL tables: tuples whatever their state, values compressed in place, and TOAST put together again.

No catalogue is read: whatever has the form of a compressed value and decompresses to its stated size is one. Sources:
PostgreSQL `src/include/storage/bufpage.h`, `access/htup_details.h`, `varatt.h`, `access/toast_internals.h`.
"""

import re
from collections.abc import Callable, Iterator

from governance.bodies.scanner.lz77 import Broken, lz4_block, pglz
from governance.bodies.scanner.value import Seen, Value

PAGE = 8192
TUPLE_FIXED = 23  # bytes of a tuple's header before its null bitmap
_SIZE_AND_VERSION = b"\x04\x20"
_NORMAL, _DEAD = 1, 3
_VALUE_MIN = 18
# A four-byte header of a compressed value of less than a page, then its size before, below 1 GiB, and a method.
_COMPRESSED = re.compile(
    rb"[%s][\0-\x7f]\0\0(?=...[\0-\x7f])" % b"".join(re.escape(bytes((byte,))) for byte in range(2, 256, 4)), re.DOTALL
)


def is_page(page: bytes) -> bool:
    """Whether it has the form of a table's or index's page."""
    if len(page) != PAGE or page[18:20] != _SIZE_AND_VERSION:
        return False
    lower, upper, special = (int.from_bytes(page[at : at + 2], "little") for at in (12, 14, 16))
    return 24 <= lower <= upper <= special <= PAGE


def tuples(page: bytes) -> Iterator[tuple[int, bytes]]:
    """(columns, their bytes) of every tuple with storage, dead ones too."""
    for at in range(24, int.from_bytes(page[12:14], "little"), 4):
        pointer = int.from_bytes(page[at : at + 4], "little")
        start, flags, size = pointer & 0x7FFF, pointer >> 15 & 3, pointer >> 17
        if flags in (_NORMAL, _DEAD) and size > TUPLE_FIXED and start + size <= PAGE:
            held = page[start : start + size]
            yield int.from_bytes(held[18:20], "little") & 0x7FF, held[held[22] :]


def decompressed(stated: int, data: bytes) -> bytes | None:
    """What a value becomes by the method and size that its header states; None where it doesn't."""
    size, method = stated & 0x3FFFFFFF, stated >> 30
    if size <= len(data) or size > len(data) * 300 or method > 1:
        return None
    try:
        made = lz4_block(data, size) if method else pglz(data, size)
    except Broken:
        return None
    return made if len(made) == size else None


def compressed_in(data: bytes, offset: int) -> Iterator[Value]:
    """Every value that is compressed in place, at whatever alignment."""
    for found in _COMPRESSED.finditer(data):
        start = found.start()
        size = int.from_bytes(data[start : start + 4], "little") >> 2
        if size > 8 and start + size <= len(data):
            made = decompressed(int.from_bytes(data[start + 4 : start + 8], "little"), data[start + 8 : start + size])
            if made is not None:
                yield Value("PostgreSQL compressed value", offset + start, made, Seen.NOT)


def fields(held: bytes, offset: int) -> Iterator[Value]:
    """What may be a column's value that only looks like noise. The columns' types aren't known: any length that fits counts."""
    for at in range(len(held) - _VALUE_MIN):
        first = held[at]
        if first & 1:
            start, end = at + 1, at + (first >> 1)
        elif first & 3 == 0 and at % 4 == 0:
            start, end = at + 4, at + (int.from_bytes(held[at : at + 4], "little") >> 2)
        else:
            continue
        if start + _VALUE_MIN <= end <= len(held):
            yield Value("PostgreSQL value", offset, held[start:end], Seen.WHOLE)


class Toast:
    """Chunks of values that lie outside of their rows, by the value's id, until all are there."""

    def __init__(self) -> None:
        self._chunks: dict[int, dict[int, Callable[[], bytes]]] = {}
        self._offsets: dict[int, int] = {}

    def add(self, columns: int, held: bytes, offset: int, read: Callable[[int, int], bytes]) -> bool:
        """Keep the tuple where it is a chunk: an id, a number and bytes to its end. `read` gives part of the tuple again."""
        if columns != 3 or len(held) < 9:
            return False
        if held[8] & 1:
            start, end = 9, 8 + (held[8] >> 1)
        elif not held[8] & 3 and len(held) >= 12:
            start, end = 12, 8 + (int.from_bytes(held[8:12], "little") >> 2)
        else:
            return False
        value, number = (int.from_bytes(held[at : at + 4], "little") for at in (0, 4))
        if not value or not start < end <= len(held) or len(held) - end > 7 or number > 1 << 20:
            return False
        self._chunks.setdefault(value, {}).setdefault(number, lambda: read(start, end))
        self._offsets.setdefault(value, offset)
        return True

    def values(self) -> Iterator[Value]:
        """Each value, from chunks that follow each other."""
        for value, chunks in self._chunks.items():
            row: list[bytes] = []
            for number in sorted(chunks):
                if row and number - 1 not in chunks:
                    yield from self._value(row, self._offsets[value])
                    row = []
                row.append(chunks[number]())
            yield from self._value(row, self._offsets[value])

    def _value(self, row: list[bytes], offset: int) -> Iterator[Value]:
        data = b"".join(row)
        made = decompressed(int.from_bytes(data[:4], "little"), data[4:])
        if made is not None:
            yield Value("PostgreSQL TOAST", offset, made, Seen.NOT)
        else:
            yield Value("PostgreSQL TOAST", offset, data, Seen.NOT if len(row) > 1 else Seen.WHOLE)
