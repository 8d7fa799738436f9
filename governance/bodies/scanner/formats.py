"""Which reader a file needs beside the search of its bytes, told by its content."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from governance.bodies.scanner import files, postgres_files, redis_dump, sqlite_file
from governance.bodies.scanner.files import File
from governance.bodies.scanner.value import Value


def values(file: File, path: Path) -> Iterator[Value]:
    """What the file's format hides from a search of its bytes; nothing for a format that hides nothing."""
    head = file.read(0, 64)
    database = sqlite_file.database_of(path)
    if head.startswith((sqlite_file.MAGIC, *sqlite_file.WAL_MAGICS, sqlite_file.JOURNAL_MAGIC)) or database:
        with files.opened(database) if database else nullcontext(None) as beside:
            yield from sqlite_file.values(file, beside)
    elif head.startswith(redis_dump.MAGIC):
        yield from redis_dump.dump_values(file)
        yield from redis_dump.append_only_values(file)  # commands may follow a dump
    elif redis_dump.is_append_only(head):
        yield from redis_dump.append_only_values(file)
    elif postgres_files.is_log(file):
        yield from postgres_files.log_values(file)
    elif postgres_files.is_table(file):
        yield from postgres_files.table_values(file)
