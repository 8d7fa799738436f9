"""Keeps what lies in memory out of what survives it: swap, core dumps, and the eyes of other processes.

Memory is locked where every later mapping is sure to be allowed: with an unlimited RLIMIT_MEMLOCK, or with CAP_IPC_LOCK in
the first user namespace. Under a limit, locking what comes would make a later mmap fail. mlockall(2), with MCL_ONFAULT:
only pages that are used count, so nothing is read in that wasn't.
"""

import ctypes
import mmap
import os
import resource
from pathlib import Path

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_PROBE_BYTES = 1 << 20
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")

_libc = ctypes.CDLL(None, use_errno=True)


def no_core_file() -> bool:
    """No core file from now on, and nobody but root can allow one again; whether the kernel says so."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def not_dumpable() -> bool:
    """Neither a core dump, a pipe to a crash collector included, nor another process of this user sees this memory.

    PR_SET_DUMPABLE(2const): /proc/PID belongs to root, and ptrace(2) is refused. An exec takes it back. Whether it is so.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return bool(_libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)


def may_lock() -> bool:
    """Whether all memory may be locked, now and later. A soft limit below an unlimited hard one is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY and soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
        soft = hard
    return soft == resource.RLIM_INFINITY or (_in_first_namespace() and _has_capability(_CAP_IPC_LOCK))


def lock() -> bool:
    """Lock all memory, now and later; whether a mapping made afterwards is seen to be locked."""
    if _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        return False
    before = _locked_kib()
    with mmap.mmap(-1, _PROBE_BYTES) as probe:
        probe[0] = 1
        return _locked_kib() - before >= _PROBE_BYTES // 1024


def swap() -> str | None:
    """What this process's memory could be swapped out to; None where nothing takes it."""
    try:
        areas = len((_PROC / "swaps").read_text().splitlines()) - 1  # proc_swaps(5): a head, and a line for each
    except OSError:
        return "a swap area, for all that can be told"
    if areas <= 0 or _group_is_kept_from_swap():
        return None
    return f"{areas} swap area{'s' if areas > 1 else ''}"


def _group_is_kept_from_swap() -> bool:
    """Whether the control group, or one above it, may use no swap (cgroup v2, memory.swap.max)."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return False
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    if own is None:
        return False
    group = _CGROUPS / own.lstrip("/")
    for folder in (group, *group.parents):
        try:
            if (folder / "memory.swap.max").read_text().strip() == "0":
                return True
        except OSError:
            pass
        if folder == _CGROUPS:
            break
    return False


def _in_first_namespace() -> bool:
    """Root of a user namespace of its own has the capability by name, and the limit all the same."""
    try:
        return (_PROC / "self" / "uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]
    except OSError:
        return False


def _has_capability(number: int) -> bool:
    return bool(int(status("CapEff") or "0", 16) >> number & 1)


def _locked_kib() -> int:
    return int((status("VmLck") or "0").split()[0])


def status(field: str, process: int | None = None) -> str | None:
    """A field of /proc/PID/status, of this process unless told; None where there is none. proc_pid_status(5)."""
    try:
        text = (_PROC / str(process or os.getpid()) / "status").read_text()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{field}:")), None)
