"""Reads strace's lines: which bytes a process wrote to which descriptor. Pure; made for `-f -yy` (strace(1))."""

import codecs
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

_SHOWN: Final = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "vmsplice")
# The kernel copies, and strace shows no byte: their target was written, in what is called a write in part.
_COPY_TO_FIRST: Final = ("sendfile",)
_COPY_TO_SECOND: Final = ("splice", "copy_file_range")
CALLS: Final = (*_SHOWN, *_COPY_TO_FIRST, *_COPY_TO_SECOND)
# `12  write(3</path>, "…", 5) = 5`; without a process id where one alone is traced.
_CALL = re.compile(rb"^(?:\[pid\s+)?(?:\d+\]?\s+)?(\w+)\((\d+)<(.*?)>(?:\(deleted\))?, (.*)$", re.DOTALL)
_SECOND = re.compile(rb"(?:NULL|\[[^\]]*\]), \d+<(.*?)>(?:\(deleted\))?, ", re.DOTALL)
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*)"(\.\.\.)?', re.DOTALL)
_TCP = re.compile(r"^TCP(?:v6)?:\[(.*?)(?:->(.*))?\]$")


Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Written:
    """One write. `target` is what the descriptor leads to, as strace names it; `cut` where strace didn't show all."""

    target: str
    data: bytes
    cut: bool


def read(line: bytes) -> Written | None:
    """The write that a line shows; None for every other line, resumed ones included: their bytes came at the start."""
    found = _CALL.match(line)
    call = found[1].decode("ascii", "replace") if found is not None else ""
    if found is None or call not in CALLS:
        return None
    if call not in _SHOWN:
        second = _SECOND.match(found[4]) if call in _COPY_TO_SECOND else None
        return Written((second or found)[1 if second else 3].decode("utf-8", "replace"), b"", True)
    pieces, cut = [], False
    for text in _TEXT.finditer(found[4]):
        pieces.append(unescaped(text[1]))
        cut = cut or text[2] is not None
    return Written(found[3].decode("utf-8", "replace"), b"".join(pieces), cut)


def unescaped(text: bytes) -> bytes:
    """The bytes of a C string as strace prints one: `\\n`, `\\"`, octal of one to three digits, `\\x` of two."""
    return codecs.escape_decode(text)[0] if b"\\" in text else text


def kind(target: str) -> str:
    """What a descriptor is: socket, pipe, file, device or kernel object."""
    if target.startswith(("TCP", "UDP", "UNIX", "NETLINK", "socket:", "RAW")):
        return "socket"
    if target.startswith("pipe:"):
        return "pipe"
    if target.startswith("anon_inode:") or target.startswith("/memfd:"):
        return "kernel object"
    return "device" if target.startswith("/dev/") and not target.startswith("/dev/shm/") else "file"  # noqa: S108


def ends(target: str) -> tuple[Address | None, Address | None]:
    """Own address and the peer's of a TCP socket."""
    found = _TCP.match(target)
    if found is None:
        return None, None
    return _address(found[1]), _address(found[2])


def host(text: str) -> str:
    """An address in the one way in which it is compared: an IPv4 address mapped into IPv6 is that IPv4 address."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _address(text: str | None) -> Address | None:
    name, _, port = (text or "").rpartition(":")
    try:
        return host(name.strip("[]")), int(port)
    except ValueError:
        return None
