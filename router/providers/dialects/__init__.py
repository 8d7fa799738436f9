"""The wires that callers and upstreams speak, one module each, chosen by `wire()`."""

from typing import Final

from router.providers.dialects import anthropic, google, openai
from router.providers.dialects.base import MalformedUpstream, NotOffered, Peek, StreamReader, Wire
from router.surface import Dialect

__all__ = ["MalformedUpstream", "NotOffered", "Peek", "StreamReader", "Wire", "wire"]

_WIRES: Final[dict[Dialect, Wire]] = {
    Dialect.OPENAI: openai,
    Dialect.ANTHROPIC: anthropic,
    Dialect.GOOGLE: google,
}


def wire(dialect: Dialect) -> Wire:
    """The module that knows this dialect."""
    return _WIRES[dialect]
