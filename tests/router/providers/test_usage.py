import pytest

from router.providers.usage import estimate_tokens


@pytest.mark.parametrize(("n", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (10**9, 250_000_000)])
def test_four_bytes_a_token_rounded_up(n: int, tokens: int) -> None:
    assert estimate_tokens(n) == tokens
