"""Every place where the positive control plants needles, and how each is looked through: files and SQLite."""

import base64
import json
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from governance.bodies.scanner.control_encodings import Encoding
from governance.bodies.scanner.files import READ_SIZE
from governance.bodies.scanner.search import Search

Planted = Sequence[tuple[Encoding, bytes]]


class Sink(Protocol):
    """A kind of place. `takes_headless`: whether a value's start can be told there."""

    name: str
    takes_headless: bool
    padding: int  # bytes of filler that make a value large

    async def plant(self, values: Planted) -> None:
        """Let them come to rest."""

    async def look(self, search: Search) -> None:
        """Look through it as the scanner does in earnest."""

    async def clear(self) -> None:
        """Take away what lies outside of the control's own folder."""


@dataclass
class _Local:
    folder: Path
    name: str = ""
    takes_headless: bool = True
    padding: int = 0

    def __post_init__(self) -> None:
        self.folder = self.folder / self.name.replace(" ", "-")
        self.folder.mkdir(parents=True)

    async def plant(self, values: Planted) -> None:
        for number, (_, data) in enumerate(values):
            (self.folder / f"{number}.bin").write_bytes(data)

    async def look(self, search: Search) -> None:
        search.path(self.folder)

    async def clear(self) -> None:
        return


@dataclass
class Elsewhere(_Local):
    """Files in a folder of the machine's own, such as shared memory."""

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="control-", dir=self.folder))

    async def clear(self) -> None:
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()


@dataclass
class Link(Elsewhere):
    """Where symbolic links lead; bytes that are no text in base64, as no name holds a NUL.
    A confined process can't make any."""

    async def plant(self, values: Planted) -> None:
        for number, (encoding, data) in enumerate(values):
            (self.folder / str(number)).symlink_to(
                base64.b64encode(data).decode() if encoding.binary else data.decode()
            )


@dataclass
class JsonLog(_Local):
    """A line of JSON each; bytes that are no text come as base64, as a log would have them."""

    async def plant(self, values: Planted) -> None:
        with (self.folder / "service.log").open("w") as log:
            for number, (encoding, data) in enumerate(values):
                text = base64.b64encode(data).decode() if encoding.binary else data.decode()
                log.write(
                    json.dumps({"time": f"2026-01-01T00:00:{number:02}Z", "event": "planted", "detail": text}) + "\n"
                )


@dataclass
class TwoReads(_Local):
    """Files read in two pieces that meet within the value."""

    async def plant(self, values: Planted) -> None:
        for number, (_, data) in enumerate(values):
            # The needle itself lies in the last half of what is written.
            before = READ_SIZE - len(data) * 3 // 4
            (self.folder / f"{number}.bin").write_bytes(b". " * (before // 2) + b"."[: before % 2] + data)


@dataclass
class DeletedFile(_Local):
    """Files without a name that a process, this one, has open."""

    held: list[int] = field(default_factory=list)

    async def plant(self, values: Planted) -> None:
        for number, (_, data) in enumerate(values):
            path = self.folder / str(number)
            self.held.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            os.write(self.held[-1], data)
            path.unlink()

    async def look(self, search: Search) -> None:
        search.process(os.getpid())

    async def clear(self) -> None:
        while self.held:
            os.close(self.held.pop())


@dataclass
class CoreDump(_Local):
    """A process's memory: an ELF file in which values lie between other bytes, across its pages."""

    async def plant(self, values: Planted) -> None:
        with (self.folder / "core.1").open("wb") as core:
            core.write(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\0\x3e\0" + bytes(4076))
            for _, data in values:
                core.write(os.urandom(4090 - len(data) % 4096) + b"\0" * 8 + data + b"\0" * 64)


@dataclass
class Sqlite(_Local):
    """Rows of a SQLite file; `then` is what happens to them, `journal` how the file is written."""

    then: Sequence[str] = ()
    journal: str = "DELETE"
    keep_open: bool = False
    beside: int = 0
    connection: sqlite3.Connection | None = None

    async def plant(self, values: Planted) -> None:
        connection = sqlite3.connect(self.folder / "data.db", isolation_level=None)
        connection.execute(f"PRAGMA journal_mode={self.journal}")
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v, kept INTEGER)")
        if self.keep_open:
            connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("BEGIN")
        for encoding, data in values:
            connection.execute("INSERT INTO t (v) VALUES (?)", (data if encoding.binary else data.decode(),))
            if self.beside:  # what keeps the page, so that nothing is moved over what was freed
                connection.execute("INSERT INTO t (v, kept) VALUES (zeroblob(?), 1)", (self.beside,))
        connection.execute("COMMIT")
        for statement in self.then:
            connection.execute(statement)
        if self.keep_open:  # closing would play the log into the file
            self.connection = connection
        else:
            connection.close()

    async def look(self, search: Search) -> None:
        search.path(self.folder)

    async def clear(self) -> None:
        if self.connection is not None:
            with closing(self.connection):
                self.connection = None


class SqliteWal(Sqlite):
    """The log alone: the database file has nothing of it yet."""

    async def look(self, search: Search) -> None:
        search.path(self.folder / "data.db-wal")


class SqliteJournal(Sqlite):
    """The journal that a transaction left: pages as they were before it."""

    async def look(self, search: Search) -> None:
        search.path(self.folder / "data.db-journal")


@dataclass
class AppendOnly(_Local):
    """Redis's append-only file: commands as clients send them."""

    async def plant(self, values: Planted) -> None:
        with (self.folder / "appendonly.aof").open("wb") as log:
            for number, (_, data) in enumerate(values):
                log.write(
                    b"*3\r\n$3\r\nSET\r\n$%d\r\n%d\r\n$%d\r\n%b\r\n" % (len(str(number)), number, len(data), data)
                )


_LARGE = 6000  # bytes: more than a page


def local_sinks(folder: Path) -> list[Sink]:
    """Files of every kind that services leave."""
    freed = ("DELETE FROM t",)
    return [
        _Local(folder, "file"),
        JsonLog(folder, "log of JSON lines"),
        TwoReads(folder, "file over two reads", takes_headless=False),
        DeletedFile(folder, "deleted file that is open"),
        CoreDump(folder, "core dump", takes_headless=False),
        Sqlite(folder, "SQLite row"),
        Sqlite(folder, "SQLite overflow pages", padding=_LARGE),
        Sqlite(folder, "SQLite deleted row", then=("DELETE FROM t WHERE kept IS NULL",), beside=1450),
        Sqlite(folder, "SQLite free page", then=freed),
        Sqlite(folder, "SQLite free overflow pages", then=freed, padding=_LARGE),
        SqliteWal(folder, "SQLite log", journal="WAL", keep_open=True),
        SqliteWal(folder, "SQLite log, large values", journal="WAL", keep_open=True, padding=_LARGE),
        SqliteJournal(folder, "SQLite rollback journal", journal="PERSIST", then=("UPDATE t SET v = zeroblob(1)",)),
        AppendOnly(folder, "Redis append-only file"),
    ]


def shared_sinks() -> list[Sink]:
    """Places that all programs of a machine share, and what a confined process can't make."""
    shared = Path("/dev/shm")  # noqa: S108  the place itself is meant
    return [
        Elsewhere(Path(tempfile.gettempdir()), "temporary file"),
        Link(Path(tempfile.gettempdir()), "symbolic link"),
        *([Elsewhere(shared, "shared memory")] if shared.is_dir() else []),
    ]
