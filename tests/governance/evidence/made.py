"""A whole log in a folder, with what opens its leaves, made without a database; and the single-file verifier as a module."""

import hashlib
import importlib.util
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.evidence.checkpoint import Checkpoint
from governance.evidence.entry import Entry, EntryType, Opened, checked, commitment
from governance.evidence.folder import LogFolder
from governance.evidence.note import NoteKey

ROOT = Path(__file__).parents[3]
ORIGIN = "log.example.com/transparency"
SECRET = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a log of the tests").digest())
KEY = NoteKey(ORIGIN, SECRET.public_key().public_bytes_raw())
_BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Made:
    """The folder, and what opens each leaf."""

    folder: LogFolder
    entries: list[Opened]

    def append(self, number: int) -> None:
        """Entries of several types, and a checkpoint."""
        size = len(self.entries)
        new = [opened(position) for position in range(size, size + number)]
        self.folder.tiles.extend(size, [commitment(each.salt, each.entry) for each in new])
        self.entries += new
        self.sign()

    def sign(self, secret: Ed25519PrivateKey = SECRET) -> None:
        size = len(self.entries)
        self.folder.publish(Checkpoint(ORIGIN, size, self.folder.tiles.root(size)).signed(secret))


def opened(position: int) -> Opened:
    chosen = random.Random(position)
    entry_id, person = (UUID(int=chosen.getrandbits(128), version=4) for _ in range(2))
    kinds: list[Callable[[], Entry]] = [
        lambda: made(EntryType.KEY_ROTATED, None, kind="subject", keys=position),
        lambda: made(
            EntryType.STAFF_ACCESS, person, column="outbox.body", use="essential.service", actor="legal", on_case=True
        ),
        lambda: made(EntryType.STORE_RESTORED, None, store="data", backup=hashlib.sha256(b"%d" % position).hexdigest()),
        lambda: made(
            EntryType.INCIDENT_CLOSED, None, incident=person, row=hashlib.sha256(b"%d" % position).hexdigest()
        ),
    ]

    def made(entry_type: EntryType, subject: UUID | None, **detail: object) -> Entry:
        return Entry(entry_id, _BEGAN + timedelta(seconds=position), entry_type, checked(entry_type, detail), subject)

    return Opened(position, chosen.randbytes(32), kinds[position % 4]().canonical, entry_id)


def make(folder: Path, *rounds: int) -> Made:
    """A log that grew by so many entries each round."""
    where = LogFolder(folder)
    with where.alone():
        where.begin(UUID(int=7), ORIGIN)
        where.add_key(KEY)
    log = Made(where, [])
    real = os.fsync
    os.fsync = lambda handle: None  # thousands of files that nobody needs after a crash
    try:
        for number in rounds:
            log.append(number)
    finally:
        os.fsync = real
    return log


def single_file() -> ModuleType:
    """`docs/privacy/verify_log.py`, which imports nothing of ours."""
    spec = importlib.util.spec_from_file_location("verify_log", ROOT / "docs" / "privacy" / "verify_log.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
