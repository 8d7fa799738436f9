"""An upstream's base URL, parsed once; which addresses may be spoken to in production; and the full URL of a path."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.surface import Dialect

_DEFAULT_PORT = {"https": 443, "http": 80}
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """`scheme://host:port` and a path prefix. `prefix` has no trailing slash; for OpenAI it includes the version."""

    scheme: str
    host: str
    port: int
    prefix: str
    dialect: Dialect

    @property
    def authority(self) -> str:
        """Host, and the port where it isn't the scheme's own; IPv6 in brackets (RFC 3986 section 3.2.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def insecure(self) -> bool:
        """Plain http, or this very machine: nothing that production traffic should go to unasked."""
        return self.scheme != "https" or self.loopback

    def url(self, path: str) -> str:
        """The full URL for a canonical path that starts with its version: `/v1/chat/completions`, `/v1beta/models/…`.

        OpenAI-compatible hosts differ in what stands before `/chat/completions`, so the prefix replaces `/v1` there.
        """
        if self.dialect is Dialect.OPENAI:
            path = path.removeprefix("/v1")
        return f"{self.scheme}://{self.authority}{self.prefix}{path}"


def parse(text: str, dialect: Dialect) -> BaseUrl:
    """Parse a base URL as the official clients take it; raises ValueError with a sentence that doesn't quote it.

    OpenAI: with the version (`https://api.openai.com/v1`), which is added where there is no path at all.
    Anthropic and Google: without it; a trailing `/v1` or `/v1beta` is dropped.
    """
    try:
        parts = urlsplit(text)
        port, host = parts.port, (parts.hostname or "").removesuffix(".")
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in _DEFAULT_PORT:
        raise ValueError("must start with https:// (or http:// in development)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password: keys are named by reference")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("must not hold a query or fragment")
    if not host or _HOST.fullmatch(host) is None:
        raise ValueError("has no usable host name")
    prefix = parts.path.rstrip("/")
    if _PREFIX.fullmatch(prefix) is None or "/.." in prefix or "/./" in prefix + "/":
        raise ValueError("has a path with unusual characters")
    prefix = (prefix or "/v1") if dialect is Dialect.OPENAI else re.sub(r"/v1(beta)?$", "", prefix)
    return BaseUrl(parts.scheme, host, port or _DEFAULT_PORT[parts.scheme], prefix, dialect)


def is_loopback(host: str) -> bool:
    """Whether a host name or literal means this machine, at any spelling that resolvers take (`127.1`, `0x7f.1`)."""
    host = host.lower().removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified
