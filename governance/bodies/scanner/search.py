"""A search: everything that came to rest at the given places is looked through for needles."""

import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from governance.bodies.scanner import files, process
from governance.bodies.scanner.automaton import Automaton
from governance.bodies.scanner.files import File
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.report import Finding, Report, Unread
from governance.bodies.scanner.stream import Place, Stream

Progress = Callable[[int, int | None, str], None]  # bytes done, bytes in all where known, place


class Search:
    """Look through places one after another, then ask for the report. Nothing is changed where it looks."""

    def __init__(
        self, needles: Sequence[Needle], *, progress: Progress | None = None, automaton: Automaton | None = None
    ) -> None:
        self._needles = needles
        self._automaton = automaton or Automaton(needles)
        self._progress = progress or (lambda done, total, place: None)
        self._findings: dict[tuple[int, str, str], Finding] = {}
        self._unread: dict[tuple[str, str], Unread] = {}
        self._seen: set[tuple[int, int]] = set()
        self._bytes_read = self._files = 0
        self._begun = time.monotonic()

    def again(self) -> "Search":
        """A fresh search for the same needles: what was looked through may have changed since."""
        return Search(self._needles, progress=self._progress, automaton=self._automaton)

    def place(self, name: str) -> Place:
        """Where what is found or can't be read is told under this name."""

        def found(needle: int, offset: int | None, form: str, matched: int) -> None:
            key = (needle, name, form)
            known = self._findings.get(key)
            if known is None:
                self._findings[key] = Finding(self._needles[needle].name, name, offset, form, matched)
            elif matched > known.matched:
                known.matched = matched

        return Place(self._automaton, found, lambda why: self.not_read(name, why))

    def not_read(self, place: str, why: str) -> None:
        """Record a gap."""
        self._unread.setdefault((place, why), Unread(place, why))

    def bytes(self, data: bytes, place: str) -> None:
        """Look through bytes that the caller has."""
        self._count(len(data), None, place)
        stream = Stream(self.place(place))
        stream.feed(data)
        stream.close()

    def path(self, path: Path) -> None:
        """Look through a file, or a folder with all below it: every file's bytes, and what its format hides."""
        for file in files.walk(path, self.not_read, seen=self._seen):
            self.file(file, str(file))

    def process(self, pid: int) -> None:
        """Look through what a process and its children hold open or mapped, and what they were started with."""
        for each in process.family(pid):
            self._process(each)

    def _process(self, pid: int) -> None:
        for reached in (process.open_files, process.mapped_files):
            try:
                for path, name in reached(pid):
                    self._once(path, f"process {pid}: {name}")
            except OSError as error:
                self.not_read(f"process {pid}", f"can't be read: {error.strerror or error}")
        for path in process.strings(pid):
            self.file(path, f"process {pid}: {path.name}")

    def _once(self, path: Path, place: str) -> None:
        """A file that may be open under several descriptors, or lie in a folder that was looked through."""
        try:
            status = path.stat()
        except OSError as error:
            self.not_read(place, f"can't be read: {error.strerror or error}")
            return
        if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in self._seen:
            self._seen.add((status.st_dev, status.st_ino))
            self.file(path, place)

    def shared_places(self, since: float | None = None) -> None:
        """Look through shared memory, temporary folders and where crashes are kept; with `since` (seconds of the Unix clock)
        only what changed from then on."""
        for folder in process.shared_places():
            for file in files.walk(folder, self.not_read, seen=self._seen, since=since):
                self.file(file, str(file))

    def file(self, path: Path, place: str) -> None:
        """Look through one regular file, told under this name."""
        try:
            with files.opened(path) as file:
                self._files += 1
                self._file(file, self.place(place), place)
        except OSError as error:
            self.not_read(place, f"can't be read: {error.strerror or error}")

    def _file(self, file: File, place: Place, name: str) -> None:
        stream, at = Stream(place), 0
        for offset, piece in file.pieces():
            if offset != at:  # behind a hole
                stream.close()
                stream = Stream(place, offset=offset, whole=False)
            stream.feed(piece)
            at = offset + len(piece)
            self._count(len(piece), file.size, name)
        stream.close()

    def _count(self, size: int, total: int | None, place: str) -> None:
        self._bytes_read += size
        self._progress(self._bytes_read, None, place)

    def report(self) -> Report:
        """What was found and not read until now."""
        return Report(
            findings=list(self._findings.values()),
            unread=list(self._unread.values()),
            bytes_read=self._bytes_read,
            files=self._files,
            seconds=time.monotonic() - self._begun,
        )
