"""The head of a request: key, dialect, address."""

import pytest

from router.errors import InvalidKey, InvalidRequest
from router.gateway import caller
from router.gateway.caller import TrustedProxies
from router.surface import Dialect


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer sk"),
        (b"authorization", b"bearer  sk "),
        (b"x-api-key", b"sk"),
        (b"x-goog-api-key", b" sk"),
    ],
)
def test_the_key_is_taken_from_each_of_three_headers(header: tuple[bytes, bytes]) -> None:
    assert caller.read([header]).key == "sk"


def test_the_same_key_twice_is_one_and_two_keys_are_refused() -> None:
    assert caller.read([(b"x-api-key", b"sk"), (b"authorization", b"Bearer sk")]).key == "sk"
    with pytest.raises(InvalidRequest, match="different API keys") as caught:
        caller.read([(b"x-api-key", b"one-secret"), (b"authorization", b"Bearer two-secret")])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "header", [(b"authorization", b"Basic c2s="), (b"authorization", b"Bearer"), (b"x-api-key", b"")]
)
def test_other_schemes_are_no_key(header: tuple[bytes, bytes]) -> None:
    assert caller.read([header]).key is None


@pytest.mark.parametrize(
    "query",
    [
        *(b"key=abc", b"alt=sse&key=abc", b"API_KEY=abc", b"access_token=abc", b"%6bey=abc", b"apikey=abc"),
        *(b"x-goog-api-key=abc", b"X-Api-Key=abc", b"Authorization=Bearer+abc", b"api%5Fkey=abc"),
        *(b"q=sk-va-abc", b"sk-va-abc", b"q=Sk%2Dva%2dabc", b"alt=sse&anything[]=%73k-va-abc"),
    ],
)
def test_a_key_in_the_query_is_refused_with_the_reason(query: bytes) -> None:
    with pytest.raises(InvalidKey, match="must not be in the URL") as caught:
        caller.check_query(query)
    assert "abc" not in str(caught.value)
    caller.check_query(b"alt=sse&keys=1&pageToken=x")
    caller.check_query(b"")


def test_a_name_that_means_something_else_there_is_no_key_but_ours_is_one_under_any_name() -> None:
    caller.check_query(b"token=abc", frozenset({"token"}))
    for query in (b"token=abc&key=abc", b"token=sk-va-abc"):
        with pytest.raises(InvalidKey):
            caller.check_query(query, frozenset({"token"}))


def test_the_models_path_speaks_the_callers_dialect() -> None:
    assert caller.models_dialect(caller.read([]), Dialect.OPENAI) is Dialect.OPENAI
    assert caller.models_dialect(caller.read([(b"anthropic-version", b"1")]), Dialect.OPENAI) is Dialect.ANTHROPIC
    assert caller.models_dialect(caller.read([(b"x-goog-api-key", b"k")]), Dialect.OPENAI) is Dialect.GOOGLE
    assert caller.models_dialect(caller.read([(b"anthropic-version", b"1")]), Dialect.GOOGLE) is Dialect.GOOGLE


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),  # not from a proxy of ours: what it claims is worth nothing
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),  # the left part is the client's own claim
        ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "198.51.100.1:5000", "198.51.100.1"),
    ],
)
def test_the_clients_address_comes_from_trusted_proxies_only(peer: str, forwarded: str | None, client: str) -> None:
    assert TrustedProxies(["10.0.0.0/8"]).client(peer, forwarded) == client


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert TrustedProxies([]).client("10.0.0.1", "198.51.100.1") == "10.0.0.1"
