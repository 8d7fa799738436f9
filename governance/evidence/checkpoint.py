"""Checkpoints (c2sp.org/tlog-checkpoint): origin, tree size and root, as a signed note. No extension lines."""

import base64
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.errors import Rejected
from governance.evidence import note
from governance.evidence.merkle import HASH_BYTES
from governance.evidence.note import Note

_SIZE = re.compile("0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, key: Ed25519PrivateKey) -> Note:
        """The key's name is the origin."""
        return note.sign(self.text, self.origin, key)


def read(signed: Note) -> Checkpoint:
    """What a note says; its signatures are the caller's to verify. Raises Rejected for what is no checkpoint."""
    lines = signed.text.split("\n")[:-1]
    if len(lines) < 3 or not all(lines) or not _SIZE.fullmatch(lines[1]):
        raise Rejected("The note is no checkpoint.")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except ValueError:
        root = b""
    if len(root) != HASH_BYTES:
        raise Rejected("The checkpoint's root is no hash.")
    return Checkpoint(lines[0], int(lines[1]), root)
