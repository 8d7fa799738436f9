"""The key channel of one machine: an 8-byte counter in a file that every process maps, `run/keys.mm` (0600).

All of them look at the same page, so a new generation is everywhere in the moment that it is written, and nobody has to
acknowledge it: a CLI process erases while workers serve. Writers add under flock(2), which the kernel lets go when its
holder dies; a crash in between leaves the old value or the new one. The file is never replaced.
"""

import asyncio
import fcntl
import mmap
import os
import secrets
import time
from pathlib import Path
from typing import Final

from governance.errors import ChannelDown, ConfigurationError

LOCK_WAIT_S_MAX: Final = 1.0

_BYTES: Final = 8
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class MemoryMapChannel:
    """One process's map of the counter. It needs no heartbeat; `start` does nothing."""

    def __init__(self, path: Path) -> None:
        """Map `path`, made if missing. Raises ConfigurationError where it isn't a counter's size."""
        self._path = path
        _create(path)
        fd = os.open(path, _FLAGS)
        try:
            status = os.fstat(fd)
            if status.st_size != _BYTES:
                raise ConfigurationError("run/keys.mm is damaged: stop all ValueAPI processes of this home, remove it.")
            self._file = (status.st_dev, status.st_ino)
            self._map = mmap.mmap(fd, _BYTES)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")

    def generation(self) -> int | None:
        """One aligned load, no system call; never None."""
        return self._words[0]

    async def announce(self) -> int:
        """A new generation, seen by every process on return. Raises ChannelDown after a second without the lock."""
        # Opened anew: a lock of its own, also against threads, tasks and a forked child of this process.
        try:
            fd = os.open(self._path, _FLAGS)
        except OSError:
            raise ChannelDown("run/keys.mm is gone: restart every ValueAPI process of this home.") from None
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != self._file:
                raise ChannelDown("run/keys.mm was replaced: restart every ValueAPI process of this home.")
            await _lock(fd)
            # A kill here lets the lock go with the old value in place, one line on with the new one.
            generation = self._words[0] + 1
            self._words[0] = generation
            return generation
        finally:
            os.close(fd)

    async def start(self) -> None:
        """Nothing: a page of memory has no heartbeat to lose."""

    async def aclose(self) -> None:
        """Unmap. The file stays, for the others."""
        self._words.release()
        self._map.close()


async def _lock(fd: int) -> None:
    give_up_at = time.monotonic() + LOCK_WAIT_S_MAX
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Waiting in the kernel would let one stopped process stop this one's event loop.
            if time.monotonic() > give_up_at:
                raise ChannelDown("run/keys.mm is locked by a process that doesn't move.") from None
        await asyncio.sleep(0.000_5)


def _create(path: Path) -> None:
    """Whole before it has its name, and only one of those who make it at once gives the name."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        # Real blocks now: a full disk must show here, not as SIGBUS at a later write.
        os.posix_fallocate(fd, 0, _BYTES)
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # a sibling was faster: use its file
    finally:
        os.close(fd)
        draft.unlink(missing_ok=True)
