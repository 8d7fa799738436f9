"""Translation between dialects, in memory: no I/O, no log, nothing kept.

Three pairs: an OpenAI chat request for an Anthropic or a Gemini model, and an Anthropic Messages request for an OpenAI
model. What can't be translated is a 400 that names it; what is left out on purpose stands in `DROPPED`.

The translated body has no routing fields, stores nothing and carries the pseudonym. For an aggregator the router's
constraint still has to be set on it, by the upstream dialect's own edits (`router/providers/dialects`).
"""

from typing import Protocol

from router.providers.translation.anthropic_to_openai import AnthropicToOpenAI
from router.providers.translation.common import DROPPED, Untranslatable
from router.providers.translation.openai_to_anthropic import OpenAIToAnthropic
from router.providers.translation.openai_to_google import OpenAIToGoogle
from router.providers.translation.streaming import StreamTranslation
from router.surface import Dialect, Endpoint

__all__ = ["DROPPED", "StreamTranslation", "Translation", "Untranslatable", "can_translate", "find"]


class Translation(Protocol):
    """From one client dialect to one upstream dialect, for one request. Everything is bytes in, bytes out."""

    @property
    def upstream_endpoint(self) -> Endpoint:
        """What to ask the upstream for."""
        ...

    def request(self, body: bytes, *, upstream_model: str, upstream_user: str | None, default_max_tokens: int) -> bytes:
        """The upstream's body. Raises Untranslatable (400), with `param` naming the field."""
        ...

    def response(self, body: bytes) -> bytes:
        """The upstream's 2xx JSON as the caller's. Raises MalformedUpstream (502)."""
        ...

    def stream(self) -> StreamTranslation:
        """A fresh translation of one stream of server-sent events."""
        ...

    def error_message(self, body: bytes) -> str | None:
        """The human message of an upstream's 4xx body, at most 4096 characters, for a 400 in the caller's dialect.

        It may echo the prompt: for the caller alone, never for a log or an exception.
        """
        ...


def find(
    client: Dialect, upstream: Dialect, *, model_shown: str, stream: bool, include_usage: bool
) -> Translation | None:
    """The translation for this pair, or None where there is none (the same dialect on both sides needs none).

    `model_shown` is the model's name in the answers; `include_usage` whether an OpenAI caller asked for that chunk.
    """
    if client is Dialect.OPENAI and upstream is Dialect.ANTHROPIC:
        return OpenAIToAnthropic(model_shown, stream, include_usage)
    if client is Dialect.OPENAI and upstream is Dialect.GOOGLE:
        return OpenAIToGoogle(model_shown, stream, include_usage)
    if client is Dialect.ANTHROPIC and upstream is Dialect.OPENAI:
        return AnthropicToOpenAI(model_shown, stream)
    return None


def can_translate(client: Dialect, upstream: Dialect) -> bool:
    """Whether there is a translation for this pair."""
    return find(client, upstream, model_shown="", stream=False, include_usage=False) is not None
