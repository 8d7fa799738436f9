"""Which version a store is of, told without Alembic: every command asks, and loading it takes half a second."""

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

import router.migrations.tables  # noqa: F401  every table must be known
from governance.datamap import Store
from governance.db import Database
from governance.errors import ConfigurationError

_VERSIONS: Final = Table("alembic_version", MetaData(), Column("version_num", String(32)))


def known(store: Store) -> list[str]:
    """The versions that this program knows, oldest first: the files are called `v<number>_<what>`."""
    files = (Path(__file__).parent / store.value).glob("v*_*.py")
    return sorted((path.stem.split("_")[0] for path in files), key=lambda version: int(version[1:]))


async def pending(db: Database, store: Store) -> bool:
    """Whether the store is older than this program. Raises ConfigurationError where it is of an unknown version."""
    async with db.engine.connect() as connection:
        found = await connection.run_sync(_current)
    versions = known(store)
    if found is not None and found not in versions:
        raise ConfigurationError(
            f"The {store.value} store was made by another version of this program, which this one can't bring up to "
            "date: run that version, or start with another VALUEAPI_HOME."
        )
    return found != versions[-1]


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS.name):
        return None
    found: str | None = connection.scalar(select(_VERSIONS.c.version_num))
    return found
