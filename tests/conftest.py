"""Real stores for every test that needs one: SQLite files, and a private PostgreSQL that starts once per worker."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from governance.datamap import METADATA, Store
from governance.db import Database
from governance.vault.keyring_file import FileKeyring
from governance.vault.keys import KeyStore
from tests.services.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def fresh_postgres(postgres: Postgres) -> str:
    """Async URL of a fresh, empty database."""
    return postgres.create_database()


@pytest.fixture(params=["sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Database, KeyStore]]:
    """Both stores with their tables, on each database: (data, keys)."""
    if request.param == "sqlite":
        urls = [f"sqlite+aiosqlite:///{tmp_path}/data/data.db", f"sqlite+aiosqlite:///{tmp_path}/keys/keys.db"]
    else:
        server: Postgres = request.getfixturevalue("postgres")
        urls = [server.create_database(), server.create_database()]
    data, keys_db = Database(urls[0]), Database(urls[1])
    for database, store in ((data, Store.DATA), (keys_db, Store.KEYS)):
        async with database.engine.begin() as connection:
            await connection.run_sync(METADATA[store].create_all)
    keys = KeyStore(keys_db, FileKeyring.create(tmp_path / "keys" / "root.key"))
    data.context["keys"] = keys
    yield data, keys
    await data.aclose()
    await keys_db.aclose()
