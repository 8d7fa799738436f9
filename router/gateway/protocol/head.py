"""Judges a parsed head, purely: how its body is framed, whom it addresses, or why it is refused."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

_HOST: Final = re.compile(
    rb"(?:(?P<v6>\[[0-9A-Fa-f:.]{2,45}\])|[A-Za-z0-9][A-Za-z0-9._-]{0,254})(?::(?P<port>[0-9]{1,5}))?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_TARGET: Final = re.compile(rb"[!-\"$-~]+")  # visible ASCII without '#', RFC 9112 section 3.2


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a head is refused. The message is ours and echoes nothing."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, repr=False)
class Head:
    """A head that passed: `path` and `query` as they came, and how the body is framed."""

    path: bytes
    query: bytes
    content_length: int
    chunked: bool
    expects_continue: bool

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0


def _bad(code: str, message: str) -> Refusal:
    return Refusal(400, code, message)


def read_head(method: bytes, version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> Head | Refusal:
    """Judge a parsed head; names are in lower case. Stricter than the parser where peers are known to disagree."""
    if version not in ("1.1", "1.0"):
        return Refusal(505, "http_version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    hosts, lengths, codings, expects = (
        [value.strip(b" \t") for name, value in headers if name == wanted]
        for wanted in (b"host", b"content-length", b"transfer-encoding", b"expect")
    )
    # RFC 9112 section 3.2: 400 for a missing, repeated or invalid Host.
    if len(hosts) != 1 and (version == "1.1" or hosts):
        return _bad("invalid_host", "Exactly one Host header is needed.")
    if hosts and not _valid_host(hosts[0]):
        return _bad("invalid_host", "The Host header isn't a host with an optional port.")
    # RFC 9112 section 6.1 and 6.3: any doubt about where the body ends is an attack until shown otherwise.
    if codings and lengths:
        return _bad("invalid_framing", "Content-Length and Transfer-Encoding exclude each other.")
    if codings and version == "1.0":
        return _bad("invalid_framing", "HTTP/1.0 has no Transfer-Encoding.")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        return Refusal(501, "transfer_coding_not_implemented", "The only transfer coding is chunked.")
    if len(lengths) > 1 or (lengths and not (lengths[0].isdigit() and len(lengths[0]) <= 18)):
        return _bad("invalid_framing", "Content-Length must be given once, as a number.")
    # RFC 9110 section 10.1.1; an HTTP/1.0 client can't receive a 100.
    if version == "1.1" and any(expect.lower() != b"100-continue" for expect in expects):
        return Refusal(417, "expectation_failed", "The only expectation is 100-continue.")
    parts = _split_target(method, target, hosts[0] if hosts else b"")
    if parts is None:
        return _bad("invalid_target", "The request target isn't valid.")
    return Head(
        path=parts[0],
        query=parts[1],
        content_length=int(lengths[0]) if lengths else 0,
        chunked=bool(codings),
        expects_continue=version == "1.1" and bool(expects),
    )


def _valid_host(host: bytes) -> bool:
    found = _HOST.fullmatch(host)
    if found is None or (found["port"] and int(found["port"]) > 65535):
        return False
    if found["v6"]:
        try:
            ipaddress.IPv6Address(found["v6"][1:-1].decode())
        except ValueError:
            return False
    return True


def _split_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes] | None:
    """Path and query of an origin-form, absolute-form or (OPTIONS) asterisk-form target; None for anything else."""
    if target == b"*":
        return (target, b"") if method == b"OPTIONS" else None
    if method == b"CONNECT" or not _TARGET.fullmatch(target):
        return None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute:
        # RFC 9112 section 3.2.2: the target's authority rules, so the two must not differ.
        if absolute[1].lower() != host.lower():
            return None
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    if not target.startswith(b"/"):
        return None
    path, _, query = target.partition(b"?")
    return path, query
