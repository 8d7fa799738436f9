"""Where workers leave their figures for /metrics: a folder of its own for each supervisor, below one of the home.

A supervisor and its workers hold their folder by a lock that the kernel frees with the last of them, so that another
supervisor of the same home knows the folders of the dead from those in use, and clears away only the former.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path


def folders(run_folder: Path) -> list[Path]:
    """The folder that holds them, whether there is one yet or not, and below it those of supervisors."""
    home = _home(run_folder)
    return [home, *sorted(home.glob("*/"))]


def begin(run_folder: Path) -> tuple[Path, int]:
    """An empty folder, since counters begin with the service, and the descriptor that holds it; workers inherit that."""
    home = _home(run_folder)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    door = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # One supervisor at a time: a folder that was just made isn't held yet.
        fcntl.flock(door, fcntl.LOCK_EX)
        for folder in home.glob("*/"):
            _clear_if_dead(folder)
        own = Path(tempfile.mkdtemp(dir=home))  # 0700
        return own, _hold(own)
    finally:
        os.close(door)


def _home(run_folder: Path) -> Path:
    return run_folder.absolute() / "metrics"


def _clear_if_dead(folder: Path) -> None:
    try:
        held = _hold(folder)
    except OSError:  # in use, or another user's
        return
    shutil.rmtree(folder, ignore_errors=True)
    os.close(held)


def _hold(folder: Path) -> int:
    """Raises BlockingIOError where somebody holds it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    return handle
