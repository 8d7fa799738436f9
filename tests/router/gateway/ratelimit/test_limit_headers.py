"""What callers see of their limits."""

from datetime import UTC, datetime

import pytest

from governance import clock
from router.gateway.ratelimit import Verdict, headers
from router.gateway.ratelimit.buckets import Window
from router.surface import Dialect


def test_headers_by_dialect() -> None:
    verdict = Verdict(True, 0, Window(60, 59, 1.0), Window(1000, 0, 360.0))
    clock.install(lambda: datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC))
    try:
        openai = dict(headers(verdict, Dialect.OPENAI))
        anthropic = dict(headers(verdict, Dialect.ANTHROPIC))
    finally:
        clock.install(None)
    assert openai == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"1s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"6m0s",
    }
    assert openai.items() <= anthropic.items()
    assert anthropic[b"anthropic-ratelimit-requests-limit"] == b"60"
    assert anthropic[b"anthropic-ratelimit-tokens-remaining"] == b"0"
    assert anthropic[b"anthropic-ratelimit-tokens-reset"] == b"2026-03-01T12:06:00Z"


@pytest.mark.parametrize(("wait", "shown"), [(0.001, b"1"), (1.0, b"1"), (1.1, b"2"), (60, b"60")])
def test_a_refusal_says_when_to_come_back(wait: float, shown: bytes) -> None:
    refused = Verdict(False, wait, Window(1, 0, 0.12), None)
    assert dict(headers(refused, Dialect.GOOGLE))[b"retry-after"] == shown
    assert dict(headers(refused, Dialect.GOOGLE))[b"x-ratelimit-reset-requests"] == b"120ms"
