"""Reads rows of declared tables out of a copy of the data store without restoring it.

A copy is a SQLite file, with or without the WAL that was copied beside it, or a PostgreSQL dump in custom format.
"""

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import Column, Engine, LargeBinary, NullPool, Table, create_engine, inspect, select, type_coerce
from sqlalchemy.exc import DatabaseError

from governance.backup import copy_text, postgres
from governance.backup.form import Form, form_of
from governance.backup.scratch import scratch
from governance.errors import Rejected

Row = tuple[str, dict[str, Any]]
Wanted = Mapping[Table, Sequence[str]]
_ROWS_AT_ONCE = 500
_BESIDE = ("-wal", "-journal")
_TABLE_DATA = re.compile(r"\d+; \d+ \d+ TABLE DATA \S+ (.+) \S+")
_TABLE = re.compile(r"\d+; \d+ \d+ TABLE (?!ATTACH )\S+ (.+) \S+")


class Copy(Protocol):
    """An open copy."""

    def tables(self) -> frozenset[str]:
        """Names of the tables that it holds."""

    def rows(self, wanted: Wanted) -> Iterator[Row]:
        """Table name and values by column, as the mapped types yield them; sealed columns yield their envelope's bytes.

        Tables and columns that the copy doesn't have yet are left out. Raises Rejected where it is damaged.
        """


@contextmanager
def opened(file: Path, run_folder: Path) -> Iterator[Copy]:
    """Open a copy; it isn't changed. Raises Rejected for what is none."""
    form = form_of(file)
    if form is Form.SEALED:
        raise Rejected(f"{file} is a sealed backup of the key store: it holds no personal value.", field="backup")
    if form is Form.POSTGRESQL:
        yield _Dump(file)
        return
    with _sqlite(file, run_folder) as engine:
        yield _File(engine)


@contextmanager
def _sqlite(file: Path, run_folder: Path) -> Iterator[Engine]:
    beside = [end for end in _BESIDE if file.with_name(file.name + end).is_file()]
    if not beside:
        with _engine(file, "mode=ro&immutable=1") as engine:
            yield engine
        return
    # Reading would play the WAL into the file: that happens to a copy of both.
    with scratch(run_folder) as folder:
        for end in ("", *beside):
            shutil.copyfile(file.with_name(file.name + end), folder / ("copy" + end))
        with _engine(folder / "copy", "mode=rw") as engine:
            yield engine


@contextmanager
def _engine(file: Path, how: str) -> Iterator[Engine]:
    uri = f"file:{quote(str(file.absolute()))}?{how}"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool)
    try:
        yield engine
    except DatabaseError:
        raise Rejected(f"{file.name} is damaged: SQLite can't read it whole.", field="backup") from None
    finally:
        engine.dispose()


class _File:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def tables(self) -> frozenset[str]:
        return frozenset(inspect(self._engine).get_table_names())

    def rows(self, wanted: Wanted) -> Iterator[Row]:
        present = self.tables()
        for table, names in wanted.items():
            if table.name not in present:
                continue
            held = {column["name"] for column in inspect(self._engine).get_columns(table.name)}
            columns = [_bare(table.c[name]) for name in names if name in held]
            if not columns:
                continue
            with self._engine.connect() as connection:
                found = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(*columns))
                for row in found.mappings():
                    yield str(table.name), dict(row)


def _bare(column: Column[Any]) -> Any:
    sealed = getattr(column.type, "seals", False)
    return type_coerce(column, LargeBinary).label(column.name) if sealed else column


class _Dump:
    def __init__(self, file: Path) -> None:
        self._file = file

    def tables(self) -> frozenset[str]:
        return frozenset(dumped_tables(self._file))

    def rows(self, wanted: Wanted) -> Iterator[Row]:
        present = self.tables()
        kinds = {
            str(table.name): {name: table.c[name].type for name in names}
            for table, names in wanted.items()
            if table.name in present
        }
        if not kinds:
            return
        # All of it passes by: `--table` would miss the partitions of a table, which have other names.
        for name, texts in copy_text.parse(_script(self._file, "--data-only")):
            if name in kinds:
                kept = {column: kind for column, kind in kinds[name].items() if column in texts}
                yield name, {column: copy_text.value(texts[column], kind) for column, kind in kept.items()}


def dumped_tables(file: Path) -> set[str]:
    """Names of the tables in a dump."""
    lines = (line.decode().rstrip("\n") for line in _script(file, "--list"))
    found = (_TABLE_DATA.fullmatch(line) or _TABLE.fullmatch(line) for line in lines)
    return {match[1] for match in found if match is not None}


def _script(file: Path, what: str) -> Iterator[bytes]:
    """What pg_restore writes for a dump, line by line; no server is asked."""
    command = [postgres.program("pg_restore"), what, "--file=-", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
    assert process.stdout is not None
    try:
        yield from process.stdout
        if process.wait():
            raise Rejected(f"{file.name} is damaged: pg_restore can't read it whole.", field="backup")
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
