"""Who uses the stores of a home: everybody shares a lock, a restore has it alone. The kernel frees it with its holder."""

import fcntl
import os
from pathlib import Path

from governance.errors import Conflict

_FILE = "stores.lock"


def share(run_folder: Path) -> int:
    """Hold the stores in use; close the descriptor to end it. Raises Conflict while a restore runs."""
    return _hold(run_folder, fcntl.LOCK_SH, "A restore is running on this home: wait until it has ended.")


def alone(run_folder: Path) -> int:
    """Hold the stores alone; a child that inherits the descriptor holds them on. Raises Conflict while anyone uses them."""
    return _hold(run_folder, fcntl.LOCK_EX, "The service, or a command, is using this home: stop it first.")


def _hold(run_folder: Path, kind: int, refusal: str) -> int:
    run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(run_folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Conflict(refusal) from None
    return handle


def holders(run_folder: Path) -> list[int]:
    """Processes that hold the stores in use, but for this one (Linux)."""
    path = (run_folder / _FILE).absolute()
    locking = _locking(path)
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                held = any(str(handle.readlink()) == str(path) for handle in (process / "fd").iterdir())
            except PermissionError:  # another user's, or one that lets nobody look (a serving process)
                held = int(process.name) in locking
            except OSError:  # one that has just ended
                continue
            if held:
                found.append(int(process.name))
    return sorted(found)


def _locking(path: Path) -> set[int]:
    """Processes that the kernel lists with a lock on this file. proc_locks(5)."""
    try:
        number = path.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return set()
    # The device is left out: what is listed isn't always what stat(2) says (btrfs, overlayfs).
    fields = [line.split() for line in lines]
    return {int(each[4]) for each in fields if each[1] == "FLOCK" and each[5].rpartition(":")[2] == str(number)}
