"""What a request used, in tokens, in one meaning for all dialects.

OpenAI's `prompt_tokens` include cached ones (platform.openai.com, prompt caching); Anthropic's `input_tokens` don't
(docs.anthropic.com, prompt caching: total = input + cache_read + cache_creation); Google's `promptTokenCount`
includes `cachedContentTokenCount`, and thoughts count as output (ai.google.dev, UsageMetadata).
"""

from dataclasses import dataclass
from typing import Final

# More than any model reads or writes in one request; a figure past it is the upstream's error, not a charge.
TOKENS_MAX: Final = 100_000_000
BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `input_tokens` is the total, cached reads and cache writes included."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    estimated: bool
    cache_write_tokens: int = 0


def estimate_tokens(n_text_bytes: int) -> int:
    """Tokens of a text where no provider counted them: its UTF-8 bytes divided by 4, rounded up.

    Four bytes a token is the providers' own rule of thumb for English. Where a request's size stands for its text,
    the JSON around the text counts too.
    """
    return -(-n_text_bytes // BYTES_PER_TOKEN)
