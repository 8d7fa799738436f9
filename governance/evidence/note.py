"""Signed notes (c2sp.org/signed-note) with Ed25519 keys, and the witnesses' cosignatures (c2sp.org/tlog-cosignature).

A verifier key as text is `<name>+<key id, 8 hex digits>+<base64 of type byte and public key>`, as Go's `sumdb/note` has it.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from governance.errors import Rejected

ED25519, COSIGNATURE = 0x01, 0x04
_SIGNATURES_MAX = 64
_STAMP_BYTES, _SIGNATURE_BYTES = 8, 64


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key. `kind` is the signature type: ED25519, or COSIGNATURE for a witness."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def id(self) -> bytes:
        """Four bytes."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes((self.kind,)) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "NoteKey":
        """Raises Rejected where it is no verifier key, or its id isn't its own."""
        name, _, rest = text.strip().partition("+")
        given, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
            key = cls(name, raw[1:], raw[0])
            whole = (
                is_name(name) and len(key.public) == 32 and key.kind in (ED25519, COSIGNATURE) and key.id.hex() == given
            )
        except (binascii.Error, IndexError):
            whole = False
        if not whole:
            raise Rejected("That is no verifier key of the form name+id+key.", field="key")
        return key

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether it signed the text of a note."""
        if self.kind == COSIGNATURE:
            if len(signature) != _STAMP_BYTES + _SIGNATURE_BYTES:
                return False
            stamp, signature = int.from_bytes(signature[:_STAMP_BYTES], "big"), signature[_STAMP_BYTES:]
            text = b"cosignature/v1\ntime %d\n" % stamp + text
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"\N{EM DASH} {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"

    def is_of(self, key: NoteKey) -> bool:
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True, slots=True)
class Note:
    """Text (its last newline included) and signatures, not yet verified."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(each.line for each in self.signatures)

    def signed_by(self, keys: Iterable[NoteKey]) -> list[NoteKey]:
        """Which of the keys signed it. Raises Rejected where a known key's signature is wrong, or none is there."""
        found = []
        for key in keys:
            for each in self.signatures:
                if each.is_of(key):
                    if not key.verifies(self.text.encode(), each.signature):
                        raise Rejected("A signature of a known key is wrong.")
                    found.append(key)
        if not found:
            raise Rejected("No known key signed it.")
        return found


def is_name(name: str) -> bool:
    """Whether it may name a key: no space, no plus, not empty, printable."""
    return bool(name) and name.isprintable() and not any(each.isspace() or each == "+" for each in name)


def signature_lines(text: str) -> tuple[Signature, ...]:
    """Signature lines, each ending in a newline. Raises Rejected where one is none."""
    found: list[Signature] = []
    for line in text.split("\n")[:-1]:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raw = b""
        if dash != "\N{EM DASH}" or not is_name(name) or len(raw) < 5 or len(found) >= _SIGNATURES_MAX:
            raise Rejected("A signature line is none.")
        found.append(Signature(name, raw[:4], raw[4:]))
    if not text.endswith("\n") or not found:
        raise Rejected("A signature line is missing or cut.")
    return tuple(found)


def parse(data: bytes) -> Note:
    """Raises Rejected for what is no signed note."""
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Rejected("A note is text in UTF-8.") from None
    if any(each < " " and each != "\n" for each in whole):
        raise Rejected("A note holds no control characters.")
    text, blank, rest = whole.rpartition("\n\n")
    if not blank:
        raise Rejected("A note has a blank line before its signatures.")
    return Note(text + "\n", signature_lines(rest))


def sign(text: str, name: str, key: Ed25519PrivateKey) -> Note:
    """A note by one key, under a name."""
    public = NoteKey(name, key.public_key().public_bytes_raw())
    return Note(text, (Signature(name, public.id, key.sign(text.encode())),))
