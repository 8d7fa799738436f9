"""The sealed format: vectors, binding, commitment."""

from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import SealBroken
from governance.ids import uuid7
from governance.vault import envelope
from governance.vault.envelope import Key

KEY = Key(UUID(int=7), bytes(range(32)))
OTHER = Key(UUID(int=7), bytes(range(1, 33)))
CONTEXT = envelope.column_context(200, UUID(int=1), UUID(int=2))
VECTOR = "010100000000000000000000000000000007000102030405060708090a0b0c0d0e0f1011121314151617"


def test_the_format_is_what_the_docstring_says_byte_for_byte() -> None:
    """An implementation apart: HKDF from `cryptography`, offsets by hand."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    sealed = envelope.seal(KEY, b"ada@example.org", CONTEXT, salt=bytes(range(24)))
    assert sealed[:42].hex() == VECTOR
    derived = HKDF(SHA256(), 64, sealed[18:42], b"valueapi/seal/1" + KEY.id.bytes).derive(KEY.secret)
    assert sealed[42:74] == derived[32:]
    assert AESGCM(derived[:32]).decrypt(bytes(12), sealed[74:], sealed[:74] + CONTEXT) == b"ada@example.org"


def test_the_documented_vector_is_what_this_program_seals() -> None:
    page = (Path(__file__).parents[3] / "docs" / "privacy" / "sealed-format.md").read_text()
    printed = "".join(page.rpartition("envelope    ")[2].partition("```")[0].split())
    assert bytes.fromhex(printed) == envelope.seal(KEY, b"ada@example.org", CONTEXT, salt=bytes(range(24)))
    assert envelope.open_envelope(KEY, bytes.fromhex(printed), CONTEXT) == b"ada@example.org"


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_what_is_sealed_opens(plain: bytes, context: bytes) -> None:
    assert envelope.open_envelope(KEY, envelope.seal(KEY, plain, context), context) == plain


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, flip: int) -> None:
    sealed = bytearray(envelope.seal(KEY, b"secret value", CONTEXT))
    sealed[place % len(sealed)] ^= flip
    with pytest.raises(SealBroken):
        envelope.open_envelope(KEY, bytes(sealed), CONTEXT)


@pytest.mark.parametrize(
    "context",
    [
        envelope.column_context(201, UUID(int=1), UUID(int=2)),
        envelope.column_context(200, UUID(int=3), UUID(int=2)),
        envelope.column_context(200, UUID(int=1), UUID(int=3)),
    ],
    ids=["another column", "another subject", "another row"],
)
def test_a_value_moved_elsewhere_is_refused(context: bytes) -> None:
    with pytest.raises(SealBroken, match="altered or moved"):
        envelope.open_envelope(KEY, envelope.seal(KEY, b"x", CONTEXT), context)


def test_one_envelope_opens_under_one_key_only() -> None:
    """The commitment decides before anything is decrypted: GCM alone could be made to open under two keys."""
    sealed = envelope.seal(KEY, b"x", CONTEXT)
    with pytest.raises(SealBroken, match="committed"):
        envelope.open_envelope(OTHER, sealed, CONTEXT)


@pytest.mark.parametrize("length", [0, 1, 89])
def test_a_short_envelope_is_refused(length: int) -> None:
    with pytest.raises(SealBroken, match="unknown format"):
        envelope.key_id(envelope.seal(KEY, b"", CONTEXT)[:length])


def test_a_key_prints_as_its_id_alone() -> None:
    key = Key(uuid7(), b"0123456789abcdef0123456789abcdef")
    assert "0123" not in repr(key).replace(str(key.id), "")
