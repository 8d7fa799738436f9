"""Base URLs: what each dialect makes of a path, and which addresses production refuses."""

import pytest

from router.providers.base_url import is_loopback, parse
from router.surface import Dialect

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("dialect", "text", "path", "url"),
    [
        (Dialect.OPENAI, "https://api.openai.com/v1", CHAT, "https://api.openai.com/v1/chat/completions"),
        (Dialect.OPENAI, "https://api.deepseek.com", CHAT, "https://api.deepseek.com/v1/chat/completions"),
        (Dialect.OPENAI, "https://openrouter.ai/api/v1/", CHAT, "https://openrouter.ai/api/v1/chat/completions"),
        (Dialect.OPENAI, "https://h.example/v1beta/openai", CHAT, "https://h.example/v1beta/openai/chat/completions"),
        (Dialect.OPENAI, "http://[::1]:8101", CHAT, "http://[::1]:8101/v1/chat/completions"),
        (Dialect.OPENAI, "https://h.example:443/v1", CHAT, "https://h.example/v1/chat/completions"),
        (Dialect.ANTHROPIC, "https://api.anthropic.com/v1", "/v1/messages", "https://api.anthropic.com/v1/messages"),
        (Dialect.ANTHROPIC, "https://h.example/anthropic", "/v1/messages", "https://h.example/anthropic/v1/messages"),
        (Dialect.GOOGLE, "https://g.example/v1beta", "/v1/models/m:x", "https://g.example/v1/models/m:x"),
    ],
)
def test_url(dialect: Dialect, text: str, path: str, url: str) -> None:
    assert parse(text, dialect).url(path) == url


@pytest.mark.parametrize(
    "text",
    [
        "api.openai.com",
        "ftp://h.example",
        "https://user:secret@h.example",
        "https://h.example/?key=secret",
        "https://h.example/#x",
        "https://",
        "https://h.example/a/../b",
        "https://h.example/a b",
        "https://h.example:99999",
        "https://h example",
        "https://[::1",
    ],
)
def test_refused_without_quoting(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(text, Dialect.OPENAI)
    assert "secret" not in str(refused.value) and text not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0.0.0.0", "::1", "::",
     "::ffff:127.0.0.1"],
)  # fmt: skip
def test_this_machine_at_any_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["api.openai.com", "10.0.0.1", "localhost.example", "128.0.0.1", "2001:db8::1"])
def test_other_machines(host: str) -> None:
    assert not is_loopback(host)


def test_plain_http_is_insecure_anywhere() -> None:
    assert parse("http://api.openai.com", Dialect.OPENAI).insecure
    assert not parse("https://api.openai.com", Dialect.OPENAI).insecure
    assert parse("https://localhost", Dialect.OPENAI).insecure
