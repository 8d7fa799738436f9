"""The form of an API key: what a scanner matches, and a checksum that catches every single slip."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.accounts.key_format import LENGTH, _checksum, key_hash, new_secret, shown_prefix, well_formed


def test_the_form() -> None:
    made = {new_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"sk-va-[0-9A-Za-z]{49}", secret) and well_formed(secret) for secret in made)
    assert len(set("".join(secret[6:49] for secret in made))) == 62


def test_the_checksum_is_fixed() -> None:
    assert _checksum("sk-va-" + "0" * 43) == _checksum("sk-va-" + "0" * 43)
    assert well_formed("sk-va-" + "0" * 43 + _checksum("sk-va-" + "0" * 43))
    assert _checksum("") == "000000"


@given(st.integers(0, LENGTH - 1), st.sampled_from("09AZaz-_ \0é"))
def test_one_wrong_character_is_seen(at: int, character: str) -> None:
    secret = new_secret()
    wrong = secret[:at] + character + secret[at + 1 :]
    assert well_formed(wrong) == (wrong == secret)


@given(st.text(max_size=80))
def test_any_text_is_judged_and_hashed(text: str) -> None:
    assert not well_formed(text)
    assert len(key_hash(text)) == 32


@pytest.mark.parametrize("text", ["\ud800" * LENGTH, "sk-va-" + "é" * 49])
def test_what_cant_be_encoded_is_no_key(text: str) -> None:
    assert not well_formed(text)
    assert len(key_hash(text)) == 32


def test_the_shown_part_is_a_tenth_of_the_random_one() -> None:
    secret = new_secret()
    assert secret.startswith(shown_prefix(secret)) and len(shown_prefix(secret)) == 10
