"""A file system of a few megabytes that really fills up, where this user may mount one."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """Mounted at `path`. `fill` leaves not one block free, `free` takes that back."""

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


@contextmanager
def small_disk(path: Path, size: str = "3m") -> Iterator[SmallDisk]:
    """Skips the test where mounting isn't allowed."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system isn't allowed here")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
