"""The positive control of a run's own search: needles of its own that lie where it looks, and that it must find there.

The scanner's positive control shows what a search can do. This one shows what the search of this very run did: with its
needles, its walk, its reads and its way to look at processes.
"""

import base64
import secrets
import shutil
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from governance.bodies.scanner.files import READ_SIZE
from governance.bodies.scanner.needles import MATCHED_MIN, Needle

_ALPHABET: Final = string.ascii_lowercase + string.digits
_CHARS: Final = 55  # as many as a canary has
FIRST: Final = "seed, the first needle"
WHOLE: Final = "seed, whole as base64"
FRAGMENT: Final = "seed, 16 bytes of it"
SPLIT: Final = "seed, 16 bytes over the end of a read"
DEEP: Final = "seed, in the last place of the walk"
STARTED: Final = "seed, in an environment"
HELD: Final = "seed, in a deleted file that a child process holds open"
MAPPED: Final = "seed, in a deleted file that is mapped"
LAST: Final = "seed, the last needle"
# The child alone holds them. Both end with the probe, however that ends: their standard input closes.
_HOLDER: Final = """
import ctypes, os, sys
if not os.fork():
    held = open(sys.argv[1], "rb")
    for path in sys.argv[2:]:
        descriptor = os.open(path, os.O_RDONLY)
        libc = ctypes.CDLL(None)  # mmap of Python's keeps a descriptor open
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap(None, ctypes.c_size_t(os.fstat(descriptor).st_size), 1, 2, descriptor, ctypes.c_long(0))
        os.close(descriptor)
    for path in sys.argv[1:]:
        os.unlink(path)
    print(os.getpid(), flush=True)
sys.stdin.read()
"""


class Seeds:
    """Planted when it is made. `folder` and `pid` are to be looked at as the target's are; `names` are what must be found."""

    def __init__(self, scratch: Path | None) -> None:
        self._values = {name: _value() for name in _NAMES}
        if not _maps_can_be_read():  # root alone may, and the search tells that as a gap
            del self._values[MAPPED]
        # Resolved, as places are told.
        self.folder = Path(tempfile.mkdtemp(prefix="valueapi-probe-control-seeds-", dir=scratch)).resolve()
        try:
            self._plant()
            self._holder = self._hold()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        assert self._holder.stdout is not None
        self._pids = (self._holder.pid, int(self._holder.stdout.readline() or 0))

    def _plant(self) -> None:
        fragment = {name: value[MATCHED_MIN : 2 * MATCHED_MIN] for name, value in self._values.items()}
        self._write("first", b"\n" + fragment[FIRST] + b"\n")
        self._write("whole", b"\n" + base64.b64encode(b"before " + self._values[WHOLE] + b" after") + b"\n")
        self._write("fragment", b"\n" + fragment[FRAGMENT] + b"\n")
        self._write("split", b".\n" * (READ_SIZE // 2 - MATCHED_MIN // 4) + fragment[SPLIT] + b"\n")
        self._write("last", b"\n" + fragment[LAST] + b"\n")
        self._write("held", b"\n" + fragment[HELD] + b"\n")
        if MAPPED in self._values:
            self._write("mapped", b"\n" + fragment[MAPPED] + b"\n")
        deep = self.folder / "zzzz" / "zzzz"  # a walk goes by names
        deep.mkdir(parents=True)
        self._write("zzzz/zzzz/zzzz", b"\n" + fragment[DEEP] + b"\n")

    def _write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def _hold(self) -> subprocess.Popen[bytes]:
        files = [str(self.folder / "held"), *([str(self.folder / "mapped")] if MAPPED in self._values else [])]
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", _HOLDER, *files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"SEED": self._values[STARTED][MATCHED_MIN : 2 * MATCHED_MIN].decode()},
        )

    @property
    def pid(self) -> int:
        return self._holder.pid

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._values)

    @property
    def at_rest(self) -> frozenset[str]:
        """Those that lie in files, to be found also where no process is looked at."""
        return self.names - {STARTED, HELD, MAPPED}

    @property
    def bytes(self) -> int:
        """How much lies in the folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def around(self, needles: Iterable[Needle]) -> list[Needle]:
        """The needles of the run with one of these before, and the others behind."""
        own = [Needle(name, value) for name, value in self._values.items()]
        return [own[0], *needles, *own[1:]]

    def covers(self, place: str) -> bool:
        """Whether a place is of these, and says nothing about the target."""
        return place.startswith(str(self.folder)) or place.split(":")[0] in {f"process {pid}" for pid in self._pids}

    def end(self) -> None:
        """Take all of it away."""
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


_NAMES: Final = (
    FIRST,
    WHOLE,
    FRAGMENT,
    SPLIT,
    DEEP,
    STARTED,
    HELD,
    MAPPED,
    LAST,
)  # in the order in which they are loaded


def _value() -> bytes:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CHARS)).encode()


def _maps_can_be_read() -> bool:
    try:
        next(Path("/proc/self/map_files").iterdir()).stat()
    except (OSError, StopIteration):
        return False
    return True
