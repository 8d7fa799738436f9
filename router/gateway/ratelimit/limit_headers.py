"""What callers see of their limits."""

from datetime import timedelta
from math import ceil

from governance import clock
from router.errors import Headers
from router.gateway.ratelimit.buckets import Verdict
from router.surface import Dialect


def headers(verdict: Verdict, dialect: Dialect) -> Headers:
    """The usual headers: `x-ratelimit-*` as OpenAI's, and `anthropic-ratelimit-*` on the Anthropic wire.

    A refusal adds `retry-after` (whole seconds, at least 1): leave out the one of `errors.headers` then, or a client
    sees two. Sources: platform.openai.com/docs/guides/rate-limits, docs.anthropic.com/en/api/rate-limits.
    """
    out: Headers = []
    for kind, window in (("requests", verdict.requests), ("tokens", verdict.tokens)):
        if window is None:
            continue
        out.append((f"x-ratelimit-limit-{kind}".encode(), str(window.limit).encode()))
        out.append((f"x-ratelimit-remaining-{kind}".encode(), str(window.remaining).encode()))
        out.append((f"x-ratelimit-reset-{kind}".encode(), _duration(window.reset_s).encode()))
        if dialect is Dialect.ANTHROPIC:
            full_at = clock.now() + timedelta(seconds=ceil(window.reset_s))
            out.append((f"anthropic-ratelimit-{kind}-limit".encode(), str(window.limit).encode()))
            out.append((f"anthropic-ratelimit-{kind}-remaining".encode(), str(window.remaining).encode()))
            out.append((f"anthropic-ratelimit-{kind}-reset".encode(), f"{full_at:%Y-%m-%dT%H:%M:%SZ}".encode()))
    if not verdict.allowed:
        out.append((b"retry-after", str(max(1, ceil(verdict.retry_after_s))).encode()))
    return out


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `1s`, `6m0s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
