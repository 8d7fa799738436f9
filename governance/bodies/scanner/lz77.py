"""Decoders of compressed blocks that no wheel of ours reads: LZ4, Snappy, PostgreSQL's pglz and Redis's LZF.

Each takes a block and the most bytes that it may become, and raises Broken where the block is none. Sources: lz4
`doc/lz4_Block_format.md`, snappy `format_description.txt`, PostgreSQL `src/common/pg_lzcompress.c`, Redis `lzf_d.c`.
"""


class Broken(Exception):
    """Not such a block, or cut off. `made` is what it became until there."""

    def __init__(self, made: bytes = b"", *, cut: bool = False) -> None:
        super().__init__()
        self.made = made
        self.cut = cut  # the input ended where more was due


def _copy(out: bytearray, offset: int, length: int) -> None:
    if not 0 < offset <= len(out):
        raise Broken(bytes(out))
    start = len(out) - offset
    if offset >= length:
        out += out[start : start + length]
    else:  # it repeats what it makes
        out += (out[start:] * (length // offset + 1))[:length]


def lz4_block(data: bytes, size_max: int, before: bytes = b"") -> bytes:
    """One block; `before` is what linked blocks may refer to (64 KiB at most)."""
    out = bytearray(before)
    at, end, limit = 0, len(data), size_max + len(before)
    try:
        while at < end:
            token = data[at]
            at += 1
            length = token >> 4
            if length == 15:
                while (more := data[at]) == 255:
                    length += 255
                    at += 1
                length += more
                at += 1
            if at + length > end:
                raise Broken(bytes(out[len(before) :]) + data[at:end], cut=True)
            out += data[at : at + length]
            at += length
            if at == end:
                return bytes(out[len(before) :])
            offset = data[at] | data[at + 1] << 8
            at += 2
            length = (token & 15) + 4
            if length == 19:
                while (more := data[at]) == 255:
                    length += 255
                    at += 1
                length += more
                at += 1
            if len(out) + length > limit:
                raise Broken(bytes(out[len(before) :]))
            _copy(out, offset, length)
    except IndexError:
        pass
    raise Broken(bytes(out[len(before) :]), cut=True)


def snappy_block(data: bytes, size_max: int) -> bytes:
    """One raw block: its length as a varint, then literals and copies."""
    out = bytearray()
    at, end = 0, len(data)
    try:
        size = shift = 0
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 28:
                raise Broken
        if size > size_max:
            raise Broken
        while at < end:
            tag = data[at]
            at += 1
            kind = tag & 3
            if kind == 0:
                length = tag >> 2
                if length >= 60:
                    width = length - 59
                    length = int.from_bytes(data[at : at + width], "little")
                    at += width
                length += 1
                if at + length > end:
                    raise Broken(bytes(out) + data[at:end], cut=True)
                out += data[at : at + length]
                at += length
            else:
                if kind == 1:
                    length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
                    at += 1
                else:
                    width = 2 if kind == 2 else 4
                    length, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + width], "little")
                    at += width
                _copy(out, offset, length)
            if len(out) > size:
                raise Broken(bytes(out[:size]))
    except IndexError:
        raise Broken(bytes(out), cut=True) from None
    if len(out) != size:
        raise Broken(bytes(out), cut=True)
    return bytes(out)


def pglz(data: bytes, size: int) -> bytes:
    """What `pglz_compress` made of `size` bytes."""
    out = bytearray()
    at, end = 0, len(data)
    try:
        while at < end and len(out) < size:
            control = data[at]
            at += 1
            for _ in range(8):
                if at >= end or len(out) >= size:
                    break
                if control & 1:
                    length, offset = (data[at] & 15) + 3, (data[at] & 240) << 4 | data[at + 1]
                    at += 2
                    if length == 18:
                        length += data[at]
                        at += 1
                    _copy(out, offset, min(length, size - len(out)))
                else:
                    out.append(data[at])
                    at += 1
                control >>= 1
    except IndexError:
        raise Broken(bytes(out), cut=True) from None
    if len(out) != size:
        raise Broken(bytes(out), cut=True)
    return bytes(out)


def lzf(data: bytes, size: int) -> bytes:
    """What `lzf_compress` made of `size` bytes."""
    out = bytearray()
    at, end = 0, len(data)
    try:
        while at < end and len(out) <= size:
            control = data[at]
            at += 1
            if control < 32:
                out += data[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            _copy(out, ((control & 31) << 8 | data[at]) + 1, length + 2)
            at += 1
    except IndexError:
        raise Broken(bytes(out), cut=True) from None
    if len(out) != size:
        raise Broken(bytes(out))
    return bytes(out)
