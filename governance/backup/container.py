"""The sealed form of a key store's backup, byte for byte.

    offset  length  field
    0       8       magic: VAPIBKUP
    8       1       version: 1
    9       1       algorithm: 1 = HKDF-SHA256 file key, AES-256-GCM in chunks
    10      2       zero
    12      4       chunk size in bytes, big-endian like all numbers here
    16      8       made at, Unix milliseconds
    24      8       expires at, Unix milliseconds
    32      8       epoch of the store
    40      32      salt, random
    72      32      commitment
    104     ...     chunks: ciphertext | 16 bytes tag

The backup key is 32 random bytes, used for this file alone. HKDF (RFC 5869), salt as above, info "valueapi/backup/1" |
header[0:40], 64 bytes: file key | commitment; the commitment is compared before anything is decrypted. Chunks are the STREAM
construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): nonce = counter (11 bytes) | 1 for the last chunk, else
0; associated data = the header. So a cut, swapped, repeated or added chunk fails. Every chunk but the last is full.
Plaintext: length of the root node key (2) | root node key | copy of the key store.
"""

import base64
import hmac
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from governance.backup.form import Form
from governance.errors import Rejected, SealBroken

_FIXED = struct.Struct(">8sBBHIqqq")
_HEADER_BYTES = _FIXED.size + 64
_TAG_BYTES = 16
_CHUNK_BYTES = 64 * 1024
_CHUNK_BYTES_MAX = 16 * 2**20
_KEY_LINE = "valueapi-backup-key-1 "


@dataclass(frozen=True, slots=True)
class Header:
    """What a sealed backup says of itself. It can be read without the key, and is proved by opening with it."""

    created_at: datetime
    expires_at: datetime
    epoch: int


def _derive(key: bytes, fixed: bytes, salt: bytes) -> tuple[AESGCM, bytes]:
    made = HKDF(SHA256(), 64, salt, b"valueapi/backup/1" + fixed).derive(key)
    return AESGCM(made[:32]), made[32:]


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))


def seal(header: Header, key: bytes, root: bytes, source: BinaryIO, target: BinaryIO) -> None:
    """Write the container of a key store's copy and its root node key."""
    times = (int(moment.timestamp() * 1000) for moment in (header.created_at, header.expires_at))
    fixed = _FIXED.pack(Form.SEALED.value, 1, 1, 0, _CHUNK_BYTES, *times, header.epoch)
    salt = os.urandom(32)
    cipher, commitment = _derive(key, fixed, salt)
    head = fixed + salt + commitment
    target.write(head)
    held = len(root).to_bytes(2, "big") + root
    number = 0
    while True:
        while len(held) <= _CHUNK_BYTES and (more := source.read(_CHUNK_BYTES)):
            held += more
        # One byte beyond a full chunk is known before it goes out, so that the last one is marked.
        last = len(held) <= _CHUNK_BYTES
        target.write(cipher.encrypt(_nonce(number, last), held[:_CHUNK_BYTES], head))
        if last:
            return
        held, number = held[_CHUNK_BYTES:], number + 1


def _read_head(stream: BufferedReader) -> tuple[Header, int, bytes]:
    head = stream.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES:
        raise SealBroken("The backup is cut short.")
    magic, version, algorithm, _, chunk, created, expires, epoch = _FIXED.unpack_from(head)
    if magic != Form.SEALED.value or (version, algorithm) != (1, 1) or not 1 <= chunk <= _CHUNK_BYTES_MAX:
        raise SealBroken("The sealed backup has an unknown format.")
    try:
        created_at, expires_at = (datetime.fromtimestamp(value / 1000, UTC) for value in (created, expires))
    except (ValueError, OverflowError, OSError):
        raise SealBroken("The sealed backup has an unknown format.") from None
    return Header(created_at, expires_at, epoch), chunk, head


def read_header(file: Path) -> Header:
    """What it says of itself, not proved yet."""
    with file.open("rb") as stream:
        return _read_head(stream)[0]


def open_to(file: Path, key: bytes, target: BinaryIO) -> tuple[Header, bytes]:
    """Write the key store's copy into `target`; the header and the root node key.

    Raises SealBroken; then what stands in `target` isn't to be used.
    """
    with file.open("rb") as stream:
        header, chunk, head = _read_head(stream)
        pieces = _pieces(stream, key, chunk, head)
        first = next(pieces)
        length = int.from_bytes(first[:2], "big")
        root, rest = first[2 : 2 + length], first[2 + length :]
        if len(root) != length or length == 0:
            raise SealBroken("The sealed backup holds no root key.")
        target.write(rest)
        for piece in pieces:
            target.write(piece)
    return header, root


def _pieces(stream: BufferedReader, key: bytes, chunk: int, head: bytes) -> Iterator[bytes]:
    cipher, commitment = _derive(key, head[: _FIXED.size], head[_FIXED.size : _FIXED.size + 32])
    if not hmac.compare_digest(commitment, head[_FIXED.size + 32 :]):
        raise SealBroken("This key isn't the backup's, or the backup's header was altered.")
    held = stream.read(chunk + _TAG_BYTES)
    number = 0
    while True:
        following = stream.read(chunk + _TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, not following), held, head)
        except (InvalidTag, ValueError):
            raise SealBroken("The sealed backup was altered, reordered or cut short.") from None
        if not following:
            return
        held, number = following, number + 1


def key_text(key: bytes, name: str) -> str:
    """The key file of a backup."""
    warning = f"# Opens {name}. Keep it apart from the backup: who has both has every key.\n"
    return f"{warning}{_KEY_LINE}{base64.b64encode(key).decode()}\n"


def read_key(file: Path) -> bytes:
    """The key out of its file. Raises Rejected."""
    try:
        for line in file.read_text("ascii").splitlines():
            if line.startswith(_KEY_LINE):
                key = base64.b64decode(line.removeprefix(_KEY_LINE), validate=True)
                if len(key) == 32:
                    return key
    except OSError as error:
        raise Rejected(f"The backup's key file can't be read: {error.strerror}.", field="key") from None
    except ValueError:
        pass
    raise Rejected("This is no key file of a backup.", field="key")
