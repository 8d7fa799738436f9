"""Random tokens of 256 bits, of which only the SHA-256 rests: nothing slower is needed for what nobody can guess."""

import hashlib
import secrets

LENGTH = 43


def new_token() -> str:
    """A fresh token: 32 random bytes as 43 characters of base64url (RFC 4648 section 5)."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What rests of a token, 32 bytes. Any text is taken, since it comes from outside."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
