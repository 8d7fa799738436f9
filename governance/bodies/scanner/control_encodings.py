"""Every way in which the positive control writes a needle down. The list is this module; the sinks are another."""

import base64
import bz2
import gzip
import html
import json
import lzma
import quopri
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import quote, quote_plus

import brotli  # type: ignore[import-untyped]

from governance.bodies.scanner.inflate import zstd

_PIECE = 12  # bytes: too short to be found


@dataclass(frozen=True, slots=True)
class Encoding:
    """`write` takes the text that holds the needle. A `headless` one is found only where a value is known to begin."""

    name: str
    write: Callable[[bytes], bytes]
    headless: bool = False
    binary: bool = True


def around(needle: bytes) -> bytes:
    """The needle behind pieces of it, so that a compressor writes all of it as copies of what it saw: nobody finds it
    without the decoder."""
    pieces = [needle[at : at + _PIECE] for at in range(0, len(needle), _PIECE)]
    return b"|".join([*pieces, b"xx" + needle + b"yy"])


def _each(form: str) -> Callable[[bytes], bytes]:
    return lambda text: "".join(form % ord(character) for character in text.decode()).encode()


def _utf(name: str) -> Callable[[bytes], bytes]:
    return lambda text: text.decode().encode(name)


def _window(bits: int) -> Callable[[bytes], bytes]:
    def write(text: bytes) -> bytes:
        packer = zlib.compressobj(9, wbits=bits)
        return packer.compress(text) + packer.flush()

    return write


def _json(text: bytes) -> bytes:
    return json.dumps(text.decode()).encode()


def _stream(text: bytes) -> bytes:
    parts = (text.decode()[at : at + 3] for at in range(0, len(text.decode()), 3))
    events = ({"id": f"c-{n}", "choices": [{"delta": {"content": part}}]} for n, part in enumerate(parts))
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def _zip(text: bytes) -> bytes:
    with zipfile.ZipFile(made := BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", text)
    return made.getvalue()


def _tar(text: bytes) -> bytes:
    with tarfile.open(fileobj=(made := BytesIO()), mode="w:gz") as archive:
        entry = tarfile.TarInfo("a.txt")
        entry.size = len(text)
        archive.addfile(entry, BytesIO(text))
    return made.getvalue()


def _copies(text: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(literals, how far back, how many) of a greedy LZ77; the last has no copy."""
    seen: dict[bytes, int] = {}
    at = begun = 0
    while at < len(text):
        earlier = seen.get(text[at : at + 4])
        seen[text[at : at + 4]] = at
        # LZ4 ends with literals, and far copies need no room here.
        if earlier is None or at > len(text) - 12 or at - earlier > 2000:
            at += 1
            continue
        size = 4
        while size < 60 and at + size < len(text) - 5 and text[earlier + size] == text[at + size]:
            size += 1
        yield text[begun:at], at - earlier, size
        at += size
        begun = at
    yield text[begun:], 0, 0


def _lz4_more(size: int) -> bytes:
    return b"\xff" * ((size - 15) // 255) + bytes(((size - 15) % 255,)) if size >= 15 else b""


def lz4_block(text: bytes) -> bytes:
    """lz4 `doc/lz4_Block_format.md`."""
    made = bytearray()
    for literals, back, size in _copies(text):
        copied = max(size - 4, 0)
        made.append(min(len(literals), 15) << 4 | min(copied, 15))
        made += _lz4_more(len(literals)) + literals
        if size:
            made += back.to_bytes(2, "little") + _lz4_more(copied)
    return bytes(made)


def lz4_frame(text: bytes) -> bytes:
    """lz4 `doc/lz4_Frame_format.md`: one block, no checksum of content."""
    block = lz4_block(text)
    return b"\x04\x22\x4d\x18\x60\x70\x73" + len(block).to_bytes(4, "little") + block + bytes(4)


def snappy_block(text: bytes) -> bytes:
    """snappy `format_description.txt`."""
    made, size = bytearray(), len(text)
    while size > 127:
        made.append(size & 127 | 128)
        size >>= 7
    made.append(size)
    for literals, back, copied in _copies(text):
        if literals:
            made += b"\xf4" + (len(literals) - 1).to_bytes(2, "little") + literals
        if copied:
            made += bytes(((copied - 1) << 2 | 2,)) + back.to_bytes(2, "little")
    return bytes(made)


def snappy_frames(text: bytes) -> bytes:
    """snappy `framing_format.txt`; readers of ours look at no checksum."""
    chunks = b"".join(
        b"\0" + (len(block) + 4).to_bytes(3, "little") + bytes(4) + block
        for block in (snappy_block(text[at : at + 65536]) for at in range(0, len(text), 65536))
    )
    return b"\xff\x06\0\0sNaPpY" + chunks


def _of_16_bytes(text: bytes) -> bytes:
    """What is left where a needle was cut off on both sides."""
    needle = text.rpartition(b"|xx")[2]
    return (needle.rpartition(b"yy")[0] or needle)[10:26]


def _numbers(form: str, between: str) -> Callable[[bytes], bytes]:
    return lambda text: between.join(form % byte for byte in text).encode()


def _text(name: str, write: Callable[[bytes], bytes]) -> Encoding:
    return Encoding(name, write, binary=False)


ENCODINGS = (
    _text("UTF-8", bytes),
    _text("lower case", lambda text: text.decode().lower().encode()),
    _text("upper case", lambda text: text.decode().upper().encode()),
    _text("white space folded", lambda text: b"\n   ".join(text.split(b" "))),
    *(Encoding(name, _utf(name)) for name in ("UTF-16-LE", "UTF-16-BE", "UTF-32-LE", "UTF-32-BE")),
    _text("JSON", _json),
    _text("JSON in JSON", lambda text: _json(_json(text))),
    _text("\\u escapes", _each("\\u%04x")),
    _text("\\u escapes in JSON", lambda text: _json(_each("\\u%04X")(text))),
    _text("URL", lambda text: quote(text).encode()),
    _text("URL with +", lambda text: quote_plus(text).encode()),
    _text("URL, every byte", lambda text: b"".join(b"%%%02x" % byte for byte in text)),
    _text("URL twice", lambda text: quote(quote(text)).encode()),
    _text("HTML", lambda text: html.escape(text.decode()).encode()),
    _text("HTML, every character", _each("&#%d;")),
    _text("quoted-printable", lambda text: quopri.encodestring(text)),
    *(_text(f"base64 after {n}", lambda text, n=n: base64.b64encode(b"~" * n + text)) for n in range(3)),  # type: ignore[misc]
    *(_text(f"base64url after {n}", lambda text, n=n: base64.urlsafe_b64encode(b"~" * n + text)) for n in range(3)),  # type: ignore[misc]
    _text("base64 in lines", base64.encodebytes),
    _text("base64 twice", lambda text: base64.b64encode(base64.b64encode(text))),
    _text("base64 of UTF-16", lambda text: base64.b64encode(text.decode().encode("utf-16"))),
    _text("hex", lambda text: text.hex().encode()),
    _text("hex, upper case", lambda text: text.hex().upper().encode()),
    _text("hex, spaced", lambda text: text.hex(" ").encode()),
    _text("hex of PostgreSQL", lambda text: b"\\x" + text.hex().encode()),
    _text("base32", base64.b32encode),
    _text("\\ooo escapes", _numbers("\\%03o", "")),
    _text("%u escapes", _each("%%u%04X")),
    _text("byte list of Node", lambda text: json.dumps({"type": "Buffer", "data": list(text)}).encode()),
    _text("byte list of Go", lambda text: b"[" + _numbers("%d", " ")(text) + b"]"),
    _text("byte list of C", _numbers("0x%02x", ", ")),
    _text("hex with colons", lambda text: text.hex(":").encode()),
    _text("16 bytes of it", _of_16_bytes),
    _text("base64 of 16 bytes of it", lambda text: base64.b64encode(_of_16_bytes(text))),
    _text("streamed in pieces", _stream),
    Encoding("gzip", gzip.compress),
    Encoding("zlib", zlib.compress),
    Encoding("deflate", _window(-15), headless=True),
    Encoding("zstd", lambda text: bytes(zstd.compress(text))),
    Encoding("brotli", lambda text: bytes(brotli.compress(text)), headless=True),
    Encoding("lz4 frame", lz4_frame),
    Encoding("lz4 block", lz4_block, headless=True),
    Encoding("snappy frames", snappy_frames),
    Encoding("snappy block", snappy_block, headless=True),
    Encoding("bzip2", bz2.compress),
    Encoding("xz", lzma.compress),
    Encoding("zip", _zip),
    Encoding("tar.gz", _tar),
    _text("gzip in base64", lambda text: base64.b64encode(gzip.compress(text))),
    _text("zstd in hex", lambda text: bytes(zstd.compress(text)).hex().encode()),
    _text("brotli in base64url", lambda text: base64.urlsafe_b64encode(brotli.compress(text))),
    Encoding(
        "gzip in base64 in JSON in gzip",
        lambda text: gzip.compress(_json(base64.b64encode(gzip.compress(text)))),
    ),
)
