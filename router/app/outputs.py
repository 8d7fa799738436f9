"""Where a serving process's standard output and error go: each leaves it (`confinement_left`) for the self-probe, which may
not look at /proc.

A pipe or socket leads to somebody else (journald, a container's log driver), who keeps what is written there.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from router.app import confinement_left

_ELSEWHERE: Final = "pipe"
_NOWHERE: Final = "device"
KINDS: Final = (_ELSEWHERE, _NOWHERE)


def current() -> list[str]:
    """Where this process's go, in the words of `kind`."""
    return [kind(number) for number in (1, 2)]


def kind(number: int) -> str:
    """`pipe` (sockets too), `device` (a terminal, /dev/null, closed) or a regular file's absolute path."""
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return _NOWHERE
    if stat.S_ISREG(mode):
        return str(Path(f"/proc/self/fd/{number}").readlink())
    return _NOWHERE if stat.S_ISCHR(mode) else _ELSEWHERE


def unsearched(run_folder: Path, pids: Iterable[int], searched: Sequence[Path], logs: Sequence[Path]) -> str | None:
    """Why what these processes print isn't searched; None where it is. `logs` stand for what pipes lead to."""
    asked = set(pids)
    for pid, places in confinement_left.prints(run_folder):
        for place in places if pid in asked else ():
            if place == _ELSEWHERE and not logs:
                return "What the service prints goes to a pipe: name where it is kept in VALUEAPI_SELF_PROBE_LOGS."
            below = any(Path(place).is_relative_to(each.resolve()) for each in searched)
            if place.startswith("/") and not below and not _read_through(pid, place):
                return (
                    "What the service prints goes to a file that isn't searched: name it in VALUEAPI_SELF_PROBE_LOGS."
                )
    return None


def _read_through(pid: int, place: str) -> bool:
    """Whether the search of what the process holds open reads that file: where one may look."""
    try:
        return any(str(entry.readlink()) == place for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
