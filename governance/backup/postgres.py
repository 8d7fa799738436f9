"""PostgreSQL's own programs, found and run: the password by environment, never in an argument that `ps` shows."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects.postgresql import asyncpg

from governance.db import Database
from governance.errors import ConfigurationError, ValueAPIError

_DEBIAN = Path("/usr/lib/postgresql")


class ProgramFailed(ValueAPIError):
    """One of PostgreSQL's programs ended with an error; values are cut out of its words."""


def _found(name: str) -> list[tuple[int, str]]:
    """Every such program of this machine: (major version, path), the oldest first."""
    paths = [str(path) for path in _DEBIAN.glob(f"*/bin/{name}")]
    on_path = shutil.which(name)
    found = []
    for path in [*paths, *([on_path] if on_path else [])]:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
        version = re.search(r"\) (\d+)", told)
        if version is not None:
            found.append((int(version[1]), path))
    return sorted(found)


def program(name: str, server: int | None = None) -> str:
    """Path of the program for a server of that major version: its own, or the next newer one; the newest without server.

    Raises ConfigurationError where it is missing or older: an older one can't read a newer server.
    """
    found = _found(name)
    if not found:
        raise ConfigurationError(
            f"{name} is missing: install PostgreSQL's client programs, or put {name} on PATH (backups are made with it)."
        )
    if server is None:
        return found[-1][1]
    # A newer pg_restore sets parameters that an older server doesn't know, hence the nearest.
    fit = [path for major, path in found if major >= server]
    if not fit:
        raise ConfigurationError(
            f"{name} is of version {found[-1][0]}, older than the server's {server}: install {server}."
        )
    return fit[0]


def connection(url: URL) -> dict[str, str]:
    """The environment in which libpq reaches what a database URL names, as the service's own driver does."""
    _, options = asyncpg.dialect().create_connect_args(url)  # type: ignore[no-untyped-call]
    environment = dict(os.environ) | {
        "LC_ALL": "C",
        # What travels must not depend on how a server or role is set up.
        "PGTZ": "UTC",
        "PGCLIENTENCODING": "UTF8",
        "PGOPTIONS": "-c bytea_output=hex -c intervalstyle=iso_8601",
    }
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "database": "PGDATABASE"}
    for option, name in (names | {"ssl": "PGSSLMODE"}).items():
        value: Any = options.get(option)
        if value is not None:
            environment[name] = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return environment


async def server_version(db: Database) -> int:
    """Major version of the server."""
    async with db.engine.connect() as opened:
        return int((opened.dialect.server_version_info or (0,))[0])


async def run(
    command: Sequence[str], environment: Mapping[str, str], *, stdout: int | None = None, hold: Sequence[int] = ()
) -> None:
    """Run to its end; a cancelled caller ends it. `hold`: descriptors (locks) that live as long as it does.

    Raises ProgramFailed with its first error, without quoted values.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=subprocess.PIPE,
        pass_fds=tuple(hold),
    )
    try:
        _, words = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ProgramFailed(failure(command[0], process.returncode, words))


def failure(path: str, code: int, words: bytes) -> str:
    """One sentence: the first error line; a line may quote a value, so what stands in quotes is cut."""
    name = Path(path).name
    for line in words.decode(errors="replace").splitlines():
        if "error:" in line:
            reason = re.sub(r'"[^"]*"', '"…"', line.split("error:", 1)[1]).strip()
            return f"{name} failed: {reason[:300]}"
    return f"{name} failed (exit {code})."
