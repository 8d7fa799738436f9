"""Brings a store to the newest version."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from governance.datamap import METADATA, Store
from governance.db import Database
from router.migrations import version

_LOCK = 0x76616C7565  # "value": one migration at a time on PostgreSQL


def _config(store: Store, connection: Connection | None = None) -> Config:
    config = Config()
    here = Path(__file__).parent
    config.set_main_option("script_location", str(here))
    config.set_main_option("version_locations", str(here / store.value))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    config.attributes["metadata"] = METADATA[store]
    return config


def _upgrade(connection: Connection, store: Store) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    command.upgrade(_config(store, connection), "head")


async def upgrade(db: Database, store: Store) -> None:
    """Run what is missing, in one transaction; processes that start together wait for each other.

    Raises ConfigurationError where the store was made by a version that this program doesn't know.
    """
    await version.pending(db, store)
    async with db.engine.execution_options(writing=True).begin() as connection:
        await connection.run_sync(_upgrade, store)


async def differences(db: Database, store: Store) -> list[Any]:
    """What the models say and the migrated schema doesn't, or the other way round; tests want none."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA[store]))

    async with db.engine.connect() as connection:
        return await connection.run_sync(compare)


async def draft(db: Database, store: Store, message: str, revision: str) -> None:
    """Write a new migration from the difference between models and schema."""

    current = ScriptDirectory.from_config(_config(store)).get_current_head()

    def make(connection: Connection) -> None:
        command.revision(
            _config(store, connection),
            message,
            autogenerate=True,
            rev_id=revision,
            head="head" if current else "base",
            version_path=str(Path(__file__).parent / store.value),
        )

    async with db.engine.begin() as connection:
        await connection.run_sync(make)
