"""A file system of a few megabytes that really fills up; where this user may not mount one, a folder that plays it."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from router.billing import journal


class SmallDisk:
    """`fill` leaves not one block free, `free` takes that back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        handle = os.open(self.path / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while True:
                os.write(handle, bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        finally:
            os.close(handle)

    def free(self) -> None:
        (self.path / "filler").unlink()


class PlayedDisk(SmallDisk):
    """Full as long as the filler lies there: writes into blocks that a file has already go on, nothing else does."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(path)
        write, allocate = os.write, journal._allocate

        def guarded_write(handle: int, data: bytes) -> int:
            found = os.fstat(handle)
            if self._full(handle) and found.st_size + len(data) > found.st_blocks * 512:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, data)

        def guarded_allocate(handle: int, size: int) -> None:
            if self._full(handle):
                raise OSError(errno.ENOSPC, "No space left on device")
            allocate(handle, size)

        patch.setattr(os, "write", guarded_write)
        patch.setattr(journal, "_allocate", guarded_allocate)

    def _full(self, handle: int) -> bool:
        file = Path(f"/proc/self/fd/{handle}").readlink()
        return file.is_relative_to(self.path) and (self.path / "filler").exists()


@contextmanager
def small_disk(path: Path, size: str = "3m") -> Iterator[SmallDisk]:
    """At `path`, which must be empty, while the block runs."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        with pytest.MonkeyPatch.context() as patch:
            yield PlayedDisk(path, patch)
        return
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
