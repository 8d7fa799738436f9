"""A consistent copy of one store while the service goes on: VACUUM INTO on SQLite, pg_dump -Fc on PostgreSQL.

Both read one snapshot. Neither carries free pages or dead rows: what was deleted before doesn't travel.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from governance.backup import postgres
from governance.db import Database
from governance.errors import Rejected

Progress = Callable[[int], None]
"""Told now and then how many bytes are written."""
_LOOK_SECONDS = 0.25


async def copy_store(db: Database, target: Path, fd: int, progress: Progress) -> None:
    """Copy a store into an empty file of ours, durably. Raises Rejected (disk full), ProgramFailed, ConfigurationError."""
    copying = asyncio.ensure_future(_vacuum_into(db, target) if db.sqlite else _dump(db, fd))
    try:
        while not copying.done():
            await asyncio.wait({copying}, timeout=_LOOK_SECONDS)
            progress(os.fstat(fd).st_size)
    finally:
        if not copying.done():
            copying.cancel()
            await asyncio.wait({copying})
    await copying
    os.fsync(fd)


async def _vacuum_into(db: Database, target: Path) -> None:
    # Opened by itself: a long copy must not hold one of the pool's connections. mode=rw makes no file.
    source = f"file:{quote(str(db.engine.url.database))}?mode=rw"
    connection = sqlite3.connect(source, uri=True, check_same_thread=False, isolation_level=None, timeout=15)
    copying = asyncio.ensure_future(asyncio.to_thread(connection.execute, "VACUUM INTO ?", (str(target),)))
    try:
        await asyncio.shield(copying)
    except asyncio.CancelledError:
        connection.interrupt()
        await asyncio.wait({copying})
        raise
    except sqlite3.Error as error:
        raise Rejected(f"The store can't be copied: {error}.", field="out") from None
    finally:
        connection.close()


async def _dump(db: Database, fd: int) -> None:
    command = [
        postgres.program("pg_dump", await postgres.server_version(db)),
        # Rows of a partitioned table travel under its own name, whatever its partitions are called.
        "-Fc", "--load-via-partition-root", "--no-owner", "--no-privileges", "--no-password", "--encoding=UTF8",
    ]  # fmt: skip
    # pg_dump holds our lock on the draft as its standard output: an orphan keeps others away until it ends.
    await postgres.run(command, postgres.connection(db.engine.url), stdout=fd)
