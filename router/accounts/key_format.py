"""What an API key looks like: `sk-va-`, 43 random base62 characters (256 bits), 6 of checksum. 55 characters in all.

The checksum (CRC-32 of everything before it, base62) tells a typo from a wrong key without a look-up, and lets secret
scanners match `sk-va-[0-9A-Za-z]{49}` without false alarms, as GitHub's token format does.
"""

import hashlib
import secrets
import string
import zlib

PREFIX = "sk-va-"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 43
_CHECK = 6
LENGTH = len(PREFIX) + _RANDOM + _CHECK
_SHOWN = len(PREFIX) + 4


def new_secret() -> str:
    """A fresh key."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return body + _checksum(body)


def well_formed(secret: str) -> bool:
    """Whether it can be a key at all; says nothing of whether it is one."""
    return (
        len(secret) == LENGTH
        and secret.startswith(PREFIX)
        and secret.isascii()
        and secret[-_CHECK:] == _checksum(secret[:-_CHECK])
    )


def shown_prefix(secret: str) -> str:
    """What lists show: 4 of the 43 random characters, enough to tell one's keys apart."""
    return secret[:_SHOWN]


def key_hash(secret: str) -> bytes:
    """What rests of a key: SHA-256, 32 bytes. 256 random bits need nothing slower."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), []
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
