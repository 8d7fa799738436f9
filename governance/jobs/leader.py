"""Which one process runs the jobs: a lock that its holder's death lets go, so that another takes over at once.

On SQLite every process is on this machine: flock(2) on `run/jobs.lock`. On PostgreSQL they may be on several: a session's
advisory lock, which the server lets go with the connection. Two may believe to lead for the moment in which a connection
is lost and not yet missed: jobs are idempotent, and each asks again before it begins.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import make_url

_KEY: Final = 0x6A6F6273  # "jobs": one leader a database
_WAIT_S: Final = 5.0
_LOST: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)  # TimeoutError is an OSError


class Leader(Protocol):
    """One process's claim."""

    async def leads(self) -> bool:
        """Whether this process leads; it takes the lead where nobody has it."""

    async def aclose(self) -> None:
        """Let it go."""


class FileLeader:
    """Among the processes of one machine."""

    def __init__(self, run_folder: Path) -> None:
        run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = run_folder / "jobs.lock"
        self._handle: int | None = None

    async def leads(self) -> bool:
        """One system call, and none while it leads: the kernel takes the lock from nobody who lives."""
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    async def aclose(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class PostgresLeader:
    """Among all processes of one database; on a connection of its own, which a pool must not share out."""

    def __init__(self, url: str) -> None:
        """`url` as the store's engine takes it."""
        parsed = make_url(url)
        _, self._options = parsed.get_dialect()().create_connect_args(parsed)
        for option in ("prepared_statement_cache_size", "prepared_statement_name_func"):
            self._options.pop(option, None)  # the engine's, not the driver's
        self._connection: Any = None
        self._leads = False

    async def leads(self) -> bool:
        """Asks the server, also while it leads: a connection that is gone has lost the lock. False where it can't be asked."""
        try:
            if self._connection is None:
                self._connection = await asyncpg.connect(**self._options, timeout=_WAIT_S)
            if self._leads:
                await self._connection.execute("SELECT 1", timeout=_WAIT_S)
            else:
                taken = await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", _KEY, timeout=_WAIT_S)
                self._leads = bool(taken)
        except _LOST:
            await self.aclose()
        return self._leads

    async def aclose(self) -> None:
        connection, self._connection, self._leads = self._connection, None, False
        if connection is None:
            return
        with suppress(*_LOST):
            await connection.close(timeout=_WAIT_S)
        connection.terminate()


def leader_of(url: str, run_folder: Path) -> Leader:
    """The claim that fits the data store."""
    return PostgresLeader(url) if url.startswith("postgresql") else FileLeader(run_folder)
