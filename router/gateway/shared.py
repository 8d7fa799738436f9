"""State that worker processes on one machine share through one memory-mapped file, `run/shared.mm` (0600).

Layout, little-endian 64-bit words:

    page 0   word 0 magic | 1 version | 2 slots | 3..6 boot id | 8 generation | 16 recall | 24 overflows
    after it slots + WINDOW cells of 32 bytes: key (16) | theoretical arrival time, ns (8) | spare (8)
    last     two cells for what found no slot, one each for requests and tokens

A reader of a counter does one aligned load and no system call. Writers, and everything about cells, hold a short
exclusive lock: a byte range of the file under an open-file-description lock (fcntl(2)), which the kernel lets go
when its holder dies, so SIGKILL at any line leaves at most one cell half-updated: a time that is too early by one
request. Times are CLOCK_MONOTONIC, one for the whole machine; a file from before a reboot is made anew, as is one of
another version or size when nobody else has it open.

When all slots of a key's window are in use by others the key shares an overflow cell with everyone in the same
position: they limit each other, so the table fails towards refusing, never towards unlimited. `overflows` counts it.

Keys are keyed hashes made by the caller (`ratelimit.cell_key`): no id and no address is in the file.
"""

import errno
import fcntl
import mmap
import os
import secrets
import struct
import threading
import time
from pathlib import Path
from typing import Final

from governance.errors import ConfigurationError, ValueAPIError

MAGIC: Final = int.from_bytes(b"VAPISHM1", "little")
VERSION: Final = 1
SLOTS_DEFAULT: Final = 65536
WINDOW: Final = 16
CELL_BYTES: Final = 32
KEY_BYTES: Final = 16
LOCK_WAIT_S_MAX: Final = 0.25

_PAGE: Final = 4096
_GENERATION: Final = 8  # word numbers, each counter on a cache line of its own
_RECALL: Final = 16
_OVERFLOWS: Final = 24
_LOCK_AT: Final = 1 << 40  # far behind the data: the range stands for the whole file
# struct flock of 64-bit Linux: type, whence, start, len, pid
_FLOCK: Final = struct.Struct("@hhqqi4x")


class SharedBusy(ValueAPIError):
    """The lock's holder doesn't move (stopped, swapped out): callers go on without shared state rather than wait."""


class Shared:
    """One process's handle. Threads may share it; a forked child must open its own (`RuntimeError` otherwise)."""

    def __init__(self, fd: int, slots: int) -> None:
        """Use `Shared.open`."""
        self._fd = fd
        self._pid = os.getpid()
        self._slots = slots
        self._threads = threading.Lock()
        self._map = mmap.mmap(fd, _size(slots))
        self._words = memoryview(self._map).cast("Q")
        self._times = memoryview(self._map).cast("q")

    @classmethod
    def open(cls, path: Path, slots: int = SLOTS_DEFAULT) -> "Shared":
        """Map `path`, made if missing. All processes must agree on `slots`, a power of two.

        Raises `ConfigurationError` when the file is of another version or size and a running process uses it.
        """
        if slots < WINDOW or slots & (slots - 1):
            raise ConfigurationError(f"shared memory slots must be a power of two, at least {WINDOW}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                _create(path, slots)
                continue
            try:
                if _adopt(fd, path, slots):
                    return cls(fd, slots)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def close(self) -> None:
        """Unmap. The file stays, for the others."""
        self._words.release()
        self._times.release()
        self._map.close()
        os.close(self._fd)

    def generation(self) -> int:
        """Moves when anything that processes cache (keys, accounts, policies) was changed: one load, no system call."""
        return self._words[_GENERATION]

    def bump(self) -> None:
        """Invalidate every process's caches. Raises `SharedBusy`."""
        self._add(_GENERATION)

    def recall(self) -> int:
        """Moves when leases are asked back: one load, no system call."""
        return self._words[_RECALL]

    def ask_recall(self) -> None:
        """Ask every process to give its leases back. Raises `SharedBusy`."""
        self._add(_RECALL)

    def overflows(self) -> int:
        """How often a key found no slot since the file was made."""
        return self._words[_OVERFLOWS]

    def __enter__(self) -> "Shared":
        """Hold the lock for `find` and the words it leads to. Raises `SharedBusy` after 250 ms."""
        if os.getpid() != self._pid:
            # The lock belongs to the open file, which a fork shares: parent and child would both hold it.
            raise RuntimeError("shared memory was opened before a fork: open it again in the child")
        if not self._threads.acquire(timeout=LOCK_WAIT_S_MAX):
            raise SharedBusy("shared memory is locked by another thread")
        try:
            self._lock_file()
        except BaseException:
            self._threads.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, _LOCK_AT, 1, 0))
        finally:
            self._threads.release()

    def find(self, key: bytes, now_ns: int, overflow: int) -> int:
        """The cell of `key`, claimed if it has none; for `time_of` and `set_time`, while the lock is held.

        A slot is free when its time has passed: a full bucket needs no memory. `overflow` (0 or 1) says which
        shared cell to use when the window is full.
        """
        first = (int.from_bytes(key[:8], "little") & (self._slots - 1)) * CELL_BYTES + _PAGE
        end = first + WINDOW * CELL_BYTES
        at = self._map.find(key, first, end)
        while at != -1:
            if (at - first) % CELL_BYTES == 0:
                return at
            at = self._map.find(key, at + 1, end)
        for at in range(first, end, CELL_BYTES):
            if self._times[at // 8 + 2] < now_ns:
                # Now isn't passed yet: the next key of the same request can't take the slot for free as well.
                self._times[at // 8 + 2] = now_ns
                self._map[at : at + KEY_BYTES] = key
                return at
        self._words[_OVERFLOWS] += 1
        return _PAGE + (self._slots + WINDOW + overflow) * CELL_BYTES

    def time_of(self, cell: int) -> int:
        """The cell's theoretical arrival time in ns."""
        return self._times[cell // 8 + 2]

    def set_time(self, cell: int, time_ns: int) -> None:
        """Store the cell's theoretical arrival time in ns."""
        self._times[cell // 8 + 2] = time_ns

    def _add(self, word: int) -> None:
        with self:
            self._words[word] += 1

    def _lock_file(self) -> None:
        request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LOCK_AT, 1, 0)
        give_up_at = 0.0
        while True:
            try:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, request)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            # Waiting in the kernel (SETLKW) would let one stopped worker stop all of them, so wait in small steps.
            now = time.monotonic()
            give_up_at = give_up_at or now + LOCK_WAIT_S_MAX
            if now > give_up_at:
                raise SharedBusy("shared memory is locked by a process that doesn't move")
            time.sleep(0.000_05)


def _size(slots: int) -> int:
    return _PAGE + (slots + WINDOW + 2) * CELL_BYTES


def _boot_id() -> bytes:
    """Names this boot of the machine: monotonic times mean nothing in the next one."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except OSError:
        return bytes(16)


def _header(slots: int) -> bytes:
    return struct.pack("<QQQ", MAGIC, VERSION, slots) + _boot_id()


def _create(path: Path, slots: int, replace: bool = False) -> None:
    """Whole before it has its name: a crash leaves a temporary file, never half a `shared.mm`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # Real blocks now: a full disk must show here, not as SIGBUS at a later write.
        os.posix_fallocate(fd, 0, _size(slots))
        os.pwrite(fd, _header(slots), 0)
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
            draft.unlink()
    except FileExistsError:
        draft.unlink()  # a sibling was faster: use its file
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def _adopt(fd: int, path: Path, slots: int) -> bool:
    """True: `fd` is good, and marked as in use (flock, shared) as long as it is open. False: look at `path` again."""
    expected = _header(slots)
    if os.pread(fd, len(expected), 0) == expected and os.fstat(fd).st_size == _size(slots):
        fcntl.flock(fd, fcntl.LOCK_SH)
        try:
            return os.path.samestat(os.fstat(fd), path.stat())  # replaced meanwhile?
        except FileNotFoundError:
            return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(
            "run/shared.mm has another version or size and is in use: stop the other ValueAPI processes of this home"
        ) from None
    try:
        if os.path.samestat(os.fstat(fd), path.stat()):
            _create(path, slots, replace=True)
    except FileNotFoundError:
        return False
    return False
