"""What a running process holds beside its memory: open files, deleted ones too, shared memory, environment, command line."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_NOT_AT_REST = ("socket:", "pipe:", "anon_inode:", "/dev/")  # in transit, or no content; /dev/shm is kept below
_DELETED = " (deleted)"


def family(pid: int) -> Iterator[int]:
    """The process and all that descend from it."""
    yield pid
    for children in sorted((_PROC / str(pid) / "task").glob("*/children")):
        try:
            found = children.read_text().split()
        except OSError:  # the thread has ended meanwhile
            continue
        for child in found:
            yield from family(int(child))


def open_files(pid: int) -> Iterator[tuple[Path, str]]:
    """(where it can be read, what it is called) for every file that a descriptor of the process is open on. Raises OSError
    where one may not look."""
    folder = _PROC / str(pid) / "fd"
    for entry in sorted(folder.iterdir(), key=lambda each: int(each.name)):
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if not target.startswith(_NOT_AT_REST) or target.startswith("/dev/shm"):  # noqa: S108
            yield entry, target


def mapped_files(pid: int) -> Iterator[tuple[Path, str]]:
    """(where it can be read, what it is called) for what is mapped and has no name any more. Raises OSError as above."""
    seen = set()
    for line in (_PROC / str(pid) / "maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].endswith(_DELETED) and (inode := (fields[3], fields[4])) not in seen:
            seen.add(inode)
            first, last = (part.lstrip("0") or "0" for part in fields[0].split("-"))
            yield _PROC / str(pid) / "map_files" / f"{first}-{last}", fields[5]


def strings(pid: int) -> Iterator[Path]:
    """Its environment and its command line."""
    yield from (_PROC / str(pid) / name for name in ("environ", "cmdline"))


def shared_places() -> list[Path]:
    """Where processes of this machine leave files that nobody asked for: shared memory, temporary folders, crashes."""
    wanted = [
        *(Path("/dev/shm"), Path("/tmp"), Path("/var/tmp"), Path(tempfile.gettempdir())),  # noqa: S108
        *(Path("/var/lib/systemd/coredump"), Path("/var/crash"), Path("/cores")),
        _core_folder(),
    ]
    found: list[Path] = []
    for folder in wanted:
        if folder.is_dir() and not any(folder.resolve().is_relative_to(known) for known in found):
            found.append(folder.resolve())
    return found


def _core_folder() -> Path:
    """Where the kernel writes core dumps, when by a path."""
    try:
        pattern = (_PROC / "sys/kernel/core_pattern").read_text().strip()
    except OSError:
        return Path.cwd()
    return Path(re.sub(r"[^/]*%.*", "", pattern) or "/").parent if pattern.startswith("/") else Path.cwd()
