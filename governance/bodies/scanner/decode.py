"""Text that stands for other bytes: escapes, base64 and hex, and values that arrive in pieces."""

import binascii
import re
from collections.abc import Iterator
from html.entities import html5

RUN_MIN = 22  # characters of base64 or hex in a row that are worth decoding: 16 bytes, `=` aside
HEX_MIN = 32
_RUN = bytes(65 if chr(code) in "+/-_\r\n" or (code < 128 and chr(code).isalnum()) else 32 for code in range(256))
_TEXT = bytes(code for code in range(256) if code >= 32 or chr(code) in "\t\n\f\r\x1b")
_ASCII = bytes(65 if 32 <= code < 127 or chr(code) in "\t\n\r" else 32 for code in range(256))
_ID = b"0123456789abcdefABCDEF-\r\n"
_ASCII_MIN = 16
_RUN_CHARACTERS = b"=" + bytes(code for code in range(256) if _RUN[code] == 65)
_ID_MAX = 40  # characters: a UUID, a SHA-1
_PRINTED = bytes(range(32, 127)) + b"\t\n\r"
_HEX_RUN = bytes(65 if chr(code) in "0123456789abcdefABCDEF\r\n" else 32 for code in range(256))
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_HEX = re.compile(rb"[0-9a-fA-F\r\n]{%d,}" % HEX_MIN)
_SIMPLE = {b'\\"': b'"', b"\\n": b"\n", b"\\t": b"\t", b"\\r": b"\r", b"\\/": b"/"}
_NUMBERED = (b"\\u", b"\\x", b"\\U", b"\\0", b"\\1", b"\\2", b"\\3")
_ESCAPED = re.compile(
    rb"\\[\\]*(?:u([dD][89abAB]..)\\+u([dD][c-fC-F]..)|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))",
    re.DOTALL,
)
_PERCENT_UNITS = re.compile(rb"(?:%u[0-9a-fA-F]{4})+")
_PERCENT = re.compile(rb"%[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*")
_ENTITY = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_QUOTED = re.compile(rb"=[0-9A-F]{2}(?:=[0-9A-F]{2})*")
_CUT = re.compile(
    rb"(?:\\+(?:u\{?[0-9a-fA-F]{0,6}|U[0-9a-fA-F]{0,7}|x[0-9a-fA-F]?|[0-3][0-7]?)?|%(?:u[0-9a-fA-F]{0,3}|[0-9a-fA-F])?|&[#a-zA-Z0-9]{0,12})$"
)
_SHORT_VALUE = re.compile(rb"""\s{0,9}:\s{0,9}(?:"((?:[^"\\]|\\.){0,48})"|'((?:[^'\\]|\\.){0,48})')""", re.DOTALL)


def unescaped(data: bytes) -> bytes:
    """One layer of JSON, C, URL and HTML escapes taken off, the first two however often they were escaped."""
    if b"\\" in data:
        for escape, character in _SIMPLE.items():
            if escape in data:
                data = data.replace(escape, character)
        if any(escape in data for escape in _NUMBERED):
            data = _ESCAPED.sub(_code_point, data)
    if b"%" in data:
        if b"%u" in data:  # JavaScript's `escape`
            data = _PERCENT_UNITS.sub(
                lambda found: (
                    bytes.fromhex(found[0].replace(b"%u", b"").decode())
                    .decode("utf-16-be", "replace")
                    .encode("utf-8", "replace")
                ),
                data,
            )
        data = _PERCENT.sub(lambda found: bytes.fromhex(found[0].replace(b"%", b"").decode()), data)
    if b"&" in data:
        data = _ENTITY.sub(_entity, data)
    return data


def quoted_printable(data: bytes) -> bytes:
    """RFC 2045 6.7; soft line breaks fall away when folded."""
    if b"=" not in data:
        return data
    return _QUOTED.sub(lambda found: bytes.fromhex(found[0].replace(b"=", b"").decode()), data)


def cut_escape(data: bytes) -> int:
    """How many of the last bytes may be an escape that goes on in what follows."""
    found = _CUT.search(data[-40:])
    return len(found[0]) if found else 0


def _code_point(found: re.Match[bytes]) -> bytes:
    high, low, *single = found.groups()
    try:
        if high:
            return bytes.fromhex((high + low).decode()).decode("utf-16-be").encode()
        unit, byte, *rest, octal = single
        if byte:
            return bytes((int(byte, 16),))
        if octal:
            return bytes((int(octal, 8),))
        return chr(int(unit or rest[0] or rest[1], 16)).encode("utf-8", "replace")
    except (ValueError, OverflowError):  # no character has that number
        return found[0]


def _entity(found: re.Match[bytes]) -> bytes:
    name = found[0][1:-1].decode()
    if name[0] != "#":
        return html5.get(name + ";", "&" + name + ";").encode()
    code = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    return chr(code).encode("utf-8", "replace") if code < 0x110000 else found[0]


def runs(data: bytes) -> Iterator[tuple[int, int]]:
    """Stretches of characters that base64 or hex may be written in; line breaks are within."""
    return _stretches(data.translate(_RUN), RUN_MIN)


def text_of(data: bytes) -> bytes:
    """The data itself where it is text, else its stretches of ASCII (or ASCII as UTF-16), one a line."""
    if len(data.translate(None, _TEXT)) * 64 < len(data):
        return data
    data = data.translate(None, b"\0")
    return b"\n".join(data[start:end] for start, end in _stretches(data.translate(_ASCII), _ASCII_MIN))


def _stretches(mask: bytes, length_min: int) -> Iterator[tuple[int, int]]:
    """Where the mask holds at least so many `A` in a row; it holds spaces otherwise."""
    wanted, at = b"A" * length_min, 0
    while (start := mask.find(wanted, at)) >= 0:
        at = mask.find(b" ", start)
        if at < 0:
            at = len(mask)
        yield start, at


def run_length(data: bytes) -> int:
    """How much of the beginning belongs to a run that began before."""
    end = data.translate(_RUN).find(b" ")
    return len(data) if end < 0 else end


def base64_bytes(text: bytes) -> bytes:
    """Either alphabet; what is left over at the end is dropped. Line breaks are no part of it."""
    if b"-" in text or b"_" in text or b"\n" in text or b"\r" in text:
        text = text.translate(_URL_SAFE, b"\r\n")
    whole = len(text) & ~3
    rest = len(text) - whole
    if rest > 1:
        text += b"=" * (4 - rest)
    elif rest:
        text = text[:whole]
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        return b""


class RunStream:
    """A long run of base64 or hex as a decoder: it ends where the run does."""

    broken = False

    def __init__(self, form: str, phase: int) -> None:
        self.form = form
        self.done = False
        self._skip = phase
        self._held = b""
        self._group = 4 if form == "base64" else 2

    def feed(self, data: bytes) -> Iterator[bytes]:
        data, self._skip = data[self._skip :], 0
        size = run_length(data) if self.form == "base64" else hex_length(data)
        self.done = size < len(data)
        text = data[:size].translate(None, b"\r\n")
        text = self._held + text
        whole = len(text) - (0 if self.done and self.form == "base64" else len(text) % self._group)
        self._held = text[whole:]
        if whole:
            text = text[:whole]
            yield base64_bytes(text) if self.form == "base64" else binascii.unhexlify(text[: len(text) & ~1])

    def cut(self) -> bool:
        return False


def run_decoders(run: bytes) -> Iterator[RunStream]:
    """What may read a long run: base64 from each of the first four characters, hex from the first two."""
    yield from (RunStream("base64", phase) for phase in range(4))
    if hex_length(run) == len(run):
        yield from (RunStream("hex", phase) for phase in range(2))
    elif found := _HEX.search(run):
        yield from (RunStream("hex", found.start() + phase) for phase in range(2))


def hex_length(data: bytes) -> int:
    """How much of the beginning is hex digits and line breaks."""
    end = data.translate(_HEX_RUN).find(b" ")
    return len(data) if end < 0 else end


def is_printed(value: bytes) -> bool:
    """Nothing but ASCII that can be seen: compressed data has other bytes as well."""
    return not value.translate(None, _PRINTED)


def is_run(text: bytes) -> bool:
    """All of it is base64 or hex, and long enough to hold something compressed."""
    return (
        len(text) >= RUN_MIN and not text.translate(None, _RUN_CHARACTERS) and (len(text) > _ID_MAX or not is_id(text))
    )


def is_id(text: bytes) -> bool:
    """Nothing but hex digits and dashes, as ids are written: no base64."""
    return not text.translate(None, _ID)


def hex_bytes(text: bytes) -> Iterator[bytes]:
    """What stretches of hex digits in the text stand for, from the first digit and from the second."""
    for found in _HEX.findall(text):
        digits = found.translate(None, b"\r\n")
        for start in (0, 1):
            whole = digits[start : start + (len(digits) - start & ~1)]
            yield binascii.unhexlify(whole)


def short_value(data: bytes, key_end: int) -> tuple[bytes, int] | None:
    """The short string that is a key's value, as JSON or Python's `repr` write it, and where it ends; None for another value."""
    found = _SHORT_VALUE.match(data, key_end)
    return (found[1] or found[2] or b"", found.end()) if found else None
