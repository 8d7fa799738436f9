"""The sealed format, byte for byte. `docs/privacy/sealed-format.md` prints it with test vectors.

    offset  length  field
    0       1       version: 1
    1       1       algorithm: 1 = HKDF-SHA256 per-value key, AES-256-GCM
    2       16      key id (UUID bytes) of the key that the per-value key is derived from
    18      24      salt, random
    42      32      commitment
    74      n       ciphertext
    74+n    16      GCM tag

HKDF (RFC 5869): PRK = HMAC-SHA256(salt, key); value key | commitment = expand(PRK, "valueapi/seal/1" | key id, 64).
The commitment is compared before anything is decrypted: AES-GCM alone isn't key-committing. Each value has its own key,
so the nonce is twelve zero bytes and no nonce limit (NIST SP 800-38D section 8.3) can be reached.
Associated data: header (offset 0 to 74) | context; for a column the context is made by `column_context`.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from governance.errors import SealBroken

VERSION = 1
ALGORITHM = 1
_SALT = slice(18, 42)
_COMMITMENT = slice(42, 74)
HEADER_BYTES = 74
_NONCE = bytes(12)
_INFO = b"valueapi/seal/1"


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A 256-bit key and its id. Prints as its id alone."""

    id: UUID
    secret: bytes

    def __repr__(self) -> str:
        return f"<Key {self.id} ***>"


def column_context(seal_id: int, subject_id: UUID, row_id: UUID) -> bytes:
    """What a column's value is bound to: declaration, subject and row; never a table or column name."""
    return b"col1" + seal_id.to_bytes(4, "big") + subject_id.bytes + row_id.bytes


def _derive(key: Key, salt: bytes) -> tuple[bytes, bytes]:
    prk = hmac.digest(salt, key.secret, hashlib.sha256)
    info = _INFO + key.id.bytes
    first = hmac.digest(prk, info + b"\x01", hashlib.sha256)
    return first, hmac.digest(prk, first + info + b"\x02", hashlib.sha256)


def seal(key: Key, plaintext: bytes, context: bytes, *, salt: bytes | None = None) -> bytes:
    """Seal bytes under a key, bound to a context. `salt` is given by test vectors alone."""
    salt = salt or os.urandom(24)
    value_key, commitment = _derive(key, salt)
    header = bytes((VERSION, ALGORITHM)) + key.id.bytes + salt + commitment
    return header + AESGCM(value_key).encrypt(_NONCE, plaintext, header + context)


def key_id(envelope: bytes) -> UUID:
    """The id of the key that opens it. Raises SealBroken for an unknown format."""
    if len(envelope) < HEADER_BYTES + 16 or envelope[0] != VERSION or envelope[1] != ALGORITHM:
        raise SealBroken("The sealed value has an unknown format.")
    return UUID(bytes=envelope[2:18])


def open_envelope(key: Key, envelope: bytes, context: bytes) -> bytes:
    """The plaintext, or SealBroken: never a part of it."""
    if key_id(envelope) != key.id:
        raise SealBroken("The sealed value is under another key.")
    value_key, commitment = _derive(key, envelope[_SALT])
    if not hmac.compare_digest(commitment, envelope[_COMMITMENT]):
        raise SealBroken("The sealed value isn't committed to this key.")
    header = envelope[:HEADER_BYTES]
    try:
        return AESGCM(value_key).decrypt(_NONCE, envelope[HEADER_BYTES:], header + context)
    except InvalidTag:
        raise SealBroken("The sealed value was altered or moved.") from None
