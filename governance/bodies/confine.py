"""What a process that carries bodies gives up at its start, each measure tried afterwards and told as it was found.

Policy section 3: "We do NOT store the content of your API requests (prompts) or the resulting completions."
A measure counts as held by what the kernel answers, never because it was asked for: what must be refused is tried.
`confine` must run before any thread does, since Landlock binds the calling thread and those that it starts.
"""

import errno
import os
import pwd
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from governance import events
from governance.bodies import landlock, memory

UMASK = 0o077
MemoryLock = Literal["auto", "on", "off"]
_THREADS_WAIT_S = 2.0
_PROGRAM = Path(__file__).resolve().parents[2]
_PACKAGES = ("governance", "policies", "reports", "router")
_LOCK = (
    "let the service lock its memory (systemd: LimitMEMLOCK=infinity; containers: --ulimit memlock=-1), keep it from swap "
    "(systemd: MemorySwapMax=0) or turn swap off"
)
_LANDLOCK = (
    "run a kernel of Linux 5.13 or newer with landlock among its `lsm=`; containers: a seccomp profile that lets its system "
    "calls pass"
)


class Kept(StrEnum):
    """What a measure keeps: from coming to rest, or from others."""

    WRITES = "writes"  # files are written under the declared folders alone
    CORE_FILES = "core_files"
    MEMORY = "memory"  # not read by other processes, nor handed to a crash collector
    SWAP = "swap"
    FILE_MODES = "file_modes"  # new files are the owner's alone


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, as it was found. `mend`: what an operator does where it isn't held. No text names a person's path."""

    name: Kept
    held: bool
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Confinement:
    """All measures of one process."""

    process_id: int
    measures: tuple[Measure, ...]

    @property
    def held(self) -> bool:
        return all(measure.held for measure in self.measures)

    @property
    def missing(self) -> tuple[Measure, ...]:
        return tuple(measure for measure in self.measures if not measure.held)

    def words(self) -> dict[str, str]:
        """By measure: whether it is held, and how that was found."""
        return {
            str(measure.name): f"{'held' if measure.held else 'NOT held'}: {measure.detail}"
            for measure in self.measures
        }

    @property
    def event(self) -> str:
        return "bodies:confinement:held" if self.held else "bodies:confinement:not_confined"


_current: Confinement | None = None


def current() -> Confinement | None:
    """This process's; None where it wasn't confined by `confine`."""
    return _current


def harden() -> None:
    """What needs no setting, and comes before the first file is written: the owner's files alone, and no core file."""
    os.umask(UMASK)
    memory.no_core_file()


def confine(folders: Sequence[Path], *, lock: MemoryLock = "auto", on: bool = True) -> Confinement:
    """Give up what serving doesn't need: writing anywhere but beneath these folders, and memory that others may see.

    With `on` false only what `harden` does is done, and the rest is told as not held. Raises nothing: what can't be had
    is told by its measure.
    """
    global _current
    harden()
    measures = (
        (_writes(folders), _core_files(), _memory(), _swap(lock), _file_modes())
        if on
        else (_off(Kept.WRITES), _core_files(), _off(Kept.MEMORY), _off(Kept.SWAP), _file_modes())
    )
    _current = Confinement(os.getpid(), measures)
    return _current


def record(confinement: Confinement) -> None:
    """Into the event log. It waits for the disk: while a loop runs, `record_current`."""
    events.emit(confinement.event, _detail(confinement))


async def record_current() -> None:
    """This process's confinement into the event log, if it was confined."""
    if _current is not None:
        await events.emit_async(_current.event, _detail(_current))


def _detail(confinement: Confinement) -> dict[str, events.Detail]:
    return {"process_id": confinement.process_id, **confinement.words()}


def _off(name: Kept) -> Measure:
    return Measure(name, False, "turned off by VALUEAPI_CONFINEMENT", "set VALUEAPI_CONFINEMENT=on")


def _core_files() -> Measure:
    held = memory.no_core_file()
    return Measure(Kept.CORE_FILES, held, "RLIMIT_CORE is 0" if held else "RLIMIT_CORE can't be set to 0")


def _memory() -> Measure:
    held = memory.not_dumpable()
    return Measure(Kept.MEMORY, held, "PR_GET_DUMPABLE is 0" if held else "the kernel didn't take PR_SET_DUMPABLE")


def _file_modes() -> Measure:
    os.umask(UMASK)
    found = memory.status("Umask") or "not told"
    return Measure(Kept.FILE_MODES, found == f"{UMASK:04o}", f"umask {found}")


def _swap(lock: MemoryLock) -> Measure:
    if lock != "off" and memory.may_lock() and memory.lock():
        return Measure(Kept.SWAP, True, "all memory is locked, that of later mappings too")
    taken = memory.swap()
    if taken is None:
        return Measure(Kept.SWAP, lock != "on", "memory isn't locked; there is no swap that would take it", _LOCK)
    return Measure(Kept.SWAP, False, f"memory isn't locked, and {taken} may take it", _LOCK)


def _writes(folders: Sequence[Path]) -> Measure:
    if not landlock.version():
        return Measure(Kept.WRITES, False, "this kernel has no Landlock: the process may write anywhere", _LANDLOCK)
    places = [folder.resolve() for folder in folders]
    outside = [place for place in _tried() if not any(place.is_relative_to(folder) for folder in places)]
    before = sum(_can_write(place) for place in outside)
    threads = _other_threads()
    try:
        version = landlock.restrict(places)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "an error")
        return Measure(Kept.WRITES, False, f"Landlock refused with {name}", _LANDLOCK)
    after = sum(not _is_refused(place) for place in outside)
    found = (
        f"Landlock {version}, writing beneath {len(places)} folders; tried in {len(outside)} others: "
        f"{before} took a file before, {after} now"
    )
    if threads:
        return Measure(Kept.WRITES, False, f"{found}; {threads} threads ran before and aren't bound", "report this")
    if any(place in _shared_places() for place in places):
        mend = "give the stores and the key file folders of their own"
        return Measure(Kept.WRITES, False, f"{found}; a declared folder is one that everybody writes to", mend)
    if any(map(_is_too_wide, places)):
        mend = (
            "keep the stores and the key file in folders of their own, beside the program and not in a home directory"
        )
        return Measure(Kept.WRITES, False, f"{found}; a declared folder holds the program or a user's home", mend)
    return Measure(Kept.WRITES, not after, found, _LANDLOCK)


def _is_too_wide(place: Path) -> bool:
    """Whether writing there changes what a shell or the next start of this program would run."""
    own = (*_homes(), _PROGRAM)
    return any(each.is_relative_to(place) for each in own) or any(
        place.is_relative_to(_PROGRAM / name) for name in _PACKAGES
    )


def _homes() -> list[Path]:
    named = [os.environ.get("HOME")]
    with suppress(KeyError):  # a container's user without an entry
        named.append(pwd.getpwuid(os.geteuid()).pw_dir)
    return [Path(name).resolve() for name in named if name]


def _shared_places() -> list[Path]:
    named = (os.environ.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp", "/dev/shm", "/")  # noqa: S108
    return [place for place in dict.fromkeys(Path(name).resolve() for name in named) if place.is_dir()]


def _tried() -> list[Path]:
    """Where a file of a careless library would land, or code that runs at the next start."""
    own = [Path("/proc/self/cwd").resolve(), *_homes(), _PROGRAM]
    return [place for place in dict.fromkeys([*_shared_places(), *own]) if place.is_dir()]


def _can_write(folder: Path) -> bool:
    """Whether a file can be made there; none gets a name."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


def _is_refused(folder: Path) -> bool:
    """Whether making a file is refused, as a library would make it."""
    path = folder / f".valueapi-{secrets.token_hex(8)}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    os.close(handle)
    with suppress(OSError):
        path.unlink()
    return False


def _other_threads() -> int:
    """Threads beside this one, once those that are ending have ended. proc_pid_task(5)."""
    until = time.monotonic() + _THREADS_WAIT_S
    while True:
        others = int(memory.status("Threads") or 1) - 1
        if others <= 0 or time.monotonic() > until:
            return others
        time.sleep(0.005)
