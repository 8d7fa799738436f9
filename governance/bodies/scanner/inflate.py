"""Compressed data as streams: each decoder is fed in order and yields what it makes in pieces, so memory stays bounded.

A decoder never raises for bad data: it is `done`, and `broken` says so where it had not come to its end.
"""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import brotli  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["PIECE", "Brotli", "Decoder", "zstd"]

PIECE = 1 << 20  # bytes that a decoder yields at once, at most
_XZ_MEMORY = 128 << 20
_ZSTD_WINDOW_LOG_MAX = 27  # 128 MiB, what the format's own tool takes


class Decoder(Protocol):
    """One compressed stream."""

    form: str
    done: bool  # nothing more will come: at its end, or broken
    broken: bool

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes become, in pieces of PIECE at most."""

    def cut(self) -> bool:
        """Whether it would be cut off if nothing followed."""


class _Ended:
    """A stream that says itself where it ends."""

    done: bool

    def cut(self) -> bool:
        return not self.done


class _Library(_Ended):
    """Over a decompressor with the standard library's shape."""

    def __init__(self, form: str, decompressor: Any) -> None:
        self.form = form
        self.done = self.broken = False
        self._inner = decompressor

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while not self.done:
                made = self._inner.decompress(data, PIECE)
                data = b""
                self.done = self._inner.eof
                if made:
                    yield made
                if self._inner.needs_input and not self.done:
                    return
        except (OSError, EOFError, ValueError, lzma.LZMAError, zstd.ZstdError, MemoryError):
            self.done = self.broken = True


class _Zlib(_Ended):
    def __init__(self, form: str, wbits: int) -> None:
        self.form = form
        self.done = self.broken = False
        self._inner = zlib.decompressobj(wbits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while not self.done:
                made = self._inner.decompress(data, PIECE)
                data = self._inner.unconsumed_tail
                self.done = self._inner.eof
                if made:
                    yield made
                if not data and len(made) < PIECE:
                    return
        except zlib.error:
            self.done = self.broken = True


class Brotli(_Ended):
    """Brotli has no head: whoever feeds it takes a place for its start. With `any_end`, bytes may follow its end."""

    form = "brotli"
    _REPLAYED_MAX = 64 << 10

    def __init__(self, *, any_end: bool = False) -> None:
        self.done = self.broken = False
        self._inner = brotli.Decompressor()
        self._given = bytearray() if any_end else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield from self._process(data)
        except brotli.error:
            self.done = self.broken = True
            if self._given is not None:
                yield from self._bytewise(data)
            return
        if self._given is not None:
            self._given += data
            if len(self._given) > self._REPLAYED_MAX:
                self._given = None

    def _process(self, data: bytes) -> Iterator[bytes]:
        while not self.done:
            made = self._inner.process(data, output_buffer_limit=PIECE)
            data = b""
            self.done = self._inner.is_finished()
            if made:
                yield made
            if not self.done and (self._inner.can_accept_more_data() or not made):
                return

    def _bytewise(self, data: bytes) -> Iterator[bytes]:
        """What came before the byte that was too much: the library gives up the whole piece."""
        assert self._given is not None
        self._inner = brotli.Decompressor()
        self._inner.process(bytes(self._given))
        self.done = False
        try:
            for at in range(min(len(data), self._REPLAYED_MAX)):
                yield from self._process(data[at : at + 1])
                if self.done:
                    self.broken = False
                    return
        except brotli.error:
            pass
        self.done = True


def deflate() -> Decoder:
    """Raw deflate, which has no head either."""
    return _Zlib("deflate", -zlib.MAX_WBITS)


def small_window_zlib(head: bytes) -> bool:
    """Whether two bytes are a zlib head (RFC 1950) of a smaller window than MAGIC knows."""
    return len(head) == 2 and head[0] & 15 == 8 and head[0] >> 4 < 7 and not int.from_bytes(head, "big") % 31


def zlib_stream() -> Decoder:
    """A zlib stream of any window."""
    return _Zlib("zlib", zlib.MAX_WBITS)


def gzip_stream() -> Decoder:
    """One gzip member; the next has a head of its own."""
    return _Zlib("gzip", zlib.MAX_WBITS | 16)


def zstd_stream() -> Decoder:
    """One Zstandard frame."""
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX}
    return _Library("zstd", zstd.ZstdDecompressor(options=options))


def bzip2_stream() -> Decoder:
    """One bzip2 stream."""
    return _Library("bzip2", bz2.BZ2Decompressor())


def xz_stream() -> Decoder:
    """One xz stream."""
    return _Library("xz", lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))


def lzma_stream() -> Decoder:
    """The older .lzma form."""
    return _Library("lzma", lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY))


Make = Callable[[], Decoder]
