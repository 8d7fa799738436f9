"""Stores with their tables, copied from one that was made once: to make thirty tables for each test takes longer than it."""

from pathlib import Path

from governance.datamap import METADATA, Store
from governance.db import Database
from tests.services.postgres import Postgres

_files: dict[Store, bytes] = {}
_databases: dict[tuple[int, Store], str] = {}


async def _made(url: str, store: Store) -> None:
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(METADATA[store].create_all)
    await database.aclose()


async def sqlite(path: Path, store: Store) -> str:
    """A fresh SQLite store at the path; its async URL."""
    url = f"sqlite+aiosqlite:///{path}"
    if store in _files:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_bytes(_files[store])
    else:
        await _made(url, store)
        assert not path.with_name(path.name + "-wal").exists()
        _files[store] = path.read_bytes()
    return url


async def postgresql(server: Postgres, store: Store) -> str:
    """A fresh database of the server; its async URL."""
    key = (id(server), store)
    if key not in _databases:
        _databases[key] = server.create_database()
        await _made(_databases[key], store)
    return server.create_database(like=_databases[key])
