"""Streams that are a row of blocks: LZ4 frames, framed Snappy, and the entries of zip archives."""

import zlib
from collections.abc import Iterator

from governance.bodies.scanner.lz77 import Broken, lz4_block, snappy_block

_LZ4_BLOCK_MAX = {4: 64 << 10, 5: 256 << 10, 6: 1 << 20, 7: 4 << 20}
_LZ4_LEGACY_BLOCK_MAX = 8 << 20
_LINKED = 64 << 10
_SNAPPY_BLOCK_MAX = 64 << 10


class _Blocks:
    """Collects until a whole block is there; `_next` says how many bytes that takes, and `_take` what they become."""

    form = ""

    def __init__(self) -> None:
        self.done = self.broken = False
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._held += data
        try:
            while not self.done:
                size = self._next(self._held)
                if size is None or len(self._held) < size:
                    return
                block = bytes(self._held[:size])
                del self._held[:size]
                if made := self._take(block):
                    yield made
        except Broken as cut:
            self.done = self.broken = True
            if cut.made:
                yield cut.made

    def cut(self) -> bool:
        return not self.done

    def _next(self, held: bytearray) -> int | None:
        raise AssertionError

    def _take(self, block: bytes) -> bytes:
        raise AssertionError


class Lz4Frame(_Blocks):
    """lz4 `doc/lz4_Frame_format.md`."""

    form = "lz4"

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._before = b""

    def _next(self, held: bytearray) -> int | None:
        if not self._started:
            if len(held) < 6:
                return None
            flags, sizes = held[4], held[5]
            if flags >> 6 != 1 or sizes >> 4 & 7 not in _LZ4_BLOCK_MAX:
                raise Broken
            return 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
        if len(held) < 4:
            return None
        size = int.from_bytes(held[:4], "little")
        if not size:
            return 4
        if size & 0x7FFFFFFF > self._block_max:
            raise Broken
        return 4 + (size & 0x7FFFFFFF) + (4 if self._checksums else 0)

    def _take(self, block: bytes) -> bytes:
        if not self._started:
            self._started = True
            self._linked, self._checksums = not block[4] & 32, bool(block[4] & 16)
            self._block_max = _LZ4_BLOCK_MAX[block[5] >> 4 & 7]
            return b""
        size = int.from_bytes(block[:4], "little")
        if not size:
            self.done = True
            return b""
        data = block[4 : 4 + (size & 0x7FFFFFFF)]
        made = data if size >> 31 else lz4_block(data, self._block_max, self._before)
        if self._linked:
            self._before = (self._before + made)[-_LINKED:]
        return made


class _Endless(_Blocks):
    """No mark says where it ends: any block may be the last."""

    def cut(self) -> bool:
        return not self.done and bool(self._held)


class Lz4Legacy(_Endless):
    """The form of `lz4 -l` and of Linux images: blocks of 8 MiB."""

    form = "lz4"

    def __init__(self) -> None:
        super().__init__()
        self._started = False

    def _next(self, held: bytearray) -> int | None:
        if not self._started:
            return 4
        if len(held) < 4:
            return None
        size = int.from_bytes(held[:4], "little")
        if not 0 < size <= _LZ4_LEGACY_BLOCK_MAX + _LZ4_LEGACY_BLOCK_MAX // 255 + 16:
            self.done = True  # the next stream, or what follows
            return None
        return 4 + size

    def _take(self, block: bytes) -> bytes:
        if not self._started:
            self._started = True
            return b""
        return lz4_block(block[4:], _LZ4_LEGACY_BLOCK_MAX)


class SnappyFrames(_Endless):
    """snappy `framing_format.txt`."""

    form = "snappy"

    def _next(self, held: bytearray) -> int | None:
        if len(held) < 4:
            return None
        if 2 <= held[0] < 0x80:
            self.done = True  # no chunk may be of these kinds: something else follows
            return None
        return 4 + int.from_bytes(held[1:4], "little")

    def _take(self, block: bytes) -> bytes:
        kind = block[0]
        if kind == 0:
            return snappy_block(block[8:], _SNAPPY_BLOCK_MAX)
        if kind == 1:
            return block[8:]
        return b""


class ZipEntry:
    """From one local header (APPNOTE 4.3.7) to the end of its deflated data; other methods are found by their own head."""

    form = "zip"
    encrypted = False

    def cut(self) -> bool:
        return not self.done

    def __init__(self) -> None:
        self.done = self.broken = False
        self._held: bytearray | None = bytearray()
        self._inner = zlib.decompressobj(-zlib.MAX_WBITS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._held is not None:
            self._held += data
            if len(self._held) < 30:
                return
            size = 30 + int.from_bytes(self._held[26:28], "little") + int.from_bytes(self._held[28:30], "little")
            if len(self._held) < size:
                return
            self.encrypted = bool(self._held[6] & 1)
            if int.from_bytes(self._held[8:10], "little") != 8 or self.encrypted:
                self.done, self.broken = True, self.encrypted
                return
            data, self._held = bytes(self._held[size:]), None
        try:
            while data and not self.done:
                made = self._inner.decompress(data, 1 << 20)
                data = self._inner.unconsumed_tail
                self.done = self._inner.eof
                if made:
                    yield made
        except zlib.error:
            self.done = self.broken = True
