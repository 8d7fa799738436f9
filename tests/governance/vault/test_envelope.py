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
    printed = "".join(page.partition("envelope    ")[2].partition("```")[0].split())
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
        envelope.key_ids(envelope.seal(KEY, b"", CONTEXT)[:length])


LIMIT = Key(UUID(int=8), bytes(range(32, 64)))


def test_two_keys_are_what_the_docstring_says_byte_for_byte() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    sealed = envelope.seal(KEY, b"203.0.113.9", CONTEXT, limit=LIMIT, salt=bytes(range(24)))
    assert sealed[:34] == bytes((1, 2)) + KEY.id.bytes + LIMIT.id.bytes and sealed[34:58] == bytes(range(24))
    info = b"valueapi/seal/2" + KEY.id.bytes + LIMIT.id.bytes + CONTEXT
    derived = HKDF(SHA256(), 64, sealed[34:58], info).derive(KEY.secret + LIMIT.secret)
    assert sealed[58:90] == derived[32:]
    assert AESGCM(derived[:32]).decrypt(bytes(12), sealed[90:], sealed[:90] + CONTEXT) == b"203.0.113.9"


def test_the_documented_vector_of_two_keys_is_what_this_program_seals() -> None:
    page = (Path(__file__).parents[3] / "docs" / "privacy" / "sealed-format.md").read_text()
    printed = "".join(page.rpartition("two keys    ")[2].partition("```")[0].split())
    assert printed == envelope.seal(KEY, b"203.0.113.9", CONTEXT, limit=LIMIT, salt=bytes(range(24))).hex()


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_what_two_keys_seal_opens_under_both_alone(plain: bytes, context: bytes) -> None:
    sealed = envelope.seal(KEY, plain, context, limit=LIMIT)
    assert envelope.key_ids(sealed) == (KEY.id, LIMIT.id)
    assert envelope.open_envelope(KEY, sealed, context, limit=LIMIT) == plain
    other = Key(LIMIT.id, bytes(32))
    for key, limit in ((KEY, None), (KEY, other), (OTHER, LIMIT), (LIMIT, KEY)):
        with pytest.raises(SealBroken):
            envelope.open_envelope(key, sealed, context, limit=limit)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_under_two_keys_is_refused(place: int, flip: int) -> None:
    sealed = bytearray(envelope.seal(KEY, b"secret value", CONTEXT, limit=LIMIT))
    sealed[place % len(sealed)] ^= flip
    with pytest.raises(SealBroken):
        envelope.open_envelope(KEY, bytes(sealed), CONTEXT, limit=LIMIT)


@given(
    st.tuples(st.integers(0, 2**32 - 1), st.uuids(), st.uuids()),
    st.tuples(st.integers(0, 2**32 - 1), st.uuids(), st.uuids()),
)
def test_a_value_opens_in_its_own_place_alone(here: tuple[int, UUID, UUID], there: tuple[int, UUID, UUID]) -> None:
    for limit in (None, LIMIT):
        sealed = envelope.seal(KEY, b"x", envelope.column_context(*here), limit=limit)
        if here == there:
            assert envelope.open_envelope(KEY, sealed, envelope.column_context(*there), limit=limit) == b"x"
        else:
            with pytest.raises(SealBroken):
                envelope.open_envelope(KEY, sealed, envelope.column_context(*there), limit=limit)


def test_a_ciphertext_made_to_open_under_two_keys_is_refused() -> None:
    """AES-GCM alone: one ciphertext, two keys, two plaintexts, both tags good (Dodis et al., CRYPTO 2018).

    The collision is built here, shown to fool AES-GCM, and refused by the commitment under the second key.
    """
    first, second = Key(UUID(int=9), b"\x01" * 32), Key(UUID(int=9), b"\x02" * 32)
    salt, context = bytes(24), CONTEXT
    header_of = {}
    for key in (first, second):
        value_key, commitment = envelope._derive(key, None, salt, context)
        header_of[key.secret] = (value_key, bytes((1, 1)) + key.id.bytes + salt + commitment)
    header = header_of[first.secret][1]  # what the attacker writes: one header commits to one key
    keys = [header_of[key.secret][0] for key in (first, second)]
    forged = collision(keys[0], keys[1], header + context)
    opened = {AESGCM(key).decrypt(bytes(12), forged, header + context) for key in keys}
    assert len(opened) == 2  # AES-GCM is fooled
    assert envelope.open_envelope(first, header + forged, context) in opened
    with pytest.raises(SealBroken, match="committed"):
        envelope.open_envelope(second, header + forged, context)


def collision(first: bytes, second: bytes, associated: bytes) -> bytes:
    """Ciphertext and tag that AES-GCM opens under both keys with the zero nonce: one block is free, GHASH is linear."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def block(key: bytes, data: bytes) -> int:
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return int.from_bytes(encryptor.update(data), "big")

    def times(x: int, y: int) -> int:
        product = 0
        for bit in range(127, -1, -1):
            if y >> bit & 1:
                product ^= x
            x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
        return product

    def power(x: int, exponent: int) -> int:
        result = 1 << 127
        while exponent:
            if exponent & 1:
                result = times(result, x)
            x, exponent = times(x, x), exponent >> 1
        return result

    padded = associated + bytes(-len(associated) % 16)
    blocks = [int.from_bytes(padded[at : at + 16], "big") for at in range(0, len(padded), 16)]
    lengths = (len(associated) * 8) << 64 | 128
    # tag(K) = E(K, J0) xor sum of block * H^i; the one free ciphertext block C has the factor H^2.
    sums, squares = [], []
    for key in (first, second):
        h = block(key, bytes(16))
        total = block(key, bytes(12) + b"\x00\x00\x00\x01") ^ times(lengths, h)
        for place, each in enumerate(reversed(blocks)):
            total ^= times(each, power(h, place + 3))
        sums.append(total)
        squares.append(power(h, 2))
    free = times(sums[0] ^ sums[1], power(squares[0] ^ squares[1], 2**128 - 2))
    tag = sums[0] ^ times(free, squares[0])
    return free.to_bytes(16, "big") + tag.to_bytes(16, "big")


def test_a_key_prints_as_its_id_alone() -> None:
    key = Key(uuid7(), b"0123456789abcdef0123456789abcdef")
    assert "0123" not in repr(key).replace(str(key.id), "")
