"""A private folder for the time of one command, below the home. What a killed command left there goes with the next one."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "backup-"


@contextmanager
def scratch(run_folder: Path) -> Iterator[Path]:
    """An empty folder, 0700, removed at the end."""
    run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(run_folder)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=run_folder))
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    # A sweep between the two lines above would take the folder; then the first write fails, and nothing is lost.
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(run_folder: Path) -> None:
    for folder in run_folder.glob(_PREFIX + "*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free: its command is dead
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
