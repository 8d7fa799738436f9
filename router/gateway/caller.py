"""What the gateway reads of a request's head: the key, the dialect, the client's address. One pass over the headers."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from router.accounts.key_format import PREFIX
from router.errors import InvalidKey, InvalidRequest
from router.surface import Dialect

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
RawHeaders = Iterable[tuple[bytes, bytes]]
USER_AGENT_MAX = 256


@dataclass(slots=True, repr=False)
class Caller:
    """Values of the headers that the gateway looks at; everything else of the head is never read."""

    key: str | None = None
    goog_key: bool = False
    anthropic_version: bytes | None = None
    user_agent: str | None = None
    forwarded_for: str | None = None
    content_type: bytes = b""
    content_encoding: bytes = b""
    content_length: int | None = None
    passing: dict[str, str] = field(default_factory=dict)  # headers that a dialect may send on, repeated ones joined
    constraints: list[tuple[bytes, bytes]] = field(default_factory=list)


_KEY_NAMES = frozenset({"key", "apikey", "xapikey", "xgoogapikey", "accesstoken", "token", "authorization", "bearer"})
_PASSING = frozenset({b"anthropic-version", b"anthropic-beta"})


def read(headers: RawHeaders) -> Caller:
    """Read a raw ASGI header list. Raises InvalidRequest where two headers carry different keys."""
    caller = Caller()
    keys: set[str] = set()
    forwarded: list[str] = []
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer" and token:
                keys.add(token.strip().decode("latin-1"))
        elif name == b"x-api-key":
            keys.add(value.strip().decode("latin-1"))
        elif name == b"x-goog-api-key":
            keys.add(value.strip().decode("latin-1"))
            caller.goog_key = True
        elif name == b"user-agent":
            caller.user_agent = value[:USER_AGENT_MAX].decode("latin-1")
        elif name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
        elif name == b"content-type":
            caller.content_type = value.partition(b";")[0].strip().lower()
        elif name == b"content-encoding":
            caller.content_encoding = value.strip().lower()
        elif name == b"content-length":
            caller.content_length = int(value) if value.isdigit() else None
        elif name.startswith(b"x-valueapi-provider-"):
            caller.constraints.append((name, value))
        elif name in _PASSING:
            header, text = name.decode("latin-1"), value.decode("latin-1")
            caller.passing[header] = f"{caller.passing[header]},{text}" if header in caller.passing else text
            if name == b"anthropic-version":
                caller.anthropic_version = value
    keys.discard("")
    if len(keys) > 1:
        raise InvalidRequest("Two headers carry different API keys; send one.", code="ambiguous_api_key")
    caller.key = keys.pop() if keys else None
    if forwarded:
        caller.forwarded_for = ", ".join(forwarded)
    return caller


def models_dialect(caller: Caller, default: Dialect) -> Dialect:
    """`/v1/models` is one path for three dialects: by `anthropic-version`, `x-goog-api-key`, else the path's own."""
    if default is Dialect.GOOGLE or caller.goog_key:
        return Dialect.GOOGLE
    return Dialect.ANTHROPIC if caller.anthropic_version is not None else default


def check_query(query: bytes, own: frozenset[str] = frozenset()) -> None:
    """A key in a URL ends up in logs and histories of everyone between. Raises InvalidKey with that reason.

    It is found by the names that keys go under, but for `own`, which mean something else where this is asked; or by
    how ours begin, wherever in the query.
    """
    if not query:
        return
    text = unquote_plus(query.decode("latin-1")).lower()
    names = {re.sub(r"[^a-z]", "", part.partition("=")[0]) for part in text.split("&")}
    if PREFIX in text or not names.isdisjoint(_KEY_NAMES - own):
        raise InvalidKey(
            "The API key must not be in the URL, where logs and histories keep it: send it as Authorization: Bearer, "
            "x-api-key or x-goog-api-key. Treat a key that was in a URL as disclosed and revoke it.",
            code="api_key_in_url",
        )


class TrustedProxies:
    """Finds the client's address: the socket's peer, or what trusted proxies say of it."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(text) for text in networks)

    def client(self, peer: str | None, forwarded_for: str | None) -> str | None:
        """The rightmost address of X-Forwarded-For that isn't a trusted proxy, if the peer is one; else the peer."""
        if not self._networks or forwarded_for is None or not self._trusts(peer):
            return peer
        for part in reversed(forwarded_for.split(",")):
            address = _address(part.strip())
            if address is None:
                return peer
            if not self._trusts(address):
                return address
            peer = address
        return peer

    def _trusts(self, address: str | None) -> bool:
        try:
            parsed = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _address(text: str) -> str | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
