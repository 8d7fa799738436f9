"""Reads strace's lines: which bytes a process wrote to which descriptor. Pure; made for `-f -yy` (strace(1))."""

import codecs
import re
from dataclasses import dataclass
from typing import Final

CALLS: Final = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg")
# `12  write(3</path>, "…", 5) = 5`; without a process id where one alone is traced.
_CALL = re.compile(rb"^(?:\[pid\s+)?(?:\d+\]?\s+)?(\w+)\((\d+)<(.*?)>(?:\(deleted\))?, (.*)$", re.DOTALL)
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*)"(\.\.\.)?', re.DOTALL)
_TCP = re.compile(r"^TCP(?:v6)?:\[(.*?)(?:->(.*))?\]$")


@dataclass(frozen=True, slots=True)
class Written:
    """One write. `target` is what the descriptor leads to, as strace names it; `cut` where strace didn't show all."""

    target: str
    data: bytes
    cut: bool


def read(line: bytes) -> Written | None:
    """The write that a line shows; None for every other line, resumed ones included: their bytes came at the start."""
    found = _CALL.match(line)
    if found is None or found[1].decode("ascii", "replace") not in CALLS:
        return None
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


def ports(target: str) -> tuple[int | None, int | None]:
    """Own port and the peer's of a TCP socket."""
    found = _TCP.match(target)
    if found is None:
        return None, None
    return _port(found[1]), _port(found[2])


def _port(address: str | None) -> int | None:
    text = (address or "").rpartition(":")[2]
    return int(text) if text.isdigit() else None
