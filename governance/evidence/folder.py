"""The log's folder, `var/log/transparency`: apart from both databases, and never put back from an older copy.

origin              two lines: the origin that checkpoints name, and the log's random id
keys                verifier keys of checkpoints, the newest last
checkpoint          the newest one; witnesses' cosignatures are added to it
checkpoints/<size>  every one that was published
tile/…              tiles and entry bundles
staged              a batch that is being written; with it there, a crash is finished by the next round
lock                held by whoever writes
"""

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from governance.datamap import Store
from governance.durable import sync_folder
from governance.errors import Conflict, Rejected
from governance.evidence import checkpoint, note
from governance.evidence.checkpoint import Checkpoint
from governance.evidence.note import Note, NoteKey
from governance.evidence.tiles import Tiles, make_folder, replace, write_once

NAME = "transparency"


@dataclass(frozen=True, slots=True)
class Staged:
    """A batch between its commit point and its end. `rows`: store, entry id and commitment, in the log's order.

    It is authenticated where it rests: whoever else can write to the folder could have anything published by it."""

    first: int
    rows: tuple[tuple[Store, UUID, bytes], ...]

    def encoded(self, key: bytes) -> bytes:
        rows = [[store.value, str(entry_id), leaf.hex()] for store, entry_id, leaf in self.rows]
        said = {"first": self.first, "rows": rows}
        return json.dumps(said | {"mac": _mac(key, said)}).encode()

    @classmethod
    def decode(cls, data: bytes, key: bytes) -> "Staged":
        """Raises ValueError, KeyError or TypeError for what isn't a batch of ours."""
        whole: Any = json.loads(data)
        said = {name: whole[name] for name in ("first", "rows")}
        if not hmac.compare_digest(str(whole["mac"]).encode(), _mac(key, said).encode()):
            raise ValueError("not ours")
        rows = ((Store(store), UUID(entry_id), bytes.fromhex(leaf)) for store, entry_id, leaf in whole["rows"])
        return cls(whole["first"], tuple(rows))


def _mac(key: bytes, said: Mapping[str, Any]) -> str:
    return hmac.digest(key, b"staged\n" + json.dumps(said, sort_keys=True).encode(), hashlib.sha256).hex()


class LogFolder:
    """The files of one log. Reading needs no lock: every file is whole at any moment. `trusted`: verifier keys known from
    elsewhere; None takes the folder's own word for them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.trusted: Sequence[NoteKey] | None = None

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the lock for a block; False, and no lock, where another has it."""
        make_folder(self.path)
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(handle)

    def _lines(self, name: str) -> list[str]:
        with suppress(FileNotFoundError):
            return (self.path / name).read_text().splitlines()
        return []

    def begin(self, log_id: UUID, origin: str) -> None:
        """Say, once and for ever, which log this is."""
        write_once(self.path / "origin", f"{origin}\n{log_id}\n".encode())

    @property
    def origin(self) -> str | None:
        """None where no log was begun here."""
        return next(iter(self._lines("origin")), None)

    @property
    def log_id(self) -> UUID | None:
        lines = self._lines("origin")
        return UUID(lines[1]) if lines else None

    def verifiers(self) -> list[NoteKey]:
        """The verifier keys that are trusted, else those that the folder lists."""
        return list(self.trusted) if self.trusted is not None else self.listed()

    def listed(self) -> list[NoteKey]:
        """The verifier keys that the folder lists."""
        return [NoteKey.parse(line) for line in self._lines("keys")]

    def add_key(self, key: NoteKey) -> None:
        """List a key, before anything that it signed is published."""
        lines = self._lines("keys")
        if str(key) not in lines:
            replace(self.path / "keys", "".join(f"{line}\n" for line in [*lines, str(key)]).encode())

    @property
    def tiles(self) -> Tiles:
        """What was read before is read anew."""
        return Tiles(self.path)

    def latest(self) -> tuple[Checkpoint, Note] | None:
        """The newest checkpoint; None before the first. Raises Rejected where it is none or isn't the log's."""
        with suppress(FileNotFoundError):
            return self._verified((self.path / "checkpoint").read_bytes())
        return None

    def _verified(self, data: bytes) -> tuple[Checkpoint, Note]:
        signed = note.parse(data)
        signed.signed_by(self.verifiers())
        found = checkpoint.read(signed)
        if found.origin != self.origin:
            raise Rejected("The checkpoint is another log's.")
        return found, signed

    def sizes(self) -> list[int]:
        """Of every published checkpoint, ascending."""
        with suppress(FileNotFoundError):
            return sorted(int(each.name) for each in (self.path / "checkpoints").iterdir() if each.name.isdecimal())
        return []

    def raw_checkpoint(self, size: int) -> bytes:
        """A published checkpoint as it rests. Raises FileNotFoundError."""
        return (self.path / "checkpoints" / str(size)).read_bytes()

    def checkpoint_at(self, size: int) -> tuple[Checkpoint, Note]:
        """A published checkpoint. Raises FileNotFoundError, or Rejected as `latest` does."""
        return self._verified(self.raw_checkpoint(size))

    def publish(self, signed: Note) -> None:
        """Make a checkpoint the newest one. May be repeated."""
        data = str(signed).encode()
        size = checkpoint.read(signed).size
        replace(self.path / "checkpoints" / str(size), data)
        # A crash here leaves a checkpoint in the row that isn't the newest yet; the staged batch is finished first.
        replace(self.path / "checkpoint", data)

    def staged(self, key: bytes) -> Staged | None:
        """The batch that a crash left behind. Raises Conflict where it isn't one of ours. `key`: what it is authenticated with."""
        try:
            return Staged.decode((self.path / "staged").read_bytes(), key)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise Conflict("The staged batch of the transparency log isn't ours: somebody changed it.") from None

    def stage(self, batch: Staged, key: bytes) -> None:
        """The commit point of a batch."""
        replace(self.path / "staged", batch.encoded(key))

    def unstage(self) -> None:
        """The end of one."""
        (self.path / "staged").unlink()
        sync_folder(self.path)
