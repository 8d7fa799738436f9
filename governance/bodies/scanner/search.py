"""A search: everything that came to rest at the given places is looked through for needles."""

import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from governance.bodies.scanner import decode, files, formats, postgres_sql, process, redis_live
from governance.bodies.scanner.automaton import Automaton
from governance.bodies.scanner.files import File
from governance.bodies.scanner.names import Names
from governance.bodies.scanner.needles import Needle
from governance.bodies.scanner.report import Finding, Report, Unread
from governance.bodies.scanner.stream import Place, Stream
from governance.bodies.scanner.value import Seen, Value

Data = bytes  # the class has a method of that name
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
        self._names = Names(needles, self._automaton, self._named)
        self._begun = time.monotonic()

    def again(self) -> "Search":
        """A fresh search for the same needles: what was looked through may have changed since."""
        return Search(self._needles, progress=self._progress, automaton=self._automaton)

    def place(self, name: str) -> Place:
        """Where what is found or can't be read is told under this name, which is searched itself."""
        shown = self._names.shown(name)

        def found(needle: int, offset: int | None, form: str, matched: int) -> None:
            self._found(needle, shown, offset, form, matched)

        return Place(shown, self._automaton, found, lambda why: self.not_read(shown, why))

    def _found(self, needle: int, place: str, offset: int | None, form: str, matched: int) -> None:
        known = self._findings.get(key := (needle, place, form))
        if known is None:
            self._findings[key] = Finding(self._needles[needle].name, place, offset, form, matched)
        elif matched > known.matched:
            known.matched = matched

    def _named(self, needle: int, place: str, form: str, matched: int) -> None:
        self._found(needle, place, None, form, matched)

    def shown(self, name: str) -> str:
        """A place's name as it may be told: parts that hold a needle say so instead."""
        return self._names.shown(name)

    def not_read(self, place: str, why: str) -> None:
        """Record a gap."""
        place = self._names.shown(place)
        self._unread.setdefault((place, why), Unread(place, why))

    def bytes(self, data: Data, place: str) -> None:
        """Look through bytes that the caller has."""
        stream = Stream(self.place(place))
        self._count(len(data), None, stream.place.name)
        stream.feed(data)
        stream.close()

    def path(self, path: Path) -> None:
        """Look through a file, or a folder with all below it: every file's bytes, what its format hides, and names."""
        for file in files.walk(path, self.not_read, seen=self._seen, named=self.name):
            self.file(file, str(file))

    def name(self, path: Path) -> None:
        """Look through what a file, folder or link is called, where a link leads, and a folder's extended attributes."""
        place = self.place(str(path))
        if path.is_symlink():
            with suppress(FileNotFoundError):
                target = os.readlink(os.fsencode(path))  # noqa: PTH115  as it is: a Path drops `//`
                self._beside(f"{place.name}: where it leads", target)
        elif path.is_dir():
            self._attributes(path, place.name)

    def _attributes(self, path: Path, place: str) -> None:
        try:
            for name, value in files.attributes(path):
                self._beside(f"{place}: extended attribute {name}", value)
        except OSError as error:
            self.not_read(f"{place}: extended attributes", f"can't be read: {error.strerror or error}")

    def _beside(self, place: str, data: Data) -> None:
        stream = Stream(self.place(place), offset=None)
        stream.feed(data)
        stream.close()

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
            for file in files.walk(folder, self.not_read, seen=self._seen, since=since, named=self.name):
                self.file(file, str(file))

    async def postgres(self, url: str) -> None:
        """Look through a database by SQL: every table of every schema, large objects, and what the server shows of queries."""
        try:
            async with postgres_sql.connected(url) as connection:
                for place, why in await postgres_sql.out_of_reach(connection):
                    self.not_read(f"PostgreSQL: {place}", why)
                for table in await postgres_sql.tables(connection):
                    await self._table(connection, table)
                async for oid, pieces in postgres_sql.large_objects(connection):
                    stream = self._stream(f"PostgreSQL: large object {oid}")
                    async for piece in pieces:
                        self._feed(stream, piece)
                    stream.close()
        except postgres_sql.Unreachable as error:
            self.not_read("PostgreSQL", f"can't be read ({type(error).__name__})")

    async def _table(self, connection: postgres_sql.Connection, table: str) -> None:
        name = f"PostgreSQL: {table}"
        as_text, as_bytes, fields = self._stream(name), self._stream(name), postgres_sql.Fields()

        def take_bytes(data: Data) -> None:
            self._feed(as_bytes, data)
            for value in fields.feed(data):
                as_bytes.headless(value)

        try:
            await postgres_sql.copy_text(connection, table, lambda data: self._feed(as_text, data))
        except postgres_sql.Refused as error:
            self.not_read(name, f"can't be read ({type(error).__name__})")
            return
        with suppress(*postgres_sql.Refused):  # one of its types has no binary form, as the catalogue's have
            await postgres_sql.copy_binary(connection, table, take_bytes)
        as_text.close()
        as_bytes.close()

    async def redis(self, url: str) -> None:
        """Look through a running Redis or Valkey: every key with its value, and what the server remembers of commands."""
        place, stream = "", None
        try:
            async for name, part, goes_on in redis_live.values(url):
                if stream is not None and not (goes_on and name == place):
                    stream.close()
                    stream = None
                place = name
                stream = stream or self._stream(f"Redis: {name}")
                self._feed(stream, part)
        except (OSError, redis_live.Refused) as error:
            self.not_read("Redis", f"can't be read ({type(error).__name__})")
        if stream is not None:
            stream.close()

    def _stream(self, place: str) -> Stream:
        return Stream(self.place(place), offset=None)

    def _feed(self, stream: Stream, data: Data) -> None:
        stream.feed(data)
        self._count(len(data), None, stream.place.name)

    def file(self, path: Path, place: str) -> None:
        """Look through one regular file, told under this name."""
        try:
            with files.opened(path) as file:
                self._files += 1
                self._file(file, self.place(place))
                within = self.place(place)
                for value in formats.values(file, path):
                    self._value(value, within)
                self._attributes(path, place)
        except OSError as error:
            self.not_read(place, f"can't be read: {error.strerror or error}")

    def _file(self, file: File, place: Place) -> None:
        stream, at = Stream(place), 0
        for offset, piece in file.pieces():
            if offset != at:  # behind a hole
                stream.close()
                stream = Stream(place, offset=offset, whole=False)
            stream.feed(piece)
            at = offset + len(piece)
            self._count(len(piece), file.size, place.name)
        stream.close()

    def _value(self, value: Value, place: Place) -> None:
        if value.seen is Seen.WHOLE and decode.is_printed(value.data) and not decode.is_run(value.data):
            return
        stream = Stream(place, forms=(value.form,), offset=value.offset, nested=True)
        match value.seen:
            case Seen.NOT:
                place.grow(len(value.data))
                stream.feed(value.data)
            case Seen.WHOLE:
                stream.headless(value.data)
            case Seen.SOMEWHERE_WITHIN:
                stream.headless_within(value.data)
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
