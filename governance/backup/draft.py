"""A file that gets its name when it is whole. Until then it lies beside as `.NAME.part`, locked by who writes it.

A kill leaves the draft, without a name and without a lock: whoever writes the same file next starts it anew.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from governance.durable import sync_folder
from governance.errors import Conflict, Rejected


@dataclass(frozen=True, slots=True)
class Draft:
    """An open draft, 0600. `fd` stands at its start and holds the lock."""

    path: Path
    fd: int
    final: Path

    def sync(self) -> None:
        """What was written outlives a power loss."""
        os.fsync(self.fd)

    def publish(self) -> None:
        """Give it its name. Raises Conflict where that is taken: a backup overwrites nothing."""
        self.sync()
        try:
            os.link(self.path, self.final)
        except FileExistsError:
            raise Conflict(f"{self.final} exists already.") from None
        # A crash here leaves a second name for the same bytes, which the next writer of this file removes.
        self.path.unlink()
        sync_folder(self.final.parent)

    def replace(self) -> None:
        """Take the place of what has the name now, in one step."""
        self.sync()
        self.path.replace(self.final)
        sync_folder(self.final.parent)


def _open(path: Path) -> int:
    while True:
        # Unlinked first, never truncated: after a crash in `publish` its bytes are those of a finished file.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise Conflict(f"Another command is writing {path} at this moment.") from None
        try:
            held = os.fstat(handle)
            if held.st_ino == path.stat().st_ino:
                if held.st_size == 0 and held.st_nlink == 1:
                    return handle
                path.unlink()
        except FileNotFoundError:
            pass  # its writer gave it its name in between
        os.close(handle)


@contextmanager
def draft(final: Path) -> Iterator[Draft]:
    """A fresh, empty draft of `final`; removed at the end unless it got its name. Raises Rejected or Conflict."""
    final = final.absolute()
    path = final.with_name(f".{final.name}.part")
    try:
        handle = _open(path)
    except OSError as error:
        raise Rejected(f"{final.parent} can't be written to: {error.strerror}.", field="out") from None
    _unlink_beside(path)  # of a draft that was killed while SQLite had it open
    try:
        yield Draft(path, handle, final)
    finally:
        # Closed last: while it is locked nobody else has this name.
        if _same(path, handle):
            _unlink_beside(path)
            path.unlink()
        os.close(handle)


def _unlink_beside(path: Path) -> None:
    for end in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _same(path: Path, handle: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False
