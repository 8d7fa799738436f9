"""Where compressed data begins, told by its first bytes, and what reads it from there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from ahocorasick_rs import BytesAhoCorasick

from governance.bodies.scanner import frames, inflate
from governance.bodies.scanner.inflate import Make
from governance.bodies.scanner.lz77 import Broken, lz4_block, snappy_block
from governance.bodies.scanner.needles import MATCHED_MIN

BLOCK_MAX = 32 << 20  # bytes that a block without a head may have, or become


@dataclass(frozen=True, slots=True)
class Head:
    """First bytes of a format. A `weak` one turns up in noise: that what follows it breaks off says nothing."""

    first: bytes
    make: Make
    weak: bool = False


HEADS = (
    Head(b"\x1f\x8b\x08", inflate.gzip_stream),
    *(Head(b"\x78" + level, inflate.zlib_stream, weak=True) for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
    Head(b"\x28\xb5\x2f\xfd", inflate.zstd_stream),
    Head(b"\x04\x22\x4d\x18", frames.Lz4Frame),
    Head(b"\x02\x21\x4c\x18", frames.Lz4Legacy),
    Head(b"\xff\x06\0\0sNaPpY", frames.SnappyFrames),
    *(Head(b"BZh%d1AY&SY" % level, inflate.bzip2_stream) for level in range(1, 10)),
    Head(b"\xfd7zXZ\0", inflate.xz_stream),
    Head(b"\x5d\0\0", inflate.lzma_stream, weak=True),
    Head(b"PK\x03\x04", frames.ZipEntry),
)
# Keys whose values arrive in pieces: a completion streamed as JSON, each event with a few of its letters.
STREAMED_KEYS = (
    *("content", "text", "delta", "partial_json", "arguments", "thinking", "reasoning", "reasoning_content"),
    *("refusal", "token", "chunk", "output", "response", "completion", "data", "message", "body", "v"),
)
_KEYS = tuple(quote % key.encode() for quote in (b'"%s"', b"'%s'") for key in STREAMED_KEYS)  # JSON's, and Python's
HEAD_MAX = max(len(head.first) for head in HEADS)
_AUTOMATON = BytesAhoCorasick([head.first for head in HEADS] + list(_KEYS))


def heads(data: bytes) -> tuple[list[tuple[int, int, Head]], list[tuple[str, int]]]:
    """(start, end of the head, its format) of all that may begin in the data, and (key, its end) of streamed keys."""
    found = _AUTOMATON.find_matches_as_indexes(data)
    known = len(HEADS)
    begins = [(start, end, HEADS[number]) for number, start, end in found if number < known]
    return begins, [
        (STREAMED_KEYS[(number - known) % len(STREAMED_KEYS)], end) for number, _, end in found if number >= known
    ]


def strong_head(data: bytes) -> bool:
    """Whether compressed data surely begins in it."""
    return any(not head.weak for _, _, head in heads(data)[0])


def without_head(value: bytes, *, any_end: bool = False) -> Iterator[inflate.Decoder]:
    """What may be tried from a value's first byte, though nothing there names a format. With `any_end`, the value may go on
    behind what is compressed."""
    if not value:
        return
    kind = value[0] >> 1 & 3
    stored_fits = kind != 0 or (len(value) > 4 and value[1] ^ value[3] == 255 and value[2] ^ value[4] == 255)
    if kind != 3 and stored_fits:
        yield inflate.deflate()
    yield inflate.Brotli(any_end=any_end)
    if inflate.small_window_zlib(value[:2]):
        yield inflate.zlib_stream()


def short_without_head(value: bytes) -> Iterator[tuple[str, bytes]]:
    """What a short value becomes, where all of it is compressed in a form without a head: (form, bytes)."""
    for decoder in without_head(value):
        made = b"".join(islice(decoder.feed(value), 1))
        if len(made) >= MATCHED_MIN and not decoder.cut() and not decoder.broken:
            yield decoder.form, made
    yield from block_without_head(value)


def block_without_head(value: bytes) -> Iterator[tuple[str, bytes]]:
    """What a whole value becomes as a block of LZ4 or raw Snappy, where it may be one: (form, bytes)."""
    if len(value) < 4 or len(value) > BLOCK_MAX:
        return
    literals = value[0] >> 4
    if literals == 15 or 0 < int.from_bytes(value[1 + literals : 3 + literals], "little") <= literals:
        yield from _block("lz4", lz4_block, value)
    head = 0
    while value[head] > 127 and head < 3:
        head += 1
    if not value[head + 1 : head + 2] or not value[head + 1] & 3:  # it must begin with a literal
        yield from _block("snappy", snappy_block, value)


def block_may_go_on(window: bytes) -> bool:
    """Whether a value's first bytes are the beginning of a block that nothing in them contradicts."""
    for read in (lz4_block, snappy_block):
        try:
            read(window, BLOCK_MAX)
        except Broken as broken:
            if broken.cut and broken.made not in window:
                return True
    return False


def _block(form: str, read: Callable[[bytes, int], bytes], value: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        made = read(value, BLOCK_MAX)
    except Broken as broken:
        made = broken.made
    if len(made) >= MATCHED_MIN and made not in value:  # else it is one literal, which stands there as it is
        yield form, made
