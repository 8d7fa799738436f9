"""The upstream identifier: stable for us, different per provider, worthless without the key."""

import re

import pytest

from router.providers.pseudonym import upstream_user

KEY = bytes(range(32))


def test_form_and_stability() -> None:
    name = upstream_user(KEY, "openai", b"account-1")
    assert re.fullmatch(r"va-[0-9a-f]{32}", name)
    assert name == upstream_user(KEY, "openai", b"account-1")


def test_differs_by_provider_account_and_key() -> None:
    names = {
        upstream_user(key, provider, account)
        for key in (KEY, KEY[::-1])
        for provider in ("openai", "anthropic")
        for account in (b"1", b"2")
    }
    assert len(names) == 8


def test_fields_dont_run_into_one_another() -> None:
    assert upstream_user(KEY, "ab", b"c") != upstream_user(KEY, "a", b"bc")


def test_short_key_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError):
        upstream_user(b"short", "openai", b"1")
