"""Reads files without hanging and without changing them: their bytes in order, and what in a folder is none."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

READ_SIZE = 1 << 20
_SIZELESS_MAX = 64 << 20  # bytes of a file that names no size, as those of /proc
_KINDS = {
    stat.S_IFIFO: "a named pipe: not read",
    stat.S_IFSOCK: "a socket: not read",
    stat.S_IFBLK: "a device: not read",
    stat.S_IFCHR: "a device: not read",
}
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.ENOENT, errno.ENODATA)  # no such thing there, or gone meanwhile
Told = Callable[[str, str], None]  # place, why it was not read


class File:
    """An open regular file, read at places of its own: nobody else's position moves."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from there; fewer at the end."""
        return os.pread(self._descriptor, size, offset)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) in order, without holes. What is appended meanwhile isn't waited for."""
        end = self.size or _SIZELESS_MAX
        offset = self._next_data(0)
        while offset < end:
            piece = self.read(offset, min(READ_SIZE, end - offset))
            if not piece:
                return
            yield offset, piece
            offset += len(piece)
            if not any(piece):
                offset = self._next_data(offset)

    def _next_data(self, offset: int) -> int:
        """Past a hole, if one is there."""
        if not self.size:
            return offset
        try:
            return os.lseek(self._descriptor, offset, os.SEEK_DATA)
        except OSError:  # nothing but a hole follows, or the file system can't tell
            return self.size if offset and offset < self.size and not self.read(offset, 1).strip(b"\0") else offset


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """A regular file. Raises OSError for anything else, or where it can't be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        yield File(descriptor)
    finally:
        os.close(descriptor)


def walk(
    root: Path,
    told: Told,
    *,
    seen: set[tuple[int, int]],
    since: float | None = None,
    named: Callable[[Path], None] = lambda path: None,
) -> Iterator[Path]:
    """Every regular file below, each once however many names it has. Symbolic links aren't followed: one that leads
    outside is told. With `since`, files that didn't change from then on are left out, and what isn't a file isn't told.
    `named` gets every name, of whatever kind, that changed since."""
    whole = root.resolve()
    folders = [whole]
    while folders:
        folder = folders.pop()
        try:
            mode = folder.lstat()
        except OSError as error:
            told(str(folder), _why(error))
            continue
        changed = since is None or max(mode.st_mtime, mode.st_ctime) >= since
        if changed:
            named(folder)
        if stat.S_ISDIR(mode.st_mode):
            if (mode.st_dev, mode.st_ino) in seen:
                continue
            seen.add((mode.st_dev, mode.st_ino))
            try:
                with os.scandir(folder) as entries:
                    folders += sorted((Path(entry.path) for entry in entries), reverse=True)
            except OSError as error:
                told(str(folder), _why(error))
        elif stat.S_ISLNK(mode.st_mode):
            target = Path(os.path.realpath(folder))
            there = os.path.exists(target)  # noqa: PTH110  a Path raises for a name that is too long to be one
            if since is None and not target.is_relative_to(whole) and there:
                told(str(folder), "a symbolic link to a place outside: not followed")
        elif not stat.S_ISREG(mode.st_mode):
            if since is None:
                told(str(folder), _KINDS.get(stat.S_IFMT(mode.st_mode), "not a file: not read"))
        elif (mode.st_dev, mode.st_ino) not in seen and changed:
            seen.add((mode.st_dev, mode.st_ino))
            yield folder


def attributes(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, value) of each extended attribute that one may read. Raises OSError where there are some that one may not."""
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return
        raise
    for name in names:
        yield name, os.getxattr(path, name)


def _why(error: OSError) -> str:
    return f"can't be read: {error.strerror or error}"
