"""The sealed format, byte for byte. `docs/privacy/sealed-format.md` prints it with test vectors.

    offset  length  field
    0       1       version: 1
    1       1       algorithm: 1 = one key, 2 = two keys
    2       16      key id (UUID bytes) of the first key: a subject's, a service's, a node's or a root key
    18      16      algorithm 2 only: key id of the second key, which limits the value in time
    h       24      salt, random (h = 18 or 34)
    h+24    32      commitment
    h+56    n       ciphertext, AES-256-GCM
    h+56+n  16      GCM tag

HKDF-SHA256 (RFC 5869) with the salt over the key, or over first key | second key: destroying either makes it unreadable.
Value key | commitment = expand(PRK, info, 64), info = "valueapi/seal/1" | key id for algorithm 1,
"valueapi/seal/2" | key id | second key id | context for algorithm 2 (the context is the purpose).
The commitment is compared before anything is decrypted: AES-GCM alone isn't key-committing. Each value has its own key,
so the nonce is twelve zero bytes and no nonce limit (NIST SP 800-38D section 8.3) can be reached.
Associated data: header (offset 0 to h+56) | context; for a column the context is made by `column_context`.
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
ONE_KEY, TWO_KEYS = 1, 2
_SALT_AT = {ONE_KEY: 18, TWO_KEYS: 34}
_SALT_BYTES, _COMMITMENT_BYTES, _TAG_BYTES = 24, 32, 16
_NONCE = bytes(12)


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


def _derive(key: Key, limit: Key | None, salt: bytes, context: bytes) -> tuple[bytes, bytes]:
    if limit is None:
        secret, info = key.secret, b"valueapi/seal/1" + key.id.bytes
    else:
        secret, info = key.secret + limit.secret, b"valueapi/seal/2" + key.id.bytes + limit.id.bytes + context
    prk = hmac.digest(salt, secret, hashlib.sha256)
    first = hmac.digest(prk, info + b"\x01", hashlib.sha256)
    return first, hmac.digest(prk, first + info + b"\x02", hashlib.sha256)


def seal(key: Key, plaintext: bytes, context: bytes, *, limit: Key | None = None, salt: bytes | None = None) -> bytes:
    """Seal bytes under a key, or under it and the key that limits it in time. `salt` is given by test vectors alone."""
    salt = salt or os.urandom(_SALT_BYTES)
    value_key, commitment = _derive(key, limit, salt, context)
    start = bytes((VERSION, ONE_KEY)) + key.id.bytes if limit is None else _two(key, limit)
    header = start + salt + commitment
    return header + AESGCM(value_key).encrypt(_NONCE, plaintext, header + context)


def _two(key: Key, limit: Key) -> bytes:
    return bytes((VERSION, TWO_KEYS)) + key.id.bytes + limit.id.bytes


def key_ids(envelope: bytes) -> tuple[UUID, UUID | None]:
    """Ids of the key, and of the key that limits it, that open it. Raises SealBroken for an unknown format."""
    salt_at = _salt_at(envelope)
    second = UUID(bytes=envelope[18:34]) if salt_at == _SALT_AT[TWO_KEYS] else None
    return UUID(bytes=envelope[2:18]), second


def _salt_at(envelope: bytes) -> int:
    salt_at = _SALT_AT.get(envelope[1]) if len(envelope) > 1 and envelope[0] == VERSION else None
    if salt_at is None or len(envelope) < salt_at + _SALT_BYTES + _COMMITMENT_BYTES + _TAG_BYTES:
        raise SealBroken("The sealed value has an unknown format.")
    return salt_at


def open_envelope(key: Key, envelope: bytes, context: bytes, *, limit: Key | None = None) -> bytes:
    """The plaintext, or SealBroken: never a part of it."""
    if key_ids(envelope) != (key.id, limit.id if limit is not None else None):
        raise SealBroken("The sealed value is under another key.")
    salt_at = _salt_at(envelope)
    commitment_at = salt_at + _SALT_BYTES
    end = commitment_at + _COMMITMENT_BYTES
    value_key, commitment = _derive(key, limit, envelope[salt_at:commitment_at], context)
    if not hmac.compare_digest(commitment, envelope[commitment_at:end]):
        raise SealBroken("The sealed value isn't committed to this key.")
    try:
        return AESGCM(value_key).decrypt(_NONCE, envelope[end:], envelope[:end] + context)
    except InvalidTag:
        raise SealBroken("The sealed value was altered or moved.") from None
