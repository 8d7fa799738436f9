"""Finding a person without their address at rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.db import Database
from governance.errors import Conflict, Rejected
from governance.ids import uuid7
from governance.vault.blind_index import EmailIndex, normalise_email
from governance.vault.keys import KeyStore

Stores = tuple[Database, KeyStore]


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Ada@Example.ORG", "ada@example.org"),
        (" ada@example.org ", "ada@example.org"),
        ("ａda@example.org", "ada@example.org"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("STRASSE@example.org", "strasse@example.org"),
        ("straße@example.org", "strasse@example.org"),
    ],
)
def test_one_address_has_one_form(written: str, normal: str) -> None:
    assert normalise_email(written) == normal


@pytest.mark.parametrize("bad", ["", "ada", "@example.org", "ada@", "ada@localhost", "a b@example.org", "a\n@example.org",
                                 "a@b@example.org", "x" * 250 + "@example.org", "ada@-..org"])  # fmt: skip
def test_what_is_no_address_is_rejected_without_its_text(bad: str) -> None:
    with pytest.raises(Rejected) as caught:
        normalise_email(bad)
    assert str(caught.value) == "This isn't an e-mail address."


@given(st.text(max_size=80))
def test_normalising_never_fails_otherwise_and_is_stable(text: str) -> None:
    try:
        once = normalise_email(text)
    except Rejected:
        return
    assert normalise_email(once) == once


async def test_found_by_any_spelling_and_no_more_after_removal(stores: Stores) -> None:
    index = EmailIndex(stores[1])
    subject = uuid7()
    await stores[1].create_subject_key(subject)
    await index.add("Ada@example.org", subject)
    assert await index.find("ada@EXAMPLE.org") == subject
    other = uuid7()
    await stores[1].create_subject_key(other)
    with pytest.raises(Conflict):
        await index.add("ada@example.org", other)
    await index.remove(subject)
    assert await index.find("ada@example.org") is None
