"""Databases of a PostgreSQL server for the time of one run, dropped afterwards. They hold nothing of ours."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from governance.errors import ConfigurationError


@asynccontextmanager
async def scratch_databases(server: str, names: Sequence[str]) -> AsyncIterator[dict[str, str]]:
    """Their URLs by name. `server` is a URL of any database where one may be created.

    Raises ConfigurationError, which doesn't show the URL, where the server can't be reached or refuses.
    """
    try:
        url = make_url(server).set(drivername="postgresql")
    except ArgumentError:
        raise ConfigurationError("The PostgreSQL URL can't be read: postgresql://user@host/database.") from None
    made = {name: f"probe_{secrets.token_hex(6)}_{name}" for name in names}
    await _run(url.render_as_string(hide_password=False), [f'CREATE DATABASE "{name}"' for name in made.values()])
    try:
        yield {
            name: url.set(drivername="postgresql+asyncpg", database=database).render_as_string(hide_password=False)
            for name, database in made.items()
        }
    finally:
        dropped = [f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in made.values()]
        await _run(url.render_as_string(hide_password=False), dropped)


async def _run(url: str, statements: Sequence[str]) -> None:
    try:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConfigurationError(
            f"The PostgreSQL server can't be used for scratch databases ({type(error).__name__}): "
            "the URL must name a database where this user may connect and create others."
        ) from None
