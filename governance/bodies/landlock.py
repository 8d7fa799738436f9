"""Landlock by its three system calls: from here on a process writes under named folders alone. landlock(7).

It binds the calling thread and all that it starts later, root too, and can't be taken back. What a kernel's version
doesn't know yet is left out: `restrict` asks for the rights of versions 1 to 7, and tells which version answered.
Reading and executing stay as they are. Descriptors that are open already stay open: standard output is one.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # of every architecture but alpha
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
_PR_SET_NO_NEW_PRIVS = 38

_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (1 << bit for bit in range(6, 13))
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_SINCE = {2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}
_OF_VERSION_1 = (
    _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_CHAR | _MAKE_DIR | _MAKE_REG | _MAKE_SOCK | _MAKE_FIFO
    | _MAKE_BLOCK | _MAKE_SYM
)  # fmt: skip
# A symbolic link's text, a device and a pipe are ways round: nothing of ours makes them, not even under the home.
_IN_FOLDERS = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_DEVICES = _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_SCOPES_SINCE = 6
_SCOPES = 1 << 0 | 1 << 1  # abstract unix sockets and signals: to processes of the same confinement, or below it, alone

DEVICES = (Path("/dev/null"),)
"""What may be written to besides; it keeps nothing."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none, or it is turned off."""
    try:
        return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:  # ENOSYS: not built in; EOPNOTSUPP: not among the kernel's `lsm=`
        return 0


def restrict(folders: Iterable[Path]) -> int:
    """Let the calling thread, and what it starts later, write beneath these folders alone; the version that holds it.

    Raises OSError where there is no Landlock or a folder can't be opened; then nothing is restricted.
    """
    found = _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    handled = _OF_VERSION_1
    for since, right in _SINCE.items():
        handled |= right if found >= since else 0
    asked = _Ruleset(handled, 0, _SCOPES if found >= _SCOPES_SINCE else 0)
    # An older kernel refuses fields that it doesn't know, unless they are nought.
    ruleset = _syscall(_CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(ctypes.sizeof(asked)), ctypes.c_uint32(0))
    try:
        for folder in folders:
            _allow(ruleset, folder, handled & _IN_FOLDERS)
        for device in filter(Path.exists, DEVICES):
            _allow(ruleset, device, handled & _OF_DEVICES)
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        _syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return found


def _allow(ruleset: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Beneath(rights, handle)
        _syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(handle)


def _syscall(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return result
