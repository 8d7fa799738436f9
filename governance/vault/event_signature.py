"""Signs the event log, line by line, with Ed25519 (RFC 8032) under a service key; `log/events.pub` has the public keys,
the newest last: a key store restored from before its first event makes a key of its own.

A signature shows that a line is ours and whole; that none is missing shows the transparency log, whose entries have the
digest of what was written (`evidence/event_log`).
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from governance import events
from governance.vault.keys import KeyStore

KEY = "events"
PUBLIC = "events.pub"


@dataclass(frozen=True, slots=True)
class Verified:
    """Lines of a log: signed by us, without a signature (from before the keys were open), and neither."""

    signed: int
    unsigned: int
    broken: int


async def sign_events(keys: KeyStore, folder: Path) -> None:
    """Sign what is emitted from now on, and leave the public key beside the log."""
    key = await _key(keys)
    public, text = folder / PUBLIC, base64.b64encode(key.public_key().public_bytes_raw()).decode()
    # Every command comes by here: a file that is right already isn't written to under who reads it.
    if not (public.exists() and text in public.read_text().split()):
        with public.open("a") as file:
            file.write(text + "\n")
    events.sign_with(lambda line: base64.b64encode(key.sign(line)).decode())


async def checker(keys: KeyStore) -> Callable[[bytes], bool]:
    """Tells whether a line is one that the key store's own key signed; what lies in `events.pub` doesn't count."""
    public = (await _key(keys)).public_key()

    def is_ours(line: bytes) -> bool:
        plain, signature = events.split(line)
        return signature is not None and _fits(public, signature, plain)

    return is_ours


async def _key(keys: KeyStore) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes((await keys.service_key(KEY)).secret)


def verify(folder: Path) -> Verified:
    """Check every line of a log folder against its public keys; needs no key store."""
    keys = [
        Ed25519PublicKey.from_public_bytes(base64.b64decode(each)) for each in (folder / PUBLIC).read_text().split()
    ]
    signed = unsigned = broken = 0
    for file in sorted(folder.glob("events*.jsonl")):
        for line in file.read_bytes().splitlines():
            plain, signature = events.split(line)
            if signature is None:
                unsigned += 1
                continue
            if any(_fits(key, signature, plain) for key in keys):
                signed += 1
            else:
                broken += 1
    return Verified(signed, unsigned, broken)


def _fits(key: Ed25519PublicKey, signature: str, plain: bytes) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), plain)
    except (InvalidSignature, ValueError):
        return False
    return True
